"""What a music file holds, genre apart from everything else: the facts that a tag writer must not change."""

from __future__ import annotations

import hashlib
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import mutagen
import soundfile
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.asf import ASFTags
from mutagen.flac import FLAC
from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags

from genretag.audio._pyav import open_input

_GENRE_KEYS = {"genre", "wm/genre", "©gen", "gnre"}
_PICTURE_KEYS = {"covr", "wm/picture", "metadata_block_picture", "cover art (front)"}
_LONGEST = 120


@dataclass(frozen=True)
class Snapshot:
    """One regular file. Every field is a plain JSON value."""

    sha256: str
    mode: int
    mtime_ns: int
    audio: str = ""
    """Kind, count and hash of the compressed packets; empty where nothing decodes."""
    genres: list[str] = field(default_factory=list)
    """Genres as mutagen gives them, from the format's own tag."""
    stored: list[str] = field(default_factory=list)
    """Everything that is stored as a genre, in any tag of the file, undecoded."""
    tags: list[str] = field(default_factory=list)
    """All other tags as "key=value", sorted; long and binary values are hashed."""
    pictures: list[str] = field(default_factory=list)
    id3_version: str = ""
    ffmpeg_tags: list[str] = field(default_factory=list)
    """What FFmpeg (in PyAV) shows, its genre left out."""
    ffmpeg_genre: str | None = None


def take(path: Path) -> Snapshot:
    """Read everything about one regular file; a file that is no music gives only its hash, mode and time."""
    status = path.stat()
    audio = audio_hash(path)
    plain = Snapshot(file_hash(path), status.st_mode & 0o7777, status.st_mtime_ns)
    if not audio:
        return plain
    shown = ffmpeg_tags(path)
    genre = shown.pop("genre", None)
    tags, pictures, genres, stored, version = _tags(path)
    return Snapshot(
        plain.sha256,
        plain.mode,
        plain.mtime_ns,
        audio,
        genres,
        stored,
        sorted(tags),
        sorted(pictures),
        version,
        sorted(f"{key}={_short(value)}" for key, value in shown.items()),
        genre,
    )


def file_hash(path: Path) -> str:
    """SHA-256 of all bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def audio_hash(path: Path) -> str:
    """Hash of the compressed audio: packets, their times and the decoder's set-up, none of which tags touch.

    What FFmpeg cannot open is hashed as decoded samples by soundfile; what neither opens gives "".
    """
    digest = hashlib.sha256()
    try:
        with open_input(str(path)) as container:
            if not container.streams.audio:
                return ""
            stream = container.streams.audio[0]
            context = stream.codec_context
            digest.update(f"{context.name} {context.sample_rate} {context.layout.name}".encode())
            for header in _setup(context.name, bytes(context.extradata or b"")):
                digest.update(header)
            packets = 0
            for packet in container.demux(stream):
                if packet.size:
                    digest.update(struct.pack("<qI", -1 if packet.pts is None else packet.pts, packet.size))
                    digest.update(bytes(packet))
                    packets += 1
            return f"{packets} packets {digest.hexdigest()}" if packets else ""
    except av.FFmpegError:
        return _samples_hash(path)


def ffmpeg_tags(path: Path) -> dict[str, str]:
    """Container's and stream's metadata as FFmpeg shows it, keys in lower case; {} if it cannot open it."""
    try:
        with open_input(str(path)) as container:
            streams = container.streams.audio
            both = [*(streams[0].metadata.items() if streams else ()), *container.metadata.items()]
            return {key.lower(): value for key, value in both}
    except av.FFmpegError:
        return {}


def _samples_hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            for block in sound.blocks(65_536, dtype="int16"):
                digest.update(block.tobytes())
            return f"{sound.frames} samples {digest.hexdigest()}" if sound.frames else ""
    except soundfile.SoundFileError:
        return ""


def _setup(codec: str, extradata: bytes) -> Iterator[bytes]:
    """The decoder's headers; Vorbis keeps the comment, which is tags, between its other two (Xiph lacing)."""
    if codec != "vorbis" or extradata[:1] != b"\x02":
        if codec != "speex":
            yield extradata
        return
    sizes = []
    at = 1
    for _ in range(2):
        size = 0
        while extradata[at] == 255:
            size += 255
            at += 1
        sizes.append(size + extradata[at])
        at += 1
    yield extradata[at : at + sizes[0]]
    yield extradata[at + sum(sizes) :]


