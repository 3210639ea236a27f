"""Files that lie about themselves: real sounds whose headers claim too much, and tags made to fill a memory.

Large ones are sparse and take next to no room on the disk. `python tests/hostile_files.py DIR` makes them.
"""

from __future__ import annotations

import io
import os
import signal
import struct
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutagen.ogg import OggPage

from sounds import encoded

SPARSE = 2 << 30

Content = bytes | Callable[[Path], None]
"""What a file holds, or a function that makes it."""


def sound(suffix: str, seed: int = 7) -> bytes:
    return encoded(suffix, 2.0, 16000, 1, seed, 0.3)


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(*frames: bytes, version: int = 4, claimed: int | None = None) -> bytes:
    body = b"".join(frames)
    size = len(body) if claimed is None else claimed
    return b"ID3" + bytes((version, 0, 0)) + synchsafe(size) + body


def frame(name: str, body: bytes, flags: int = 0, version: int = 4, claimed: int | None = None) -> bytes:
    size = len(body) if claimed is None else claimed
    digits = synchsafe(size) if version == 4 else struct.pack(">I", size)
    return name.encode() + digits + bytes((0, flags)) + body


def atom(name: bytes, *content: bytes, claimed: int | None = None) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8 if claimed is None else claimed) + name + body


def bomb(size: int, head: bytes = b"") -> bytes:
    """zlib data that unfolds to `head` and `size` zeros, made of one block that repeats."""
    piece = 1 << 24
    packer = zlib.compressobj(9, wbits=-15)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(piece)) + packer.flush(zlib.Z_FULL_FLUSH)
    low = zlib.adler32(head)
    total = (low & 0xFFFF) * size % 65521 + (low >> 16)
    check = (total % 65521) << 16 | low & 0xFFFF
    return b"\x78\xda" + start + block * (size // piece) + packer.flush() + struct.pack(">I", check)


def sparse(size: int, *parts: tuple[int, bytes]) -> Callable[[Path], None]:
    """A file of `size` bytes that are zeros, but for (offset, bytes)."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            for offset, data in parts:
                file.seek(offset)
                file.write(data)
            file.truncate(size)

    return make


def patched(data: bytes, mark: bytes, offset: int, layout: str, *values: int) -> bytes:
    """`data` with numbers written `offset` bytes behind the start of `mark`."""
    whole = bytearray(data)
    struct.pack_into(layout, whole, data.index(mark) + offset, *values)
    return bytes(whole)


def repaged(data: bytes, **lies: int) -> bytes:
    """An Ogg stream with right checksums; all its pages but the first get the same `lies`."""
    source, pages = io.BytesIO(data), []
    while source.tell() < len(data):
        pages.append(OggPage(source))
    for page in pages[1:]:
        for name, value in lies.items():
            setattr(page, name, value)
    return b"".join(page.write() for page in pages)


def lying() -> dict[str, Content]:
    """Real sounds with lengths, counts or places that are not true."""
    flac, mp3, m4a, ogg = (sound(suffix) for suffix in (".flac", ".mp3", ".m4a", ".ogg"))
    opus, wav, aiff, wma = (sound(suffix) for suffix in (".opus", ".wav", ".aiff", ".wma"))
    wv, tta, dsf = sound(".wv"), sound(".tta"), sound(".dsf")
    info = 8  # where the body of STREAMINFO begins
    xing = next(mark for mark in (b"Xing", b"Info") if mark in mp3)
    many = tta[:14] + b"\xff" * 4
    return {
        "flac total.flac": patched(flac, b"fLaC", info + 14, ">I", 0xFFFFFFFF),
        "flac no total.flac": patched(flac, b"fLaC", info + 14, ">I", 0),
        "flac blocks.flac": patched(flac, b"fLaC", info, ">HH", 16, 65535),
        "flac frame sizes.flac": patched(flac, b"fLaC", info + 4, ">IH", 0xFFFFFFFF, 0xFFFF),
        "flac metadata.flac": patched(flac, b"fLaC", 4, ">I", 0x00FFFFFF),
        "xing frames.mp3": patched(mp3, xing, 8, ">I", 0xFFFFFFFF),
        "xing one frame.mp3": patched(mp3, xing, 8, ">I", 1),
        "xing bytes.mp3": patched(mp3, xing, 12, ">I", 0xFFFFFFFF),
        "id3 beyond the end.mp3": id3(claimed=(1 << 28) - 1) + mp3,
        "id3 frame beyond the end.mp3": id3(frame("TIT2", b"\0title", claimed=1 << 27)) + mp3,
        "id3 of nothing.mp3": id3(frame("TIT2", b"\0title"), claimed=0) + mp3,
        "moov beyond the end.m4a": patched(m4a, b"moov", -4, ">I", 0x7FFFFFFF),
        "moov without end.m4a": patched(m4a, b"moov", -4, ">I", 0),
        "moov of one byte.m4a": patched(m4a, b"moov", -4, ">I", 1),
        "mdat beyond the end.m4a": patched(m4a, b"mdat", -4, ">I", 0xFFFFFFFF),
        "samples without number.m4a": patched(m4a, b"stsz", 12, ">I", 0xFFFFFFFF),
        "samples of one size.m4a": patched(m4a, b"stsz", 8, ">II", 1, 150_000_000),
        "samples without time.m4a": patched(m4a, b"stts", 12, ">II", 0xFFFFFFFF, 0xFFFFFFFF),
        "chunks without number.m4a": patched(m4a, b"stco", 8, ">I", 0xFFFFFFFF),
        "chunks beyond the end.m4a": patched(m4a, b"stco", 12, ">I", 0xFFFFFF00),
        "a day too long.m4a": patched(m4a, b"mdhd", 16, ">I", 0xFFFFFFFF),
        "ogg comments.ogg": repaged(patched(ogg, b"\x03vorbis", 7, "<I", 0xFFFFFFFF)),
        "ogg entries.opus": repaged(
            patched(opus, b"OpusTags", 12 + _word(opus, b"OpusTags", 8), "<I", 1 << 31)
        ),
        "ogg granule.ogg": repaged(ogg, position=(1 << 63) - 1),
        "ogg granule.opus": repaged(opus, position=(1 << 63) - 1),
        "ogg page numbers.opus": repaged(opus, sequence=0xFFFFFFFF),
        "ogg streams.ogg": repaged(ogg, serial=0),
        "ogg segments.ogg": patched(ogg, ogg[ogg.index(b"OggS", 4) :], 26, "B", 255),
        "opus preskip.opus": repaged(patched(opus, b"OpusHead", 10, "<H", 0xFFFF)),
        "wav data.wav": patched(wav, b"data", 4, "<I", 0xFFFFFFFF),
        "wav riff.wav": patched(wav, b"RIFF", 4, "<I", 0),
        "wav format.wav": patched(wav, b"fmt ", 4, "<I", 0xFFFFFFF0),
        "wav bytes a second.wav": patched(wav, b"fmt ", 16, "<IH", 1, 0xFFFF),
        "aiff frames.aiff": patched(aiff, b"COMM", 10, ">I", 0xFFFFFFFF),
        "aiff data.aiff": patched(aiff, b"SSND", 4, ">I", 0xFFFFFFFF),
        "wma header.wma": patched(wma, wma[:16], 16, "<Q", 1 << 62),
        "wma objects.wma": patched(wma, wma[:16], 24, "<I", 0xFFFFFFFF),
        "wv samples.wv": patched(wv, b"wvpk", 12, "<I", 0xFFFFFFFE),
        "wv block.wv": patched(wv, b"wvpk", 4, "<I", 0xFFFFFFFE),
        "tta samples.tta": many + struct.pack("<I", zlib.crc32(many)) + tta[22:],
        "dsf data.dsf": patched(dsf, b"data", 4, "<Q", 1 << 60),
        "dsf tag.dsf": patched(dsf, b"DSD ", 20, "<Q", len(dsf) - 3),
    }


def _word(data: bytes, mark: bytes, offset: int) -> int:
    return int.from_bytes(data[data.index(mark) + offset :][:4], "little")


def nested() -> dict[str, Content]:
    """Tags in tags, beside tags and behind tags, and chapters that go round in a circle."""
    mp3 = sound(".mp3", seed=8)
    title = frame("TIT2", b"\0title")
    inner = id3(title)
    picture = frame("APIC", b"\0image/png\0\3\0" + inner * 3 + mp3[:500])
    chapter = b"\0" * 16
    cycle = (
        frame("CTOC", b"toc\0\3\2toc\0ch\0"),
        frame("CTOC", b"ch\0\1\1toc\0"),
        frame("CHAP", b"ch\0" + chapter + frame("CHAP", b"ch\0" + chapter + title)),
        *(frame("CHAP", b"%d\0" % n + struct.pack(">4I", 0, 5000, 0, 0xFFFFFFFF)) for n in range(300)),
    )
    ape_items = struct.pack("<2I", 5, 0) + b"Title\0title"
    ape = ape_items + b"APETAGEX" + struct.pack("<4I8x", 2000, len(ape_items) + 32, 1, 0)
    id3v1 = b"TAG" + b"title".ljust(30, b"\0") + bytes(94) + b"\x11"
    return {
        "id3 in a picture.mp3": id3(picture) + mp3,
        "id3 in a row.mp3": inner * 1000 + mp3,
        "id3 in id3.mp3": id3(frame("PRIV", inner), inner, title) + mp3,
        "four tags.mp3": inner + mp3 + ape + id3v1,
        "four tags twice.mp3": inner * 2 + mp3 + ape + id3v1 + ape + id3v1,
        "chapters in a circle.mp3": id3(*cycle) + mp3,
        "chapters of itself.m4a": _chapters_of_itself(),
        "atoms in atoms.m4a": _atoms_in_atoms(5000) + sound(".m4a"),
    }


def _chapters_of_itself() -> bytes:
    """An MP4 whose sound track names itself as its chapter track; the moov atom stands behind the sound."""
    m4a = sound(".m4a", seed=8)
    reference = atom(b"tref", atom(b"chap", struct.pack(">2I", 1, 1)))
    at = m4a.index(b"mdia") - 4
    assert m4a.index(b"mdat") < m4a.index(b"moov")
    whole = bytearray(m4a[:at] + reference + m4a[at:])
    for name in (b"moov", b"trak"):
        place = whole.index(name) - 4
        struct.pack_into(">I", whole, place, struct.unpack_from(">I", whole, place)[0] + len(reference))
    return bytes(whole)


def _atoms_in_atoms(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = atom(b"udta", inner)
    return atom(b"ftyp", b"M4A \0\0\0\0") + atom(b"moov", inner)


def heavy() -> dict[str, Content]:
    """Sparse files of 2 GB, pictures of 64 MB, and compressed frames that unfold to gigabytes."""
    mp3, flac = sound(".mp3", seed=9), sound(".flac", seed=9)
    zeros = 2 << 30
    riff = b"RIFF" + struct.pack("<I", SPARSE - 8) + b"WAVE"
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    inside = zip((b"moov", b"udta", b"meta", b"ilst", b"\xa9nam"), (0, 8, 16, 28, 36), strict=True)
    moov = [(20 + at, struct.pack(">I4s", SPARSE - 20 - at, name)) for name, at in inside]
    header = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
    about = b"\x33" + header[1:] + struct.pack("<Q", SPARSE - 30)
    ape_end = b"APETAGEX" + struct.pack("<4I8x", 2000, SPARSE - 100, 3, 0)
    picture = 64 << 20
    apic = b"\0image/png\0\3\0"
    unfolding = {
        f"bomb {name} {version}.mp3": id3(
            frame(name, struct.pack(">I", 0x7F7F7F7F) + bomb(zeros, head), flags, version), version=version
        )
        + mp3
        for version, flags in ((3, 0x80), (4, 0x09))
        for name, head in (("TCON", b"\0"), ("APIC", apic))
    }
    return {
        "zeros.mp3": sparse(SPARSE >> 3),  # ffmpeg looks through all of it for a frame
        "zeros.flac": sparse(SPARSE, (0, b"fLaC")),
        "zeros behind the music.flac": sparse(SPARSE, (0, flac[:42])),
        "zeros.wav": sparse(SPARSE, (0, riff + form)),
        "zeros behind the data.wav": sparse(SPARSE, (0, riff + form + b"data\x08\0\0\0" + bytes(8))),
        "zeros.m4a": sparse(SPARSE, (0, atom(b"ftyp", b"M4A ".ljust(12, b"\0"))), *moov),
        "zeros.ape": sparse(SPARSE, (0, b"MAC "), (SPARSE - 32, ape_end)),
        "zeros.wma": sparse(SPARSE, (0, header + struct.pack("<QIBB", SPARSE, 1, 1, 2) + about)),
        "zeros.dsf": sparse(SPARSE, (0, b"DSD " + struct.pack("<3Q", 28, SPARSE, 28))),
        "picture.mp3": sparse(
            20 + picture + len(mp3),
            (0, id3(claimed=10 + picture) + frame("APIC", apic, 0, 4, picture)),
            (20 + picture, mp3),
        ),
        "pictures.flac": pictures(flac, 4),
        "empty frames.mp3": id3(frame("TIT2", b"") * 300_000) + mp3,
        "tags without end.mp3": id3() * 300_000 + mp3,
        "a genre of a megabyte.mp3": id3(frame("TCON", b"\0" + b"rock" * (1 << 18))) + mp3,
        **unfolding,
    }


def pictures(flac: bytes, count: int) -> Callable[[Path], None]:
    """A FLAC with so many pictures of 16 MB, the most that a block can hold."""
    block = (1 << 24) - 1
    picture = struct.pack(">II9s6I", 3, 9, b"image/png", 0, 1, 1, 24, 0, block - 41)
    starts = [42 + number * (4 + block) for number in range(count)]
    places = [(start, b"\6\xff\xff\xff" + picture) for start in starts]
    end = 42 + count * (4 + block)
    return sparse(end + len(flac) - 42, (0, b"fLaC\0" + flac[5:42]), *places, (end, flac[42:]))


def make(folder: Path, contents: dict[str, Content]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            content(folder / name)


def thin_flac(seconds: float) -> bytes:
    """A FLAC of one steady value: 8 kHz in the longest blocks there are, 15 bytes for 8 s. See RFC 9639."""
    block = 65535
    count = -(-round(seconds * 8000) // block)
    info = struct.pack(">HH6xQ16x", block, block, 8000 << 44 | 15 << 36 | count * block)
    frames = bytearray(b"fLaC\x80\0\0\x22" + info)
    for number in range(count):
        # Fixed block size, its value at the end of the header; 8 kHz; one channel; 16 bits.
        head = b"\xff\xf8\x74\x08" + chr(number).encode() + struct.pack(">H", block - 1)
        frame = head + bytes([_crc(head, 8, 0x07)]) + b"\0" + struct.pack(">h", 10000)
        frames += frame + struct.pack(">H", _crc(frame, 16, 0x8005))
    return bytes(frames)


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value >> bits - 1 else value << 1) & (1 << bits) - 1
    return value


@dataclass(frozen=True)
class SlowStart:
    """A change of sounds that takes seconds once in every process."""

    seconds: float

    def __call__(self, wave: Any, spec: Any) -> Any:
        if not _STARTED:
            _STARTED.append(self)
            time.sleep(self.seconds)
        return wave


_STARTED: list[SlowStart] = []


@dataclass
class DeadlyOnce:
    """A change of sounds that kills its process after some windows, unless one has been killed before."""

    marker: Path
    windows: int

    def __call__(self, wave: Any, spec: Any) -> Any:
        self.windows -= 1
        if self.windows < 0 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return wave


@dataclass(frozen=True)
class Deadly:
    """A change of sounds that kills its process where a sound is louder than `peak`."""

    peak: float

    def __call__(self, wave: Any, spec: Any) -> Any:
        if abs(wave).max() > self.peak:
            os.kill(os.getpid(), signal.SIGKILL)
        return wave


@dataclass(frozen=True)
class Slow:
    """Takes its time over every window, and changes nothing."""

    seconds: float

    def __call__(self, wave: Any, spec: object) -> Any:
        time.sleep(self.seconds)
        return wave


if __name__ == "__main__":
    for group in (lying, nested, heavy):
        make(Path(sys.argv[1]) / group.__name__, group())
