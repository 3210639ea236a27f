"""Compare a library with the manifest that `benchmarks.mixed_library` made for it.

    genretag tag --json trial > records.jsonl
    python -m benchmarks.check_library trial library.manifest.json --stage tagged --records records.jsonl
    genretag undo
    python -m benchmarks.check_library trial library.manifest.json --stage undone

Prints a table of what was compared and every difference; exits 1 if there is one. Stages: tagged (good files
have the genres of their records and nothing else changed, bad ones are untouched and named with their code),
undone (every genre as before), untouched (every byte, mode and time as before).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import snapshot
from benchmarks.mixed_library import Entry, read_manifest

Record = Mapping[str, Any]

QUIET_KINDS = {".wav", ".tta"}
"""FFmpeg prefers other tags of these files (LIST INFO, APE) to ID3 and may show no genre."""


@dataclass
class Findings:
    """What was compared, how often, and what differed."""

    compared: Counter[str] = field(default_factory=Counter)
    differed: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def check(self, what: str, name: str, same: bool, detail: str = "") -> None:
        """Count one comparison; `detail` tells what differs."""
        self.compared[what] += 1
        if not same:
            self.differed[what] += 1
            self.lines.append(f"{name!r}: {what}: {detail}")

    def table(self) -> str:
        """The findings for a person to read."""
        rows = [f"{'compared':<28}{'files':>7}{'differ':>8}"]
        rows += [f"{what:<28}{count:>7}{self.differed[what]:>8}" for what, count in self.compared.items()]
        rows += [f"note: {count} x {what}" for what, count in sorted(self.notes.items())]
        rows += self.lines
        return "\n".join(rows)


def read_records(path: Path, library: Path) -> dict[bytes, Record]:
    """The JSONL records of a run by path relative to the library; links are not resolved."""
    records: dict[bytes, Record] = {}
    root = os.fsencode(os.path.abspath(library))
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        record = json.loads(line)
        relative = os.path.relpath(os.path.abspath(os.fsencode(record["path"])), root)
        # A second record for one file becomes a stranger that the check reports.
        records[relative + b" (again)" if relative in records else relative] = record
    return records


def outcome(record: Record | None) -> str:
    """One word for a record, in the manifest's terms."""
    if record is None:
        return "ignore"
    if record["status"] == "failed":
        return f"fail:{record['error']['code']}"
    return "tag" if record["status"] in {"written", "unchanged"} else str(record["status"])


def allowed(entry: Entry, got: str, *, unsure_too: bool) -> bool:
    """Whether an outcome is right for an entry; `kept` is, for a good file that had a genre."""
    choices = entry.expect.split("|")
    if got in choices or (got.startswith("fail:") and "fail:*" in choices):
        return True
    had = bool(entry.before and entry.before.genres)
    return "tag" in choices and ((got == "kept" and had) or (got == "unsure" and unsure_too))


def find_all(library: Path) -> set[bytes]:
    """Relative paths of everything in a library that is not a folder; links are not followed."""
    root = os.fsencode(library)
    found = set()
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found |= {os.path.relpath(os.path.join(folder, name), root) for name in [*files, *links]}
    return found


def check_special(entry: Entry, path: Path, findings: Findings) -> None:
    """A link or a pipe must be what it was."""
    if entry.link is None:
        findings.check("links and pipes", entry.name, stat.S_ISFIFO(path.lstat().st_mode), "no pipe any more")
        return
    target = base64.b64decode(entry.link)
    same = path.is_symlink() and os.fsencode(os.readlink(path)) == target
    findings.check("links and pipes", entry.name, same, "not the link it was")


def check_untouched(entry: Entry, path: Path, findings: Findings) -> None:
    """Every byte, the mode and the time must be as before."""
    before, status = _before(entry), path.stat()
    findings.check("untouched files", entry.name, snapshot.file_hash(path) == before.sha256, "bytes changed")
    mode = stat.S_IMODE(status.st_mode)
    findings.check("their mode", entry.name, mode == before.mode, f"{before.mode:o} -> {mode:o}")
    findings.check("their time", entry.name, status.st_mtime_ns == before.mtime_ns, "mtime changed")


def check_kept(entry: Entry, now: snapshot.Snapshot, findings: Findings) -> None:
    """Everything but the genre must be as before; bytes and time may differ."""
    before = _before(entry)
    findings.check("audio packets", entry.name, now.audio == before.audio, f"{before.audio} -> {now.audio}")
    for what, old, new in (
        ("tags but genre", before.tags, now.tags),
        ("pictures", before.pictures, now.pictures),
        ("tags but genre, FFmpeg", before.ffmpeg_tags, now.ffmpeg_tags),
    ):
        findings.check(what, entry.name, sorted(old) == sorted(new), snapshot.changes(old, new))
    if before.id3_version.startswith("2"):
        same = now.id3_version == before.id3_version
        findings.check("ID3 version", entry.name, same, f"{before.id3_version} -> {now.id3_version}")
    findings.check("mode", entry.name, now.mode == before.mode, f"{before.mode:o} -> {now.mode:o}")


