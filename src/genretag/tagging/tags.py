"""The genre field of a music file, whatever the format: read it, write it, put it back.

This module and the `formats` beside it are the only users of mutagen. What is not the genre is not touched:
other fields, pictures and private frames keep their bytes (in ASF: their values), and padding is used before
a file grows. Files are changed in place; whoever calls takes care of the copy.

Which tag of a file is read and written:
- every format has one main tag; mp3 has ID3v2, or the APEv2 tag where only that one exists;
- tta has ID3v2, which most programs read, and the genre also goes into an APEv2 tag that is there, because
  FFmpeg then reads nothing else;
- another tag beside it (APEv2 beside ID3v2, ID3v2 before FLAC or an APE format, LIST/INFO in WAV) is brought
  along if it names a genre, so that no player goes on showing the old one, and is left alone if it does not;
- ID3v1 at the end gets the number of the first genre that has one (255 for none), if it is there. It is read
  only where it is the only tag: its default, 0, would make untagged files "Blues";
- a tag that has to be created beside ID3v1 takes over title, artist and the other fields, because programs
  stop reading ID3v1 where they find a newer tag;
- a `GENRETAG` field written earlier goes when a genre is written without one: it would speak of the old one.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import mutagen
from mutagen import MutagenError
from mutagen.mp3 import HeaderNotFoundError, MPEGInfo

from genretag.audio.payload import open_regular
from genretag.errors import DecodeError, GenretagError, TagError, WriteError
from genretag.tagging.formats import chunks
from genretag.tagging.formats.ape import ApeTag
from genretag.tagging.formats.asf import AsfAttributes
from genretag.tagging.formats.carrier import Carrier, Wanted, read_at, size_of
from genretag.tagging.formats.comments import FlacComments, OggComments, ogg_kind
from genretag.tagging.formats.id3 import AtStart, Id3Tag, tag_length
from genretag.tagging.formats.id3v1 import Id3v1
from genretag.tagging.formats.limits import TagReader, too_large
from genretag.tagging.formats.mp4 import Mp4Items

Id3Version = Literal["keep", "2.3", "2.4"]
MOST_GENRE = 1 << 20  # characters of `TagState.raw`, which is kept for every file


@dataclass(frozen=True)
class TagState:
    """What a file says about its genre.

    `format` is a short name ("mp3", "flac", "ogg", ...); `taggable` is False where the format has no place
    for a genre; `genres` are the values as a person reads them, never split; `raw` is the JSON that `restore`
    needs. Two files agree when their `genres` do: `raw` also tells where things stand and may differ.
    """

    format: str
    taggable: bool
    genres: tuple[str, ...]
    raw: str


Maker = Callable[[BinaryIO], Carrier]


def _id3_at_start(file: BinaryIO) -> Id3Tag:
    return Id3Tag(AtStart(file), Id3v1(file).fields())


def _id3_chunk(layout: chunks.Layout) -> Maker:
    return lambda file: Id3Tag(chunks.ChunkSlot(file, layout))


@dataclass(frozen=True)
class _Format:
    """The tags of a format: `main` in order of preference (the first is the one to create), and others.

    Of the others, those of `always` get the genre wherever they are there, the rest where they name one.
    """

    main: dict[str, Maker]
    beside: dict[str, Maker]
    always: frozenset[str] = frozenset({"id3v1"})

    @property
    def all(self) -> dict[str, Maker]:
        return self.main | self.beside


_BY_ID3 = _Format({"id3v2": _id3_at_start, "ape": ApeTag}, {"id3v1": Id3v1})
_BY_APE = _Format({"ape": ApeTag}, {"id3v2": _id3_at_start, "id3v1": Id3v1})
_BY_OGG = _Format({"comments": OggComments}, {})
_FORMATS = {
    "mp3": _BY_ID3,
    "tta": _Format({"id3v2": _id3_at_start}, {"ape": ApeTag, "id3v1": Id3v1}, frozenset({"id3v1", "ape"})),
    "flac": _Format({"comments": FlacComments}, {"id3v2": _id3_at_start, "id3v1": Id3v1}),
    "ogg": _BY_OGG,
    "opus": _BY_OGG,
    "speex": _BY_OGG,
    "ogg-flac": _BY_OGG,
    "mp4": _Format({"items": Mp4Items}, {}),
    "asf": _Format({"attributes": AsfAttributes}, {}),
    "ape": _BY_APE,
    "wv": _BY_APE,
    "mpc": _BY_APE,
    "tak": _BY_APE,
    "ofr": _BY_APE,
    "wav": _Format({"id3v2": _id3_chunk(chunks.WAV)}, {"info": chunks.InfoList}),
    "aiff": _Format({"id3v2": _id3_chunk(chunks.AIFF)}, {}),
    "dsdiff": _Format({"id3v2": _id3_chunk(chunks.DSDIFF)}, {}),
    "dsf": _Format({"id3v2": lambda file: Id3Tag(chunks.DsfSlot(file))}, {}),
}

# (offset, bytes) that tell a format; names that _FORMATS does not know have no place for a genre here.
_SIGNATURES: tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...] = (
    ("flac", ((0, b"fLaC"),)),
    ("mp4", ((4, b"ftyp"),)),
    ("asf", ((0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),)),
    ("wav", ((0, b"RIFF"), (8, b"WAVE"))),
    ("aiff", ((0, b"FORM"), (8, b"AIFF"))),
    ("aiff", ((0, b"FORM"), (8, b"AIFC"))),
    ("dsf", ((0, b"DSD "),)),
    ("dsdiff", ((0, b"FRM8"), (12, b"DSD "))),
    ("wv", ((0, b"wvpk"),)),
    ("ape", ((0, b"MAC "),)),
    ("mpc", ((0, b"MPCK"),)),
    ("mpc", ((0, b"MP+"),)),
    ("tta", ((0, b"TTA1"),)),
    ("tta", ((0, b"TTA2"),)),
    ("tak", ((0, b"tBaK"),)),
    ("ofr", ((0, b"OFR "),)),
    ("au", ((0, b".snd"),)),
    ("rf64", ((0, b"RF64"), (8, b"WAVE"))),
    ("wave64", ((0, b"riff\x2e\x91\xcf\x11"),)),
    ("caf", ((0, b"caff"),)),
    ("matroska", ((0, b"\x1aE\xdf\xa3"),)),
    ("ac3", ((0, b"\x0bw"),)),
)


def read(path: Path) -> TagState:
    """What the file says about its genre.

    Memory and time stay bounded, whatever the file says. Raises TagError: `bad-tags` when its content cannot
    be understood, `too-large` when it is more than any honest file has, `unreadable` when it cannot be
    opened.
    """
    with _reported(path, "rb") as file:
        name = _identify(file)
        if name not in _FORMATS:
            return TagState(name, False, (), _raw(name, {}))
        try:
            carriers = _carriers(file, _FORMATS[name])
        except TagError as error:
            if error.code != "not-taggable":
                raise
            return TagState(name, False, (), _raw(name, {}))
        raw = _raw(name, carriers)
        if len(raw) > MOST_GENRE:
            raise too_large("its genre is longer than a book")
        return TagState(name, True, _genres(carriers), raw)


def as_mutagen_sees(path: Path) -> Any:
    """The file as mutagen reads it whole, its tags within the bounds that `read` keeps.

    Raises TagError, and whatever mutagen raises over damaged files.
    """
    with _reported(path, "rb") as file:
        for carrier in _carriers(file, _FORMATS.get(_identify(file), _BY_ID3)).values():
            if isinstance(carrier, Id3Tag):
                carrier.require_small()
        file.seek(0)
        return mutagen.File(file)


def write(
    path: Path,
    genres: Sequence[str],
    *,
    separator: str | None = None,
    id3: Id3Version = "keep",
    provenance: str | None = None,
) -> None:
    """Make `genres` the genres of the file, in this order; none at all removes the field.

    `separator` joins them into one value for players that know no other; `id3` asks for a version of ID3v2
    where the file has that tag; `provenance` is stored beside them as GENRETAG. Writes even if nothing would
    change: see `same`. Raises TagError (`not-taggable`, `bad-tags`), and WriteError (`no-space`, `read-only`,
    `missing`, `io-error`) when the file system refuses; the file may then be half written.
    """
    values = as_stored(genres, separator)
    if any(not value.strip() or not _storable(value) for value in (*values, provenance or "-")):
        raise TagError(f"{path}: a genre is empty or holds a character that no tag can: {tuple(genres)!r}")
    version = {"keep": None, "2.3": 3, "2.4": 4}[id3]
    wanted = Wanted(values, as_stored(genres), provenance, version)
    with _reported(path, "r+b") as file:
        form = _taggable(file)
        carriers = _carriers(file, form)
        main = _main(carriers, form)
        if carriers[main].present() or values or provenance:
            carriers[main].write(wanted)
        for key, carrier in carriers.items():
            if key != main and carrier.present() and (key in form.always or carrier.genres()):
                # Made anew: the tag before may have moved this one.
                note = provenance if key in form.always else None
                form.all[key](file).write(replace(wanted, note=note, id3=None))


def restore(path: Path, raw: str) -> None:
    """Put back the genre field exactly as `read` saw it, down to its encoding, and tags that were not there.

    Other fields keep what they hold now. Where the content allows it the file is again byte for byte what it
    was; a tag that `write` converted to another version of ID3v2 is converted back. Raises as `write` does.
    """
    with _reported(path, "r+b") as file:
        recorded = json.loads(raw)
        form = _taggable(file)
        if _identify(file) != recorded["format"]:
            raise TagError(f"it was {recorded['format']} when its genre was recorded; tag it by hand")
        for key, stored in recorded["tags"].items():
            carrier = form.all[key](file)
            if carrier.stored() != stored:
                carrier.restore(stored)


def as_stored(genres: Sequence[str], separator: str | None = None) -> tuple[str, ...]:
    """The values that `write` stores and `read` returns: joined by `separator`, or each by itself, once."""
    names = tuple(dict.fromkeys(name.strip() for name in genres))
    return (separator.join(names),) if separator and names else names


def same(state: TagState, genres: Sequence[str], separator: str | None = None) -> bool:
    """Whether the file already says exactly this, so that nothing needs to be written."""
    return state.genres == as_stored(genres, separator)


def _storable(text: str) -> bool:
    try:
        return "\0" not in text and bool(text.encode("utf-8"))
    except UnicodeEncodeError:  # half of a surrogate pair, as file names may hold
        return False


def _identify(file: BinaryIO) -> str:
    """The format by content; TagError when it is none that is known."""
    if size_of(file) == 0:  # some files of the system say so, and keep whoever reads them waiting
        raise TagError("the file is empty")
    start = 0
    while length := tag_length(file, start):
        start += length
    head = read_at(file, start, 64)
    for name, marks in _SIGNATURES:
        if all(head[offset : offset + len(mark)] == mark for offset, mark in marks):
            return name
    if head[:4] == b"OggS":
        return ogg_kind(file) or "ogg-other"
    # ADTS and MPEG audio begin with the same sync word; the layer bits tell them apart.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    try:
        MPEGInfo(file, start)
    except HeaderNotFoundError as error:
        raise TagError("this is no audio file of a known format") from error
    return "mp3"


def _taggable(file: BinaryIO) -> _Format:
    name = _identify(file)
    if name not in _FORMATS:
        raise TagError(f"a file in the format {name} has no place for a genre", code="not-taggable")
    return _FORMATS[name]


def _carriers(file: BinaryIO, form: _Format) -> dict[str, Carrier]:
    return {key: make(file) for key, make in form.all.items()}


def _main(carriers: dict[str, Carrier], form: _Format) -> str:
    return next((key for key in form.main if carriers[key].present()), next(iter(form.main)))


def _genres(carriers: dict[str, Carrier]) -> tuple[str, ...]:
    others = any(carrier.present() for key, carrier in carriers.items() if key != "id3v1")
    for key, carrier in carriers.items():
        if key == "id3v1" and others:
            continue
        names = [name.strip() for name in carrier.genres()]
        if found := tuple(dict.fromkeys(name for name in names if name)):
            return found
    return ()


def _raw(name: str, carriers: dict[str, Carrier]) -> str:
    tags = {key: carrier.stored() for key, carrier in carriers.items()}
    return json.dumps({"format": name, "tags": tags}, sort_keys=True)


@contextmanager
def _reported(path: Path, mode: Literal["rb", "r+b"]) -> Iterator[BinaryIO]:
    """The open file; whatever goes wrong with it becomes one line that names it."""
    try:
        with _opened(path, mode) as file:
            yield file
    except DecodeError as error:
        raise TagError(str(error), code=error.code) from error
    except GenretagError as error:
        raise TagError(f"{path}: {error}", code=error.code) from error
    except (OSError, MutagenError) as error:
        # mutagen wraps the errors of the system in its own.
        system = next((e for e in (error, *error.args, error.__cause__) if isinstance(e, OSError)), None)
        if system is None or system.errno == errno.EINVAL:  # a seek to a place that damaged sizes named
            raise _bad_tags(path, error) from error
        raise _refused(path, system, writing=mode != "rb") from error
    except Exception as error:
        # Parsers meet every kind of damage, and each has its own way to fail.
        raise _bad_tags(path, error) from error


def _opened(path: Path, mode: Literal["rb", "r+b"]) -> BinaryIO:
    if mode == "rb":
        return TagReader(open_regular(path).detach(), path)
    return open(path, mode, opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    """Open a regular file only: a pipe or device under its name may block, or act on what is written."""
    if stat.S_ISREG(os.stat(path).st_mode):
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise TagError("is not a regular file", code="unreadable")


def _bad_tags(path: Path, error: Exception) -> TagError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return TagError(f"{path}: its tags cannot be understood ({reason}); check the file with a tag editor")


def _refused(path: Path, error: OSError, *, writing: bool) -> GenretagError:
    reason = error.strerror or str(error)
    if not writing:
        return TagError(f"{path}: cannot be read ({reason})", code="unreadable")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return WriteError(f"{path}: no space left to write its tags ({reason})", code="no-space")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WriteError(f"{path}: its tags may not be written ({reason})", code="read-only")
    if error.errno == errno.ENOENT:
        return WriteError(f"{path}: is not there any more", code="missing")
    return WriteError(f"{path}: its tags could not be written ({reason})")