def _tags(path: Path) -> tuple[list[str], list[str], list[str], list[str], str]:
    """Tags, pictures, genres, stored genres and ID3 version of a file, by mutagen."""
    try:
        file = mutagen.File(str(path))
    except mutagen.MutagenError:
        return [], [], [], [], ""
    if file is None or file.tags is None:
        return [], [], [], [], ""
    pictures = [_short(picture.write()) for picture in file.pictures] if isinstance(file, FLAC) else []
    tags: list[str] = []
    stored: list[str] = []
    if isinstance(file.tags, ID3):
        genres = list(file.tags["TCON"].genres) if "TCON" in file.tags else []
        # mutagen merges ID3v1 into ID3v2 unless told not to; with ID3v1 alone it is all there is.
        plain = type(file)(str(path), translate=False, load_v1=False).tags
        version = _id3(file.tags if plain is None else plain, tags, pictures, stored)
        if path.suffix.lower() == ".mp3":
            _id3v1(path, tags, stored)
            _ape(path, tags, stored)
        return tags, pictures, genres, stored, version
    for key, value in _items(file.tags):
        if key.casefold() in _GENRE_KEYS:
            stored.append(f"{key}={value}")
        elif key.casefold() in _PICTURE_KEYS:
            pictures.append(f"{key}={_short(value)}")
        else:
            tags.append(f"{key}={_short(value)}")
    return tags, pictures, [value.split("=", 1)[1] for value in stored], stored, ""


def _items(tags: Any) -> Iterator[tuple[str, Any]]:
    """Every single value of tags that are not ID3, in file order."""
    if isinstance(tags, (ASFTags, list)):  # Vorbis comments and ASF: pairs, keys repeated
        yield from ((key, getattr(value, "value", value)) for key, value in list(tags))
    elif isinstance(tags, (MP4Tags, APEv2)):
        for key, value in tags.items():
            values = value if isinstance(value, list) or getattr(value, "kind", 1) == 0 else [value]
            yield from (
                (key, getattr(one, "value", one) if not isinstance(one, bytes) else one) for one in values
            )


def _id3(tag: ID3, tags: list[str], pictures: list[str], stored: list[str]) -> str:
    for frame in tag.values():
        # The text's encoding may change with the tag's version; the text may not.
        text = re.sub(r"encoding=<Encoding\.\w+: \d+>,? ?", "", repr(frame))
        if frame.FrameID == "TCON":
            stored += [f"TCON={value}" for value in frame.text]
        elif frame.FrameID == "APIC":
            pictures.append(_short(text))
        else:
            tags.append(_short(text))
    tags += [f"unknown frame={_short(frame)}" for frame in tag.unknown_frames]
    return ".".join(map(str, tag.version[:2]))


def _id3v1(path: Path, tags: list[str], stored: list[str]) -> None:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 128))
        block = file.read(128)
    if block.startswith(b"TAG"):
        tags.append(f"ID3v1={block[3:127]!r}")
        stored.append(f"ID3v1={block[127]}")


def _ape(path: Path, tags: list[str], stored: list[str]) -> None:
    try:
        tag = APEv2(str(path))
    except APENoHeaderError:
        return
    for key, value in _items(tag):
        where = stored if key.casefold() in _GENRE_KEYS else tags
        where.append(f"APE {key}={_short(value)}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:40]}... {hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def changes(before: list[str], after: list[str]) -> str:
    """What differs between two lists of tags, order ignored; "" where nothing does."""
    lost, found = Counter(before) - Counter(after), Counter(after) - Counter(before)
    return " ".join(
        [*(f"-[{line}]" for line in lost.elements()), *(f"+[{line}]" for line in found.elements())]
    )
