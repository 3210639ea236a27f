"""Tags as other programs write them: by mutagen's own classes, in place, with pictures of any size."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import mutagen
from mutagen.apev2 import APEBinaryValue, APEv2, APEValue
from mutagen.asf import ASFByteArrayAttribute, ASFTags
from mutagen.flac import Picture
from mutagen.id3 import (
    APIC,
    CHAP,
    COMM,
    CTOC,
    GEOB,
    ID3,
    MCDI,
    POPM,
    PRIV,
    SYLT,
    TCON,
    TDRC,
    TIT2,
    TPE1,
    TXXX,
    UFID,
    USLT,
    CTOCFlags,
)
from mutagen.mp4 import MP4Cover, MP4FreeForm, MP4Tags

from genretag.audio._pyav import open_input
from sounds import FORMATS, RECORDED

GENRE_KEYS = ("tcon", "\xa9gen", "wm/genre", "genre")
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


def seen_by_ffmpeg(path: Path, field: str) -> str:
    with open_input(str(path)) as container:
        fields = {**container.metadata, **container.streams.audio[0].metadata}
    return next((value for key, value in fields.items() if key.upper() == field), "")


def seen_by_mutagen(path: Path) -> list[str]:
    found = mutagen.File(path).tags
    if found is None:  # mutagen looks for ID3 only in tta
        found = APEv2(path)
    key = next(key for key in found.keys() if key.lower() in GENRE_KEYS)  # noqa: SIM118 - not all are dicts
    return [str(value) for value in getattr(found[key], "text", found[key])]


def add_rich_fields(path: Path) -> None:
    """What a well-kept library has in its files, and what other programs hide in them."""
    picture = bytes(range(256)) * 40
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    found = file.tags
    if isinstance(found, mutagen.id3.ID3):
        for frame in (
            TIT2(encoding=3, text="Title"),
            TPE1(encoding=1, text=["One", "Two ü"]),
            TDRC(encoding=0, text="1999-12-31T23:59:58"),
            APIC(encoding=0, mime="image/png", type=3, desc="front", data=picture),
            PRIV(owner="TRAKTOR4", data=picture[:300]),
            GEOB(encoding=0, mime="application/octet-stream", desc="Serato Markers2", data=picture[:999]),
            TXXX(encoding=3, desc="replaygain_track_gain", text="-3.21 dB"),
            TXXX(encoding=3, desc="MusicBrainz Album Id", text="c0ffee"),
            UFID(owner="http://musicbrainz.org", data=b"c0ffee"),
            USLT(encoding=3, lang="deu", desc="", text="Zeile\nZeile"),
            COMM(encoding=3, lang="eng", desc="x", text="comment"),
            POPM(email="a@b", rating=200, count=7),
            SYLT(encoding=3, lang="eng", format=2, type=1, desc="", text=[("One", 0), ("two", 900)]),
            MCDI(data=picture[:20]),
            CTOC(
                element_id="toc",
                flags=CTOCFlags.TOP_LEVEL | CTOCFlags.ORDERED,
                child_element_ids=["one"],
                sub_frames=[TIT2(encoding=3, text="Contents")],
            ),
            CHAP(
                element_id="one",
                start_time=0,
                end_time=900,
                start_offset=0xFFFFFFFF,
                end_offset=0xFFFFFFFF,
                sub_frames=[TIT2(encoding=3, text="Chapter")],
            ),
        ):
            found.add(frame)
    elif isinstance(found, mutagen.mp4.MP4Tags):
        found["\xa9nam"], found["trkn"], found["tmpo"], found["cpil"] = ["Title"], [(3, 9)], [120], True
        found["covr"] = [MP4Cover(picture, MP4Cover.FORMAT_PNG)]
        found["----:com.apple.iTunes:MusicBrainz Album Id"] = [MP4FreeForm(b"c0ffee")]
        found["----:com.serato.dj:markers"] = [MP4FreeForm(picture[:300], dataformat=0)]
    elif isinstance(found, mutagen.asf.ASFTags):
        found["Title"], found["WM/TrackNumber"], found["WM/Year"] = ["Title"], [3], ["1999"]
        found["WM/Picture"] = [ASFByteArrayAttribute(picture)]
        found["Author"] = ["One", "Two ü"]
    elif isinstance(found, APEv2):
        found["Title"], found["Artist"] = "Title", ["One", "Two ü"]
        found["Cover Art (Front)"] = APEBinaryValue(b"front.png\0" + picture)
        found["REPLAYGAIN_TRACK_GAIN"] = "-3.21 dB"
    else:
        found["title"], found["artist"], found["lyrics"] = ["Title"], ["One", "Two ü"], ["Zeile\nZeile"]
        found["REPLAYGAIN_TRACK_GAIN"], found["musicbrainz_albumid"] = ["-3.21 dB"], ["c0ffee"]
        cover = Picture()
        cover.data, cover.mime, cover.type = picture, "image/png", 3
        if isinstance(file, mutagen.flac.FLAC):
            file.add_picture(cover)
        else:
            found["metadata_block_picture"] = [picture.hex()]
    file.save()


def all_but_genre(path: Path) -> dict[str, Any]:
    file = mutagen.File(path)
    keys = set(file.tags.keys()) if file.tags is not None else set()
    fields = {key: repr(file.tags[key]) for key in keys if key.lower() not in GENRE_KEYS}
    if isinstance(file, mutagen.flac.FLAC):
        fields["pictures"] = repr([picture.write() for picture in file.pictures])
    return fields


def strip(path: Path) -> None:
    """Remove every tag that mutagen knows how to remove."""
    mutagen.File(path).delete()
