"""One target under atheris: inputs that reach code not reached before are kept and damaged further.

Run by `python -m benchmarks.fuzz`, in a process of its own, since libFuzzer ends the process it runs in.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

WATCHED = ["genretag", "mutagen", "tomllib", "zipfile", "numpy.lib.format", "csv"]


def main(name: str, corpus: Path, flags: list[str]) -> None:
    """Feed the target until libFuzzer ends; `flags` are libFuzzer's."""
    with atheris.instrument_imports(include=WATCHED):
        from benchmarks.fuzz.targets import TARGETS, feed
    target, scratch = TARGETS[name], corpus.parent / "input"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds(corpus.parent)):
        (corpus / f"seed-{number}").write_bytes(seed)

    def one_input(content: bytes) -> None:
        feed(target, content, scratch)

    atheris.Setup([sys.argv[0], *flags, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