def check_genres(
    entry: Entry, path: Path, now: snapshot.Snapshot, record: Record | None, findings: Findings, ffprobe: bool
) -> None:
    """A genre must stand in the file, the record's, for mutagen and for FFmpeg."""
    wanted = list(record["genres"]) if record else now.genres
    same = bool(now.genres) and now.genres == wanted
    findings.check("genres, mutagen", entry.name, same, f"{now.genres} instead of {wanted}")
    if " samples " in now.audio:
        findings.notes["not opened by FFmpeg"] += 1
        return
    _check_shown("FFmpeg of PyAV", entry, path, now.ffmpeg_genre, wanted, findings)
    if ffprobe:
        _check_shown("ffprobe", entry, path, ffprobe_genre(path), wanted, findings)


def ffprobe_genre(path: Path) -> str | None:
    """The genre as the installed `ffprobe` shows it."""
    show = ["-show_entries", "format_tags:stream_tags", "-of", "json"]
    command = ["ffprobe", "-v", "error", *show, "-i", str(path.absolute())]
    answer = json.loads(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    for part in [*answer.get("streams", []), answer.get("format", {})]:
        for key, value in part.get("tags", {}).items():
            if key.lower() == "genre":
                return str(value)
    return None


def _check_shown(
    program: str, entry: Entry, path: Path, shown: str | None, wanted: Sequence[str], findings: Findings
) -> None:
    if shown is None and path.suffix.lower() in QUIET_KINDS:
        findings.notes[f"{path.suffix.lower()}: {program} shows no genre"] += 1
        return
    every = {sign.join(wanted) for sign in (";", "; ", "/", ", ")}
    same = shown is not None and bool(wanted) and shown in {wanted[0], *every}
    findings.check(f"genres, {program}", entry.name, same, f"{shown!r} instead of {list(wanted)}")
    if same and shown not in every:
        findings.notes[f"{path.suffix.lower()}: {program} shows the first genre only"] += 1


def check(
    library: Path,
    entries: Sequence[Entry],
    stage: str,
    records: Mapping[bytes, Record] | None = None,
    *,
    ffprobe: bool = False,
    unsure_too: bool = False,
) -> Findings:
    """Compare everything in a library; `records` by relative path tell which files the run wrote."""
    findings = Findings()
    here = find_all(library)
    expected = {entry.relative for entry in entries}
    strangers = sorted((here - expected) | (set(records or ()) - expected))
    findings.check("nothing extra", str(library), not strangers, f"found {strangers}")
    for entry in entries:
        path = library / os.fsdecode(entry.relative)
        if entry.relative not in here:
            findings.check("still there", entry.name, False, "gone")
            continue
        record = (records or {}).get(entry.relative)
        if stage == "tagged" and records is not None:
            got = outcome(record)
            findings.notes[f"outcome {got}"] += 1
            right = allowed(entry, got, unsure_too=unsure_too)
            findings.check("outcome", entry.name, right, f"{got} instead of {entry.expect}")
        if entry.before is None:
            check_special(entry, path, findings)
        elif stage == "untouched" or not _may_change(entry, stage, record, records is not None):
            check_untouched(entry, path, findings)
        else:
            now = snapshot.take(path)
            check_kept(entry, now, findings)
            if stage == "tagged":
                check_genres(entry, path, now, record, findings, ffprobe)
            else:
                same = now.stored == entry.before.stored
                findings.check("genres", entry.name, same, f"{entry.before.stored} -> {now.stored}")
                identical = "identical" if now.sha256 == entry.before.sha256 else "other"
                findings.notes[f"bytes {identical} to before"] += 1
    return findings


def _may_change(entry: Entry, stage: str, record: Record | None, recorded: bool) -> bool:
    if stage == "tagged" and recorded:
        return record is not None and record["status"] == "written"
    return "tag" in entry.expect.split("|")


def _before(entry: Entry) -> snapshot.Snapshot:
    if entry.before is None:
        raise ValueError(f"{entry.name!r} is no regular file")
    return entry.before


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--stage", choices=("tagged", "undone", "untouched"), required=True)
    parser.add_argument(
        "--records", type=Path, help="what `genretag tag --json` printed (run from this folder)"
    )
    parser.add_argument("--ffprobe", action="store_true", help="ask the installed ffprobe as well")
    parser.add_argument("--allow-unsure", action="store_true", help="a good file may be left alone as unsure")
    options = parser.parse_args(arguments)
    if options.ffprobe and shutil.which("ffprobe") is None:
        parser.error("no ffprobe installed")
    findings = check(
        options.library,
        read_manifest(options.manifest),
        options.stage,
        read_records(options.records, options.library) if options.records else None,
        ffprobe=options.ffprobe,
        unsure_too=options.allow_unsure,
    )
    print(findings.table())
    print(f"{len(findings.lines)} differences" if findings.lines else "no difference")
    return bool(findings.lines)


if __name__ == "__main__":
    sys.exit(main())
