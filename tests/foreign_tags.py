"""Tags as other programs write them: by mutagen's own classes, in place, with pictures of any size."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import mutagen
from mutagen.apev2 import APEv2, APEValue
from mutagen.asf import ASFByteArrayAttribute, ASFTags
from mutagen.id3 import APIC, ID3, TCON, TIT2
from mutagen.mp4 import MP4Cover, MP4Tags

from sounds import FORMATS, RECORDED

TAGGABLE = tuple(suffix for suffix in (*FORMATS, *RECORDED) if suffix not in {".aac", ".au"})


def picture(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, like those of a real cover."""
    return random.Random(seed).randbytes(size)


def tag(path: Path, genres: list[str], title: str = "A title", cover: bytes = b"") -> None:
    """Write genres, a title and a cover, as much as the format takes."""
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    tags = file.tags
    if isinstance(tags, ID3):
        tags.add(TCON(encoding=3, text=genres))
        tags.add(TIT2(encoding=3, text=[title]))
        if cover:
            tags.add(APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=cover))
    elif isinstance(tags, MP4Tags):
        tags["\xa9gen"], tags["\xa9nam"] = genres, [title]
        if cover:
            tags["covr"] = [MP4Cover(cover)]
    elif isinstance(tags, ASFTags):
        tags["WM/Genre"], tags["Title"] = genres, [title]
        if cover:
            tags["WM/Picture"] = [ASFByteArrayAttribute(cover)]
    elif isinstance(tags, APEv2):
        tags["Genre"], tags["Title"] = genres, title
        if cover:
            tags["Cover Art (front)"] = APEValue(b"cover.jpg\0" + cover, 1)
    else:
        tags["genre"], tags["title"] = genres, [title]
        if cover:
            tags["metadata_block_picture"] = [base64.b64encode(cover).decode()]
    file.save()


def strip(path: Path) -> None:
    """Remove every tag that mutagen knows how to remove."""
    mutagen.File(path).delete()
