"""Options that several commands share, so that each means the same wherever it appears."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer

from genretag.errors import UsageError
from genretag.escapes import has_control

if TYPE_CHECKING:
    from genretag.tagging.writer import WriteOptions

Choice = TypeVar("Choice", bound=str)


def device(text: str) -> str:
    """Return the name of a device; without importing torch, whether it is there is not checked.

    Raises:
        UsageError: It is no name of a device.
    """
    kind, colon, number = text.partition(":")
    if text in ("auto", "cpu", "cuda", "mps") or (kind == "cuda" and colon and number.isdecimal()):
        return text
    raise UsageError(f"--device {text}: give auto, cpu, cuda, cuda:N or mps")


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line on stdout.")]
JsonDocument = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print neither progress nor summary.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also list files that nothing happened to.")]
Model = Annotated[str, typer.Option(metavar="NAME|FILE", help="See `genretag models`.")]
Exclude = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="Leave out matching names; may be repeated.")
]
FollowSymlinks = Annotated[bool, typer.Option("--follow-symlinks", help="Follow links in folders.")]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", callback=device, help="auto, cpu, cuda, cuda:N or mps.")
]
BatchSize = Annotated[str, typer.Option(metavar="auto|N", help="Windows that go through the model at once.")]
Workers = Annotated[str, typer.Option(metavar="auto|N", help="Decoding processes; auto: one per core.")]
Threads = Annotated[
    str,
    typer.Option(metavar="auto|N", help="CPU threads; auto: 1 for networks without convolutions."),
]
Separator = Annotated[
    str | None,
    typer.Option(metavar="STR", help="Join several genres into one string; default: true multi-values."),
]
Id3 = Annotated[
    str, typer.Option(metavar="keep|2.3|2.4", help="ID3 version; keep: the file's, 2.4 where it has no tag.")
]
PreserveMtime = Annotated[bool, typer.Option("--preserve-mtime", help="Keep the time of last change.")]
Provenance = Annotated[
    bool, typer.Option("--provenance", help="Also write a GENRETAG field: model, version, scores.")
]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Change files themselves: hard links stay. Default: replace them whole."),
]
Coverage = Annotated[
    str,
    typer.Option(
        metavar="fast|full|N", help="Windows heard: a few over the track, every second, or N of them."
    ),
]
Dataset = Annotated[
    str,
    typer.Option(metavar="NAME", help="See `genretag datasets`; fma:medium:multi names variant and task."),
]
Features = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Precomputed features in place of audio: npz of X, Y, IDS, or a CSV."),
]
Data = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the dataset lies (see `genretag datasets NAME`).")
]
Variant = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which variant of the dataset; default: its first.")
]
Preset = Annotated[str, typer.Option(metavar="PRESET", help="See `genretag models`.")]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="official|artist|track|segment",
        help="What keeps train and test apart; default: the official lists, else artists.",
    ),
]


def writing_options(
    separator: str | None, id3: str, preserve_mtime: bool, provenance: bool, in_place: bool
) -> WriteOptions:
    """How genres are stored, from the options above."""
    from genretag.tagging.tags import Id3Version
    from genretag.tagging.writer import WriteOptions

    if separator and has_control(separator):
        raise UsageError(f"--separator {separator!r}: holds a control character; give text such as '; '")
    version: Id3Version = one_of(id3, get_args(Id3Version), "--id3")
    return WriteOptions(separator, version, preserve_mtime, provenance, in_place)


def positive(text: str, option: str) -> int | None:
    """N of an `auto|N` option; None for auto."""
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{option} {text}: give auto or a whole number from 1 up")
    return int(text)


def probability(text: str | float, option: str) -> float:
    """P of a threshold option."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{option} {text}: give a probability from 0 to 1, such as 0.3")
    return value


def one_of(text: str, choices: tuple[Choice, ...], option: str) -> Choice:
    """One of a few words."""
    for choice in choices:
        if choice == text:
            return choice
    raise UsageError(f"{option} {text}: give one of {', '.join(choices)}")


def readable_source(path: Path) -> Path:
    """Return the path of a list or plan that can be opened; `-` is standard input.

    A pipe will do, such as that of `<(find ...)` in a shell, or /dev/stdin.

    Raises:
        UsageError: There is nothing of that name, or it is a folder.
    """
    if str(path) == "-":
        return path
    if path.is_dir():
        raise UsageError(f"{path}: it is a folder; give a file or - for standard input")
    if not path.exists():
        raise UsageError(f"{path}: no such file; give a file or - for standard input")
    return path


def is_stream(path: Path | None) -> bool:
    """Return True for a source that can be read only once: standard input, a pipe or a terminal."""
    return path is not None and (str(path) == "-" or not path.is_file())
