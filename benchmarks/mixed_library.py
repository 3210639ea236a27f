"""Build a mixed music library out of folders of real music, with a manifest of everything that is in it.

    apt-get download wesnoth-1.16-music warzone2100-music singularity-music naev-data
    for deb in *.deb; do dpkg -x "$deb" "music/${deb%%_*}"; done
    python -m benchmarks.mixed_library --source music/naev-data --source music/... --hostile --out library
    python -m benchmarks.mixed_library --out library --copy-to trial

The manifest (library.manifest.json, beside the library) holds every file's hash, audio packets, tags and
expected outcome; `benchmarks.check_library` compares.
Names are any bytes: the file system must take them (Linux).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path

from benchmarks import dress, hostile, snapshot, sounds

MUSIC_SUFFIXES = {".ogg", ".oga", ".opus", ".mp3", ".flac", ".m4a", ".wma", ".wv", ".wav", ".aiff"}

PATTERN = (
    *("copy", "mp3-cbr", "flac", "copy", "m4a-aac", "mp3-vbr", "opus", "copy", "wma", "wav", "mp3-cbr"),
    *("copy", "wv", "m4a-alac", "aiff", "copy", "tta", "mp3-noxing", "oga", "copy", "mp3-mono", "flac-24"),
    *(
        "copy",
        "spx",
        "mp3-cbr",
        "dsf",
        "copy",
        "mp3-vbr",
        "m4a-aac",
        "copy",
        "wma",
        "opus",
        "mp3-cbr",
        "flac",
    ),
)
"""Kinds of file in turn; "copy" is a source file as it is."""

UNCOMPRESSED = {"wav", "aiff", "dsf"}
"""Kinds that get short excerpts."""

FOLDERS = (
    "AC-DC & Friends/Back in “Black”",
    "Sigur R\u00f3s/\u00c1g\u00e6tis byrjun",  # composed (NFC) ...
    "Sigur Ro\u0301s/A\u0301g\u00e6tis byrjun",  # ... and decomposed (NFD): two folders
    "Ke$ha's \"Hits\"/It's 100% `real` $(touch pwned)",
    "-dash first/--dry-run",
    "caf\udce9 latin-1/\udcff\udcfe bytes",
    "音楽/東京 🎸",
    "Мумий Тролль/Морская",
    "new\nline/tab\there \\ backslash",
    " spaces /  around  it ",
    "Various/[2001] {deluxe} *?",
    "folder.mp3/disc 1.flac",
    "deep/er/and/deep/er/still",
    "Plain Artist/Plain Album",
)

NAMES = (
    "{n:02d} - {title}",
    "{n:02d} - {title}",
    "-{title} {n}",
    "{n:02d}. “{title}” (feat. 'Somebody' & \"Else\")",
    "{n:02d} {title} caf\udce9",
    "{n:02d} Cafe\u0301 {title}",
    "{n:02d} - {title}; rm -rf ~ #",
    "{title}\n{n}",
    "...{n} {title}",
)
"""Lengths coprime to FOLDERS and PATTERN, so that every mixture turns up."""

GENRES = (
    ("Rock",),
    ("Hip-Hop", "R&B"),
    ("Rock/Pop",),
    ("classical",),
    ("Electronic; Ambient",),
    ("Jazz", "Blues", "Soul"),
)


@dataclass(frozen=True)
class Track:
    """One good file to make; `kind` "copy" takes the source as it is."""

    source: Path
    kind: str
    place: Path
    start: float
    seconds: float
    song: dress.Song
    id3_kind: str


@dataclass(frozen=True)
class Entry:
    """One line of the manifest: what stands at a path and what a tagging run must do with it."""

    path: str
    """Relative, its bytes in base64."""
    name: str
    kind: str
    expect: str
    """Allowed outcomes parted by "|": tag, ignore, fail:CODE, fail:*."""
    link: str | None = None
    """Target of a symbolic link, in base64."""
    before: snapshot.Snapshot | None = None
    """Regular files only."""

    @property
    def relative(self) -> bytes:
        """The path's own bytes."""
        return base64.b64decode(self.path)


