"""Text of strangers, in names, tags, labels, plans, maps and checkpoints: a terminal only ever shows it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale
from command import Answer, Command, command_line
from genretag import checkpoint
from genretag.checkpoint import CheckpointMeta
from genretag.cli.output import show_fault
from genretag.labels import LabelSet
from genretag.models import registry
from genretag.tagging import tags
from sounds import make_sound

# Sets the title, clears the screen, colours (with ESC and with the one character of C1), goes back, deletes,
# turns the direction of writing round, and begins a new line that could pass for one of ours.
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\b\x7f\u202e\ngenretag: all is well"
# A label may hold no control character at all.
LABELS = ("Rock\u202e", "Jazz\u202e")


def harmless(answer: Answer) -> None:
    """Nothing that a terminal obeys but line ends, and no line that a stranger began."""
    for text in (answer.out, answer.err):
        wrong = {character for character in text if unicodedata.category(character) in ("Cc", "Cf", "Cs")}
        assert wrong <= {"\n"}, (wrong, text)
        assert "\ngenretag: all is well" not in text
    assert "Traceback" not in answer.err


def evil_model(path: Path) -> Path:
    network = registry.build("musicnn", scale.FILTERS, len(LABELS))
    meta = CheckpointMeta(
        name=f"model{EVIL}",
        preset="musicnn",
        config=dict(scale.FILTERS),
        features=registry.preset("musicnn").features,
        labels=LabelSet(LABELS, "single", {label: label for label in LABELS}),
        thresholds=dict.fromkeys(LABELS, 0.01),
        dataset=EVIL,
        split=EVIL,
        scores={EVIL: EVIL},
        licence=EVIL,
        origin=EVIL,
        extra={EVIL: [EVIL]},
    )
    checkpoint.save(path, meta, network.state_dict())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evil_model(tmp_path_factory.mktemp("model") / f"m{EVIL}.safetensors")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder of a hostile name: a song without a genre, one with a hostile genre, one that is none."""
    folder = tmp_path / f"music{EVIL}"
    folder.mkdir()
    make_sound(folder / f"song{EVIL}.mp3", 2.0)
    tags.write(make_sound(folder / f"tagged{EVIL}.flac", 2.0), [f"Polka{EVIL}"])
    (folder / f"none{EVIL}.mp3").write_bytes(b"no music" * 500)
    return folder


