"""The commonest mistakes, word for word: one line that says what to do, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import Command

MISTAKES = {
    "tga Music": "No such command 'tga'. Did you mean 'tag'? (see genretag --help)",
    "tag": "give a file or folder to tag (see genretag tag --help)",
    "tag Misuc": "Misuc: no such file or folder; check the spelling",
    "tag --exiting add Music": "No such option: --exiting (Possible options: --existing) "
    "(see genretag tag --help)",
    "tag --existing overwrite Music": "--existing overwrite: give one of keep, add, replace, refresh",
    "tag --model musicn-msd Music": "no model or file named 'musicn-msd'; models: musicnn-msd, musicnn-mtt, "
    "gtzan-musicnn",
    "tag --model notes.txt Music": "notes.txt: not a whole safetensors file; get it again",
    "tag --model Music Music": "Music: a folder; give the .safetensors file in it",
    "tag --top 0 Music": "--top 0: give a whole number from 1 up",
    "tag --top three Music": "Invalid value for '--top': give a whole number (see genretag tag --help)",
    "tag --threshold 50 Music": "--threshold 50: give a probability from 0 to 1, such as 0.3",
    "tag --min-confidence high Music": "Invalid value for '--min-confidence': give a number, such as 0.3 "
    "(see genretag tag --help)",
    "tag --map typo.toml Music": "typo.toml: unknown entry 'alow'; did you mean 'allow'?",
    "tag --coverage half Music": "coverage 'half': give fast, full or a number of windows from 1 up",
    "train --dataset folder --model mlp --threads 0": "--threads 0: give auto or a whole number from 1 up",
    "tag --workers 0 Music": "--workers 0: give auto or a whole number from 1 up",
    "tag --id3 2.5 Music": "--id3 2.5: give one of keep, 2.3, 2.4",
    "tag -0 Music": "-0 says how the list of --files-from is separated; give that too",
    "tag --files-from none.txt": "none.txt: no such file; give a file or - for standard input",
    "tag --plan none/plan.jsonl Music": "none/plan.jsonl: the plan cannot be written "
    "(No such file or directory); choose another place",
    "apply": "Missing argument 'FILE|-'. (see genretag apply --help)",
    "apply none.jsonl": "none.jsonl: no such file; give a file or - for standard input",
    "apply odd.jsonl": 'odd.jsonl:1: not an object with a "path", as `genretag tag --plan` writes it',
    "undo 7": "there is no run 7 in the history; see: genretag history",
    "undo last": "Invalid value for '[RUN]': give a whole number (see genretag undo --help)",
    "datasets nonsense": "no dataset is called 'nonsense'; there are gtzan, fma, magnatagatune, folder",
    "train": "Missing option '--dataset'. (see genretag train --help)",
    "playlists": "Missing argument 'OUT'. (see genretag playlists --help)",
    "watch none": "none: no such folder; give one that exists",
}


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Music").mkdir()
    Path("notes.txt").write_text("hello")
    Path("typo.toml").write_text('alow = ["Rock"]\n')
    Path("odd.jsonl").write_text('{"pat": 1}\n')


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_in_one_line_with_what_to_do(genretag: Command, line: str) -> None:
    answer = genretag(*line.split())
    assert answer.out == ""
    assert answer.err == f"genretag: {MISTAKES[line]}\n"
    assert answer.code == 2