def find_sources(folders: Sequence[Path], shortest: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Music files of at least `shortest` seconds, the folders in turn; and those that PyAV cannot open."""
    shuffle = random.Random(seed).shuffle
    groups: list[list[Path]] = []
    odd: list[Path] = []
    for folder in folders:
        group = []
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in MUSIC_SUFFIXES and path.is_file() and not path.is_symlink():
                length = sounds.duration(path)
                if length is None and snapshot.audio_hash(path):
                    odd.append(path)
                elif length is not None and length >= shortest:
                    group.append(path)
        shuffle(group)
        groups.append(group)
    turns = chain.from_iterable(zip_longest(*groups))
    return [path for path in turns if path is not None], odd


def lay_out(sources: Sequence[Path], tracks: int, longest: float, seed: int) -> Iterator[Track]:
    """Decide on every good file: kind, place, excerpt and tags."""
    rng = random.Random(seed)
    speex = sounds.has_speex()
    id3_count = 0
    for n in range(tracks):
        source = sources[n % len(sources)]
        kind = PATTERN[n % len(PATTERN)]
        kind = "opus" if kind == "spx" and not speex else kind
        ending = source.suffix if kind == "copy" else sounds.suffix(kind)
        if n % 10 == 7:
            ending = ending.upper()
        title = source.stem.replace("_", " ").title()
        place = Path(FOLDERS[n % len(FOLDERS)], NAMES[n % len(NAMES)].format(n=n, title=title) + ending)
        seconds = rng.uniform(0.25, 1) * longest
        seconds = min(seconds, longest / 4) if kind in UNCOMPRESSED else seconds
        start = rng.uniform(0, max(0.0, (sounds.duration(source) or 0) - seconds))
        genres = rng.choice(GENRES) if n % 6 == 4 else ()
        cover = dress.cover(n) if n % 3 == 0 else None
        song = dress.Song(f"Artist {n % 14}", title, f"Album {n % 14}", n, 1970 + n % 50, genres, cover)
        uses_id3 = kind.startswith("mp3") or kind in {"wav", "aiff", "tta", "dsf"}
        yield Track(
            source, kind, place, start, seconds, song, dress.ID3_KINDS[id3_count % len(dress.ID3_KINDS)]
        )
        id3_count += uses_id3


def make(track: Track, out: Path) -> Entry:
    """Write one good file under `out`."""
    target = out / track.place
    target.parent.mkdir(parents=True, exist_ok=True)
    if track.kind == "copy":
        shutil.copyfile(track.source, target)
    else:
        plain = out / f"making{sounds.suffix(track.kind)}"
        samples = sounds.excerpt(track.source, track.start, track.seconds)
        # A wav then has a LIST INFO chunk beside its ID3 one.
        info = {"artist": track.song.artist, "title": track.song.title} if track.kind == "wav" else {}
        sounds.encode(samples, plain, track.kind, info)
        dress.dress(plain, track.song, track.id3_kind)
        os.rename(plain, target)
    return entry(out, track.place, track.kind, "tag")


def entry(out: Path, place: Path, kind: str, expect: str) -> Entry:
    """Age a file that stands under `out` and write down what it holds."""
    path = out / place
    name = os.fsencode(place)
    link = before = None
    if path.is_symlink():
        link = base64.b64encode(os.fsencode(os.readlink(path))).decode()
    elif path.is_file():
        made = 1_000_000_000 + sum(name) * 1_000  # some second between 2001 and now, with odd nanoseconds
        os.utime(path, ns=(made * 10**9 + 123_456_789, made * 10**9 + 123_456_789))
        before = snapshot.take(path)
    shown = name.decode("utf-8", "backslashreplace")
    return Entry(base64.b64encode(name).decode(), shown, kind, expect, link, before)


def build(
    folders: Sequence[Path],
    out: Path,
    *,
    tracks: int = 64,
    seed: int = 0,
    hostile_too: bool = False,
    longest: float = 240.0,
) -> list[Entry]:
    """Make the library in the new folder `out` and its manifest beside it."""
    sources, odd = find_sources(folders, min(30.0, longest / 2), seed)
    if not sources:
        raise SystemExit(f"no music in {', '.join(map(str, folders))}: unpack the packages first, see --help")
    out.mkdir(parents=True)
    entries = []
    for track in lay_out(sources, tracks, longest, seed):
        entries.append(make(track, out))
        print(f"\r{len(entries)}/{tracks} tracks", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if hostile_too:
        entries += [entry(out, *trap) for trap in hostile.add(out, sources[0], odd, longest)]
    write_manifest(manifest_path(out), entries)
    return entries


def manifest_path(library: Path) -> Path:
    """Where a library's manifest stands."""
    return library.with_name(f"{library.name}.manifest.json")


def write_manifest(path: Path, entries: Sequence[Entry]) -> None:
    """Write the manifest as one JSON document, a line per file."""
    lines = ",\n".join(json.dumps(asdict(one)) for one in entries)
    path.write_text(f'{{"version": 1, "files": [\n{lines}\n]}}\n', encoding="utf-8")


def read_manifest(path: Path) -> list[Entry]:
    """The inverse of `write_manifest`."""
    entries = []
    for fields in json.loads(path.read_text(encoding="utf-8"))["files"]:
        before = fields.pop("before")
        entries.append(Entry(**fields, before=snapshot.Snapshot(**before) if before else None))
    return entries


def copy(library: Path, target: Path) -> None:
    """Copy a library with all its names, modes, times, links and pipes; `target` must not exist."""
    if target.exists():
        raise SystemExit(f"{target} exists: choose a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--", str(library), str(target)], check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, action="append", default=[], help="folder of real music (repeatable)"
    )
    parser.add_argument("--out", type=Path, required=True, help="the library's folder")
    parser.add_argument("--tracks", type=int, default=64, help="good files (64)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=240.0, help="seconds of the longest excerpt (240)")
    parser.add_argument("--hostile", action="store_true", help="add broken, empty, silent and odd things")
    parser.add_argument(
        "--copy-to", type=Path, help="copy the library, built before or now, to this new folder"
    )
    options = parser.parse_args(arguments)
    if options.source:
        entries = build(
            options.source,
            options.out,
            tracks=options.tracks,
            seed=options.seed,
            hostile_too=options.hostile,
            longest=options.longest,
        )
        print(f"{len(entries)} entries in {manifest_path(options.out)}")
    elif not options.copy_to:
        parser.error("--source is needed to build, --copy-to to copy")
    if options.copy_to:
        copy(options.out, options.copy_to)


if __name__ == "__main__":
    main()
