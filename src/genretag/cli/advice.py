"""What a person may do next: said under a summary, and once before the first run of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# By the code of a failure; what is not here says in its own line what to do.
_AFTER_FAILURE = {
    "empty": "delete it or get it again",
    "not-audio": "no music; --exclude leaves such files out",
    "decode-failed": "damaged; get it again",
    "too-short": "nothing to be heard in so little",
    "silent": "nothing to be heard",
    "timeout": "the next run tries again",
    "worker-died": "the next run tries again",
    "not-taggable": "convert it to flac or m4a",
    "bad-tags": "save its tags with another program first",
    "read-only": "make it writable",
    "remote": "--plan FILE, then apply it where the files are mounted",
    "no-space": "make room on the disk",
    "changed": "run the same again",
    "unreadable": "check its permissions, or the network",
    "missing": "check the spelling, or whether the disk is there",
}

_PARSER_SAYS = {
    "Input should be a valid integer, unable to parse string as an integer": "give a whole number",
    "Input should be a valid number, unable to parse string as a number": "give a number, such as 0.3",
}


def failures(counts: Mapping[str, int]) -> list[str]:
    """One line for each code of failure, the commonest first, with what helps."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    told = [
        f"failed: {code} {count:,}{f' ({help})' if (help := _AFTER_FAILURE.get(code)) else ''}"
        for code, count in ranked[:5]
    ]
    rest = sum(count for _, count in ranked[5:])
    return told + ([f"failed otherwise: {rest:,}"] if rest else [])


def next_steps(statuses: Mapping[str, int], *, more: bool) -> list[str]:
    """What to try, from what became of the files; `more` where something was said to do next already."""
    steps = []
    if unsure := statuses.get("unsure", 0):
        steps.append(f"unsure: {unsure:,} left as they are; a lower --threshold, such as 0.1, decides more")
    if statuses.get("kept") and not statuses.get("written") and not statuses.get("planned"):
        steps.append("kept: they have a genre already; --existing add, replace or refresh goes on")
    if statuses.get("planned") and not more:
        steps.append("nothing was written; the same without --dry-run writes it, and undo takes it back")
    return steps


def before_the_first_run(store: Path) -> list[str]:
    """What is said once, before anything is written with a new store."""
    return [
        "your first run here: of your files only the genres are written; sound and other tags stay",
        "to look first: --dry-run; to go back: genretag undo",
        f"what undo needs is kept in {store}",
    ]


def in_plain_words(message: str) -> str:
    """What the parser of options says of a number that is none, as a person would say it."""
    for parser, person in _PARSER_SAYS.items():
        message = message.replace(parser, person)
    return message


def bar_format(columns: int) -> str:
    """How progress is shown in so many columns: files, rate, time left, and unsure and failed behind."""
    done, left = "{n_fmt}/{total_fmt}", "{remaining} left"
    if columns < 60:
        return f"{done}, {left}{{postfix}}"
    if columns < 100:
        return f"{{percentage:3.0f}}% {done}, {{rate_noinv_fmt}}, {left}{{postfix}}"
    return f"{{percentage:3.0f}}%|{{bar}}| {done} files, {{rate_noinv_fmt}}, {left}{{postfix}}"


def counted(failed: int, unsure: int, columns: int) -> str:
    """What stands behind the progress."""
    said = [f"{failed:,} failed"] if failed else []
    if unsure and columns >= 60:
        said.insert(0, f"{unsure:,} unsure")
    return ", ".join(said)