def test_commands_that_write(genretag: Command, music: Path, model: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> Answer:
        answer = genretag(*arguments)
        harmless(answer)
        return answer

    plan = tmp_path / f"plan{EVIL}.jsonl"
    options = ("--model", model, "--threshold", "0")
    assert "Polka" in run("tag", "-n", "-v", *options, music).out
    assert run("tag", *options, "--plan", plan, music).code == 0  # what failed is known from the dry run
    for line in plan.read_text(encoding="utf-8").splitlines():
        assert line.isprintable()
    added = run("tag", "--json", "--existing", "add", "-n", *options, music).records
    assert added[2]["genres"][:2] == f"Polka{EVIL}".split(";")
    assert "written" in run("apply", "-v", plan).out
    assert "written" in run("tag", "--existing", "replace", "-v", *options, music).out
    assert "model" in run("history").out
    assert run("history", "--json").records[0]["model"] == f"model{EVIL}"
    next(music.glob("song*")).unlink()
    assert run("undo", "-v").code == 0
    assert run("undo", "1").code == 1
    assert run("undo", "1", "--json").code == 1


def test_what_cannot_be_done_is_told(genretag: Command, music: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / f"file{EVIL}"
    bad = {
        "not JSON": b"{" + EVIL.encode(),
        "status": json.dumps({"path": EVIL, "status": EVIL}).encode(),
        "model": json.dumps({"path": EVIL, "model": [EVIL]}).encode(),
    }
    for content in bad.values():
        path.write_bytes(content)
        assert genretag("apply", path).code == 2
        harmless(genretag("apply", path))
    path.write_text(json.dumps({"path": f"/no{EVIL}", "genres": [EVIL], "audio": EVIL, "error": None}))
    harmless(genretag("apply", path))
    toml_key = json.dumps(EVIL).replace("\x7f", "\\u007f")
    for text in (f"{toml_key} = 1", f"[rename]\n{toml_key} = 1", "x" + EVIL, f"drop = [{toml_key}, 3]"):
        path.write_text(text)
        answer = genretag("tag", "-n", "--map", path, music)
        assert answer.code == 2
        harmless(answer)
    damaged = path.with_name(f"damaged{EVIL}")
    damaged.write_bytes(model.read_bytes()[:-5])
    path.write_bytes(model.read_bytes().replace(b"Rock\xe2\x80\xae", b"Rock\\\\b  "))
    for arguments in (
        ("tag", "--model", path, music),
        ("tag", "--model", EVIL, music),
        ("tag", tmp_path / EVIL[2:]),
        ("tag", f"--{EVIL}"),
        (EVIL,),
        ("apply", "--under", path, path),
        ("models", path),
        ("models", damaged),
        ("models", EVIL),
        ("datasets", EVIL),
        ("datasets", "gtzan", "--verify", music),
        ("eval", "--model", path, "--dataset", EVIL),
        ("train", "--model", EVIL, "--dataset", "gtzan"),
    ):
        answer = genretag(*arguments)
        assert answer.code in (1, 2)
        harmless(answer)


def test_what_describes(genretag: Command, model: Path, tmp_path: Path) -> None:
    harmless(genretag("models", model))
    found = genretag("models", "--json", model)
    harmless(found)
    assert json.loads(found.out)["name"] == f"model{EVIL}"
    for number in range(4):
        for label in LABELS:
            (tmp_path / label).mkdir(exist_ok=True)
            make_sound(tmp_path / label / f"{number}{EVIL}.wav", 3.5, rate=16000, seed=number)
    for arguments in (
        ("datasets", "folder", "--data", tmp_path),
        ("datasets", "folder", "--data", tmp_path, "--json"),
        ("datasets", "folder", "--verify", tmp_path, "-v", "--open"),
    ):
        harmless(genretag(*arguments))
    options = ("--dataset", "folder", "--data", tmp_path, "--split", "all", "--workers", "1")
    measured = genretag("eval", "--model", model, *options, "--report", tmp_path / "report")
    harmless(measured)
    assert "Rock" in measured.out
    rows = {"X": np.ones((8, 3), np.float32), "Y": np.zeros(8, int), "IDS": np.array([EVIL] * 8)}
    rows["X"][3] = np.nan
    np.savez(tmp_path / "features.npz", **rows)
    refused = genretag("eval", "--model", model, *options, "--features", tmp_path / "features.npz")
    assert refused.code == 2
    harmless(refused)


def test_what_looks_at_one_song(genretag: Command, music: Path, model: Path, tmp_path: Path) -> None:
    song, tagged, none = (next(music.glob(f"{name}*")) for name in ("song", "tagged", "none"))
    for arguments in ((song,), (tagged,), (none,), ("--json", tagged), ("--json", none), (music,)):
        harmless(genretag("inspect", "--model", model, *arguments))
    assert "Polka" in genretag("inspect", "--model", model, tagged).out
    page = tmp_path / f"page{EVIL}.html"
    answer = genretag("inspect", "--model", model, "--audio", "link", "--html", page, tagged)
    assert answer.code == 0
    harmless(answer)
    assert not set(page.read_text(encoding="utf-8")) & set("\x1b\x9b\x07\x7f\u202e")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
def test_beside_a_progress_bar(music: Path, model: Path) -> None:
    ours, theirs = pty.openpty()
    line = command_line("tag", "-n", "-v", "--model", model, "--threshold", "0", music)
    process = subprocess.Popen(line, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal:
        try:
            while block := terminal.read(4096):
                shown += block
        except OSError:  # how Linux says that the other end is closed
            pass
    assert process.wait(60) == 1
    assert b"files" in shown
    assert b"song" in shown
    for piece in (
        b"\x1b]",
        b"\x1b[2J",
        "\x9b".encode(),
        b"\x07",
        b"\b",
        b"\x7f",
        "\u202e".encode(),
        b"\ngenretag: all",
    ):
        assert piece not in shown


def test_a_fault_of_ours_is_shown_harmlessly(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        raise ZeroDivisionError(EVIL)
    except ZeroDivisionError as error:
        show_fault(type(error), error, error.__traceback__)
    shown = capfd.readouterr().err
    assert shown.startswith("Traceback")
    assert "ZeroDivisionError: \\x1b]0;owned" in shown
    assert not any(unicodedata.category(character) in ("Cc", "Cf") for character in shown.replace("\n", ""))
