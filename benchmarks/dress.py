"""The tags that real libraries carry, written with mutagen into files fresh from the encoder."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
from mutagen import id3
from mutagen.apev2 import APEBinaryValue, APEv2
from mutagen.asf import ASFByteArrayAttribute
from mutagen.flac import FLAC, Picture
from mutagen.mp4 import MP4Cover, MP4FreeForm

ID3_KINDS = ("2.4", "2.3", "2.3+v1", "2.4+ape", "2.3+private", "none", "v1", "2.3+tight")
"""Sorts of ID3 tags: version and what stands beside it; "tight": no padding, any edit moves the audio."""


@dataclass(frozen=True)
class Song:
    """What the tags of one file say."""

    artist: str
    title: str
    album: str
    number: int
    year: int
    genres: tuple[str, ...] = ()
    cover: bytes | None = None
    """A JPEG picture."""


def cover(seed: int, side: int = 300) -> bytes:
    """A JPEG picture, another one for every seed."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (side // 20, side // 20, 3), dtype=np.uint8)
    pixels = blocks.repeat(20, axis=0).repeat(20, axis=1)
    context: Any = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = side, side, "yuvj420p"
    context.framerate = 1
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def dress(path: Path, song: Song, id3_kind: str = "2.4") -> None:
    """Write a song's tags in the format's own way; `id3_kind` (ID3_KINDS) counts where that is ID3."""
    file = mutagen.File(str(path))
    if file.tags is None:
        file.add_tags()
    if isinstance(file.tags, id3.ID3):
        _dress_id3(file, path, song, id3_kind)
    elif path.suffix == ".m4a":
        _dress_mp4(file, song)
    elif path.suffix == ".wma":
        _dress_asf(file, song)
    elif path.suffix == ".wv":
        _dress_ape(file, song)
    else:
        _dress_vorbis(file, song)


def _dress_id3(file: Any, path: Path, song: Song, kind: str) -> None:
    if kind == "none":
        file.tags.clear()
        return
    tags = file.tags
    for frame, text in (("TPE1", song.artist), ("TIT2", song.title), ("TALB", song.album)):
        tags.add(getattr(id3, frame)(encoding=1, text=[text]))
    tags.add(id3.TRCK(encoding=0, text=[str(song.number)]))
    tags.add(id3.TDRC(encoding=0, text=[str(song.year)]))
    tags.add(id3.COMM(encoding=1, lang="eng", desc="", text=["Grüße, 音楽"]))
    if song.genres:
        tags.add(id3.TCON(encoding=1, text=list(song.genres)))
    if song.cover:
        tags.add(id3.APIC(encoding=0, mime="image/jpeg", type=3, desc="front", data=song.cover))
    if kind.endswith("private"):
        _add_private(tags)
    version = 3 if kind.startswith("2.3") else 4
    padding = (lambda _: 0) if kind.endswith("tight") else None
    if path.suffix != ".mp3":
        file.save(v2_version=version, padding=padding)
        return
    old = 2 if kind.endswith("v1") else 0
    file.save(v1=old, v2_version=version, v23_sep=None, padding=padding)
    if kind == "v1":
        id3.delete(str(path), delete_v1=False, delete_v2=True)
    elif old:
        _comment_in_v1(path)
    if kind.endswith("ape"):
        ape = APEv2()
        ape.update({"Title": song.title, "REPLAYGAIN_TRACK_GAIN": "-7.30 dB", "MP3GAIN_UNDO": "+002,+002,N"})
        ape.save(str(path))


def _add_private(tags: id3.ID3) -> None:
    """Other programs' own data: what a DJ, a ripper, a tagger and a player leave behind."""
    tags.add(
        id3.GEOB(encoding=0, mime="application/octet-stream", desc="Serato Markers2", data=bytes(range(256)))
    )
    tags.add(id3.PRIV(owner="TRAKTOR4", data=b"DMRT\x00\xff" * 40))
    tags.add(id3.TXXX(encoding=1, desc="MusicBrainz Album Id", text=["0b4ab2b4-5ba1-4a35-9b2d-0f8e6f9c0f11"]))
    tags.add(id3.UFID(owner="http://musicbrainz.org", data=b"d3a1c5cf-5f3c-45a6-8bb0-7f0bd05a8a5a"))
    tags.add(id3.POPM(email="player@example.org", rating=196, count=12))
    tags.add(id3.USLT(encoding=1, lang="eng", desc="", text="Line one\nLine two\n" * 20))
    tags.add(id3.TXXX(encoding=0, desc="replaygain_track_gain", text=["-6.50 dB"]))


def _comment_in_v1(path: Path) -> None:
    """Give the ID3v1 block a comment that no ID3v2 frame repeats (layout: id3.org/ID3v1)."""
    with path.open("r+b") as file:
        file.seek(-128 + 97, 2)
        file.write(b"ripped by hand".ljust(28, b"\0"))


def _dress_mp4(file: Any, song: Song) -> None:
    file.tags.update(
        {"©ART": [song.artist], "©nam": [song.title], "©alb": [song.album], "©day": [str(song.year)]}
    )
    file.tags["trkn"] = [(song.number, 12)]
    file.tags["----:com.apple.iTunes:iTunNORM"] = [MP4FreeForm(b" 00000A2B 00000A2B")]
    if song.genres:
        file.tags["©gen"] = list(song.genres)
    if song.cover:
        file.tags["covr"] = [MP4Cover(song.cover, MP4Cover.FORMAT_JPEG)]
    file.save()


def _dress_asf(file: Any, song: Song) -> None:
    file.tags.update({"Author": [song.artist], "Title": [song.title], "WM/AlbumTitle": [song.album]})
    file.tags["WM/TrackNumber"] = [song.number]
    file.tags["WM/Year"] = [str(song.year)]
    if song.genres:
        file.tags["WM/Genre"] = list(song.genres)
    if song.cover:
        # Layout: Microsoft, WM_PICTURE: type, length, MIME type and description in UTF-16, data.
        names = "image/jpeg\0\0".encode("utf-16-le")
        head = b"\x03" + len(song.cover).to_bytes(4, "little") + names
        file.tags["WM/Picture"] = [ASFByteArrayAttribute(head + song.cover)]
    file.save()


def _dress_ape(file: Any, song: Song) -> None:
    file.tags.update(
        {"Artist": song.artist, "Title": song.title, "Album": song.album, "Year": str(song.year)}
    )
    file.tags["Track"] = f"{song.number}/12"
    if song.genres:
        file.tags["Genre"] = list(song.genres)
    if song.cover:
        file.tags["Cover Art (Front)"] = APEBinaryValue(b"cover.jpg\0" + song.cover)
    file.save()


def _dress_vorbis(file: Any, song: Song) -> None:
    file.tags.update({"ARTIST": [song.artist, "A Guest"], "TITLE": [song.title], "ALBUM": [song.album]})
    file.tags["DATE"] = [str(song.year)]
    file.tags["TRACKNUMBER"] = [str(song.number)]
    if song.genres:
        file.tags["GENRE"] = list(song.genres)
    if song.cover:
        picture = Picture()
        picture.data, picture.mime, picture.type, picture.desc = song.cover, "image/jpeg", 3, "front"
        if isinstance(file, FLAC):
            file.add_picture(picture)
        else:
            file.tags["METADATA_BLOCK_PICTURE"] = [base64.b64encode(picture.write()).decode("ascii")]
    file.save()
