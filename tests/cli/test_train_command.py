"""`genretag train` from the command line: from features and from audio, stopped, killed, resumed, refused."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from tiny import music

from command import Command, command_line, in_own_process, start
from genretag import checkpoint
from genretag.cli.progress import TrainingProgress
from genretag.models.registry import load_model
from genretag.training.history import EpochScores

GENRES = ("Blues", "Jazz", "Rock")
COLUMNS = 12
QUICK = ("--model", "handcrafted", "--set", "hidden=[8]", "--batch-size", "16", "--lr", "0.01")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def made(folder: Path) -> Path:
    """Windows of 45 tracks of three genres, three windows each, as the field keeps them."""
    draw = np.random.default_rng(0)
    ids = [f"{genre}/song {number:02}.mp3" for genre in GENRES for number in range(15) for _ in range(3)]
    means = draw.normal(size=(3, COLUMNS)) * 1.5
    label = np.repeat(np.arange(3), 45)
    X = (means[label] + draw.normal(size=(135, COLUMNS))).astype(np.float32)
    np.savez(folder / "features.npz", X=X, Y=label, IDS=np.array(ids))
    artists = "".join(f"{name},{name}\n" for name in sorted(set(ids)))
    (folder / "artists.csv").write_text(f"id,artist\n{artists}")
    return folder / "features.npz"


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return made(tmp_path)


def on(features: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("train", "--dataset", "folder", "--features", features, *QUICK, "--out", out, *more)


def history(out: Path) -> list[dict[str, str]]:
    with (out / "history.csv").open() as file:
        return list(csv.DictReader(file))


def one_line(err: str, message: str) -> None:
    lines = [line for line in err.splitlines() if line.startswith("genretag: ")]
    assert message in lines[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize(("options", "threads"), [((), 1), (("--threads", "2"), 2)])
def test_small_networks_use_one_thread_unless_asked_otherwise(
    genretag: Command, features: Path, tmp_path: Path, options: tuple[str, ...], threads: int
) -> None:
    torch.set_num_threads(3)
    seen = set()

    def record(module: torch.nn.Module, inputs: object, outputs: torch.Tensor) -> None:
        if outputs.device.type == "cpu":  # a trial of shapes on the device "meta" computes nothing
            seen.add(torch.get_num_threads())

    hook = torch.nn.modules.module.register_module_forward_hook(record)
    with hook:
        assert genretag(*on(features, tmp_path / "run", "--epochs", 1, *options)).code == 0
    assert seen == {threads}
    assert torch.get_num_threads() == 3


def test_what_a_training_leaves(genretag: Command, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    answer = genretag(*on(features, out, "--epochs", 6))
    assert answer.code == 0
    assert answer.out.startswith("folder-handcrafted-0 on folder, split artist test:")
    assert "baseline" in answer.out
    assert answer.err.count("epoch ") >= 6
    assert f"checkpoint: {out / 'checkpoint.safetensors'}" in answer.err
    there = {path.name for path in out.iterdir()}
    assert {"checkpoint.safetensors", "history.csv", "report.md", "evaluation.json", "learning.png"} <= there
    assert [row["epoch"] for row in history(out)] == list("123456")

    loaded = checkpoint.load(out / "checkpoint.safetensors")
    meta = loaded.meta
    assert (meta.dataset, meta.split, meta.seed, meta.preset) == ("folder", "artist", 0, "handcrafted")
    assert meta.split_hash is not None
    assert meta.extra["split"]["seed"] == 0
    assert meta.labels.genres == {name: name for name in GENRES}
    assert meta.scores["on"] == "folder artist valid"
    assert 0.0 <= meta.scores["accuracy"] <= 1.0
    assert load_model(loaded)(torch.zeros(2, COLUMNS)).shape == (2, 3)
    # The figure is that of the tracks that were tested, and what eval finds in the checkpoint.
    again = genretag(
        "eval",
        "--model",
        out / "checkpoint.safetensors",
        "--dataset",
        "folder",
        "--features",
        features,
        "--json",
    )
    assert json.loads(again.out)["track"] == json.loads((out / "evaluation.json").read_text())["track"]

    before = (out / "checkpoint.safetensors").read_bytes()
    refused = genretag(*on(features, out, "--epochs", 6))
    assert refused.code == 2
    assert refused.err == (
        f"genretag: {out} holds a finished training (see report.md); give another --out, or --resume to "
        "measure it again\n"
    )
    resumed = genretag(*on(features, out, "--epochs", 6, "--resume", "-q"))
    assert (resumed.code, resumed.err) == (0, "")
    assert resumed.out == answer.out
    assert (out / "checkpoint.safetensors").read_bytes() == before


def test_the_default_folder(
    genretag: Command, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = genretag(
        "train", "--dataset", "folder", "--features", features, *QUICK, "--epochs", 1, "--seed", 3
    )
    assert answer.code == 0
    assert (tmp_path / "genretag-runs" / "folder-handcrafted-3" / "report.md").exists()


LONG = ("--epochs", 20, "--batch-size", 4, "--patience", 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint of a training that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    answer = in_own_process(*on(made(folder), folder / "run", *LONG))
    assert answer.code == 0, answer.err
    return (folder / "run" / "checkpoint.safetensors").read_bytes()


def until(process: subprocess.Popen[str], text: str) -> list[str]:
    """Read what a process says until a line holds `text`."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def test_killed_and_resumed_is_the_same_to_the_bit(
    genretag: Command, features: Path, tmp_path: Path, whole: bytes
) -> None:
    out = tmp_path / "killed"
    for epoch in (2, 9):  # and then at whatever step it is
        process = start(*on(features, out, *LONG, *(["--resume"] if out.exists() else [])))
        until(process, f"epoch {epoch}/20")
        process.kill()
        process.communicate()
    assert not (out / "report.md").exists()
    refused = genretag(*on(features, out, *LONG))
    assert refused.code == 2
    assert "holds an unfinished training; go on with --resume" in refused.err
    answer = genretag(*on(features, out, *LONG, "--resume"))
    assert answer.code == 0
    assert "resumed after epoch" in answer.err
    assert (out / "checkpoint.safetensors").read_bytes() == whole
    assert [row["epoch"] for row in history(out)] == [str(number) for number in range(1, 21)]
    assert not list(out.glob(".*.tmp"))


def test_stopped_and_resumed(genretag: Command, features: Path, tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "stopped"
    process = start(*on(features, out, *LONG))
    until(process, "epoch 3/20")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with the same command and --resume" in err
    assert "genretag: interrupted; what was finished is kept" in err
    stopped = checkpoint.load(out / "checkpoint.safetensors")
    assert stopped.meta.extra["ended"] == "interrupted"
    assert stopped.meta.extra["epoch"] in range(1, 20)
    assert genretag(*on(features, out, *LONG, "--resume")).code == 0
    assert (out / "checkpoint.safetensors").read_bytes() == whole


def test_other_settings_are_named(genretag: Command, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert genretag(*on(features, out, "--epochs", 1)).code == 0
    (out / "report.md").unlink()
    for more, message in (
        (("--epochs", 2), "started with --epochs 1, not 2"),
        (("--epochs", 1, "--lr", "0.1"), "started with --lr 0.01, not 0.1"),
        (("--epochs", 1, "--seed", 1), "started with --seed 0, not 1"),
        (("--epochs", 1, "--set", "hidden=[9]"), "started with hidden of handcrafted [8], not [9]"),
        (("--epochs", 1, "--split", "track"), "started with --split artist, not track"),
    ):
        answer = genretag(*on(features, out, *more, "--resume", "-q"))
        assert answer.code == 2
        assert message in answer.err
        assert answer.err.count("\n") == 1


def test_a_loss_that_is_no_number(genretag: Command, features: Path, tmp_path: Path) -> None:
    answer = genretag(*on(features, tmp_path / "run", "--epochs", 3, "--lr", "1e29"))
    assert answer.code == 2
    one_line(answer.err, "loss of epoch 1 is not finite (learning rate 1e+29); try a smaller --lr")
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "run" / "report.md").exists()


def test_a_full_disk_is_one_line(features: Path, tmp_path: Path) -> None:
    """A limit on file sizes fails in the same places as a full disk."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "from genretag.__main__ import main; main(sys.argv[1:])"
    )
    arguments = list(map(str, on(features, tmp_path / "run", "--epochs", 3)))
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    one_line(done.stderr, "state.safetensors: the run's state cannot be written (File too large)")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_two_trainings_in_one_folder(genretag: Command, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with FileLock(out / ".lock"):
        answer = genretag(*on(features, out))
    assert answer.code == 2
    assert answer.err == f"genretag: {out}: another training is writing there; give another --out\n"


@pytest.mark.parametrize("kind", ["track", "segment"])
def test_a_split_that_leaks_says_so_first(
    genretag: Command, features: Path, tmp_path: Path, kind: str
) -> None:
    (features.parent / "artists.csv").write_text(
        "id,artist\n"
        + "".join(
            f"{genre}/song {number:02}.mp3,{genre} {number // 5}\n"
            for genre in GENRES
            for number in range(15)
        )
    )
    out = tmp_path / "run"
    answer = genretag(*on(features, out, "--epochs", 2, "--split", kind))
    assert answer.code == 0
    assert answer.out.startswith("Inflated: ")
    assert (out / "report.md").read_text().startswith("**Inflated: ")
    assert json.loads((out / "evaluation.json").read_text())["leak_free"] is False


def test_folds_inside_train(genretag: Command, features: Path, tmp_path: Path) -> None:
    """No clip is given to a valid part; the checkpoint says what it is called and may be used for."""
    out = tmp_path / "run"
    answer = genretag(
        "train", "--dataset", "folder", "--features", features, "--model", "svm", "--out", out,
        "--inner-folds", 3, "--name", "mine", "--licence", "CC0",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.out.startswith("mine on folder, split artist test:")
    assert "valid none" in answer.err
    assert "3 fits to 3 folds inside the train part" in answer.err
    meta = checkpoint.read_meta(out / "checkpoint.safetensors")
    assert (meta.name, meta.licence) == ("mine", "CC0")
    assert meta.extra["tracks"]["valid"] == 0
    assert meta.scores["on"] == "folder artist train, 3 folds inside"
    assert meta.scores["tracks"] == meta.extra["tracks"]["train"]
    # Another command finds the same split again.
    again = genretag(
        "eval", "--model", out / "checkpoint.safetensors", "--dataset", "folder", "--features", features
    )
    assert "split artist test" in again.out
    assert "inflated" not in again.out


def test_folds(genretag: Command, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    answer = genretag(*on(features, out, "--epochs", 2, "--folds", 3, "--final"))
    assert answer.code == 0
    with (out / "folds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["tracks"]) for row in rows) == 45
    figures = [float(row["accuracy"]) for row in rows]
    words = " ".join(answer.out.split())
    mean, spread = 100 * np.mean(figures), 100 * np.std(figures, ddof=1)
    assert f"3 folds, accuracy {mean:.1f} % on average, spread {spread:.1f}" in words
    assert json.loads((out / "evaluation.json").read_text())["track"]["n"] == 45
    # The weights of folds are nobody's model.
    assert list(out.glob("**/checkpoint.safetensors")) == [out / "final" / "checkpoint.safetensors"]


def test_several_labels(genretag: Command, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    truth = draw.random((60, 3)) < 0.5
    truth[:, 0] |= ~truth.any(axis=1)
    names = [f"song {number}.mp3" for number in range(60)]
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "artist"))
        for name, row in zip(names, truth, strict=True):
            rows.writerow(
                (name, "|".join(genre for genre, yes in zip(GENRES, row, strict=True) if yes), name)
            )
    X = truth @ draw.normal(size=(3, COLUMNS)) * 2 + draw.normal(size=(60, COLUMNS))
    np.savez(tmp_path / "f.npz", X=X.astype(np.float32), Y=truth.astype(np.float32), IDS=np.array(names))
    out = tmp_path / "run"
    more = ("--data", tmp_path / "list.csv", "--epochs", 8, "--class-weights", "--augment")
    answer = genretag(*on(tmp_path / "f.npz", out, *more))
    assert answer.code == 0, answer.err
    assert "valid_roc_auc" in history(out)[0]
    meta = checkpoint.read_meta(out / "checkpoint.safetensors")
    assert set(meta.thresholds) <= set(GENRES)
    assert meta.thresholds
    assert meta.extra["recipe"]["class_weights"] is True
    assert meta.extra["recipe"]["augmentation"] == {"mixup": {"alpha": 0.2}}
    assert json.loads((out / "evaluation.json").read_text())["track"]["roc_auc"] > 0.7


def test_a_fitted_preset(genretag: Command, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    common = ("train", "--dataset", "folder", "--features", features, "--model", "svm", "--out", out)
    answer = genretag(*common, "--grid")
    assert answer.code == 0
    assert "grid search: c " in answer.err
    assert not (out / "history.csv").exists()
    meta = checkpoint.read_meta(out / "checkpoint.safetensors")
    assert meta.extra["grid"]["folds"] == 5
    assert json.loads((out / "evaluation.json").read_text())["track"]["accuracy"] > 0.6
    before = (out / "checkpoint.safetensors").read_bytes()
    assert genretag(*common, "--grid", "--resume").code == 0
    augmented = genretag(*common, "--augment", "--resume")
    assert augmented.err == "genretag: svm is fitted, not trained; leave out --augment and --patience\n"
    assert (out / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--model", "grew"), "no preset named 'grew'; presets: gru"),
        (
            ("--model", "gru", "--set", "hidden=4"),
            "the model takes 130 x 13; these are features of another model",
        ),
        (("--model", "gru"), "preset gru cannot be built: hidden_size should be of type int, got: list"),
        (("--model", "svm", "--epochs", "3"), "preset svm has no option 'epochs'"),
        (("--grid",), "handcrafted is trained by gradient and has no grid"),
        (("--set", "hidden"), "--set hidden: give NAME=VALUE"),
        (("--set", "hiden=3"), "preset handcrafted has no option 'hiden'"),
        (("--set", "dropout=much"), "preset handcrafted cannot be built"),
        (("--split", "random"), "--split random: give one of official, artist, track, segment"),
        (("--split", "official"), "has no official split"),
        (("--set", 'augmentation={"random-crop": {}}'), "random-crop needs windows of frames"),
        (("--set", 'augmentation={"reverb": {}}'), "no augmentation is called 'reverb'"),
        (("--precision", "bf16"), "--precision bf16 is for GPUs"),
        (("--batch-size", "1"), "a step needs two windows"),
        (("--final",), "--final goes with --folds"),
        (("--freeze",), "preset handcrafted cannot start 'frozen'"),
        (("--tags", "50", "--variant", "own"), "--tags names a variant"),
        (("--device", "cuda:99"), "device cuda:99"),
    ],
)
def test_what_cannot_be_is_one_line(
    genretag: Command, features: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    answer = genretag(*on(features, tmp_path / "run", *more, "-q"))
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    left = tmp_path / "run"
    assert not left.exists() or [path.name for path in left.iterdir()] == [".lock"]


def test_from_audio(genretag: Command, tmp_path: Path) -> None:
    """Decoded, cached, trained, measured; and then the checkpoint hears files as any other does."""
    data = music(tmp_path / "music", seconds=7.0)
    (tmp_path / "music" / "Jazz 0.flac").write_bytes(b"this is no music")
    out = tmp_path / "run"
    quick = ("--model", "gru", "--set", "hidden=4", "--epochs", 2, "--workers", 1, "--augment")
    answer = genretag("train", "--dataset", "folder", "--data", data, "--out", out, *quick)
    assert answer.code == 1, answer.err
    assert "left out: " in answer.err
    last = answer.err.splitlines()[-1]
    assert last.startswith("genretag: 1 clip was left out, all are listed in the report: [not-audio] ")
    assert "Jazz 0.flac" in last
    report = (out / "report.md").read_text()
    assert "## Clips left out" in report
    assert report.count("Jazz 0.flac") == 1
    assert "split official test: 6 tracks, 12 windows" in " ".join(answer.out.split())
    meta = checkpoint.read_meta(out / "checkpoint.safetensors")
    assert meta.features.kind == "mfcc"
    assert set(meta.extra["recipe"]["augmentation"]) == {"mixup", "random-crop", "spec-augment"}
    tagged = genretag(
        "tag", "-n", "--json", "--model", out / "checkpoint.safetensors", tmp_path / "music" / "Rock 4.flac"
    )
    assert set(tagged.records[0]["scores"]) == {"Jazz", "Metal", "Rock"}


@pytest.mark.parametrize("quiet", [False, True])
def test_clips_that_are_left_out_are_counted_once_and_the_exit_code_says_so(
    genretag: Command, tmp_path: Path, quiet: bool
) -> None:
    data = music(tmp_path / "music", seconds=4.0)
    bad = ["Jazz 0.flac", "Metal 1.flac", "Rock 0.flac", "Rock 2.flac"]
    for name in bad:
        (tmp_path / "music" / name).write_bytes(b"this is no music")
    out = tmp_path / "run"
    arguments = ("--dataset", "folder", "--data", data, "--out", out, "--split", "artist", "--folds", 2)
    answer = genretag(
        "train", *arguments, "--model", "gru", "--set", "hidden=4", "--epochs", 1, "--workers", 1,
        *(["--quiet"] if quiet else []),
    )  # fmt: skip
    assert answer.code == 1, answer.err
    last = answer.err.splitlines()[-1]
    assert last.startswith("genretag: 4 clips were left out, all are listed in the report: ")
    assert last.count("[not-audio]") == 3
    assert last.endswith("; ...")
    report = (out / "report.md").read_text()
    assert [report.count(name) for name in bad] == [1] * 4


@pytest.mark.parametrize("model", ["probe", "efficientnet-svm"])
def test_what_a_frozen_network_says_is_computed_once(genretag: Command, tmp_path: Path, model: str) -> None:
    data = music(tmp_path / "music")
    common = ("train", "--dataset", "folder", "--data", data, "--model", model, "--workers", 1)
    answer = genretag(*common, "--out", tmp_path / "one")
    assert answer.code == 0, answer.err
    cached = {path: path.stat().st_mtime_ns for path in Path(os.environ["GENRETAG_HOME"]).glob("**/*.npy")}
    assert len(cached) == 2 * 15  # and embeddings, by which copies of a recording are found
    answer = genretag(*common, "--set", "head=svm-linear", "--out", tmp_path / "two")
    assert answer.code == 0, answer.err
    assert {path: path.stat().st_mtime_ns for path in cached} == cached
    # The checkpoint needs nothing else, and says of a file what was measured.
    own = tmp_path / "one" / "checkpoint.safetensors"
    tagged = genretag(
        "tag", "-n", "--json", "--coverage", "full", "--model", own, tmp_path / "music" / "Rock 4.flac"
    )
    with (tmp_path / "one" / "tracks.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["id"] == "Rock 4.flac")
    scores = tagged.records[0]["scores"]
    assert scores == pytest.approx({name: float(row[name]) for name in scores}, abs=1e-3)


def test_two_processes_are_one_training(genretag: Command, features: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*launcher, *command_line(*on(features, out, "--epochs", 3, "--device", "cpu"))[2:]],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("folder-handcrafted-0 on folder") == 1
    assert done.stderr.count("epoch 3/3") == 1
    single = tmp_path / "single"
    assert genretag(*on(features, single, "--epochs", 3)).code == 0
    one, other = (checkpoint.load(path / "checkpoint.safetensors").state for path in (out, single))
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=1e-5), name


def _rest(terminal: int) -> bytes:
    """What is still to be read of a terminal whose other end is closed."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 160, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with TrainingProgress(quiet=False) as shown:
            for epoch in (2, 3):
                shown.epoch_begins(epoch, 3, steps=4, done=0)
                for _ in range(4):
                    shown.step_done()
                shown.epoch_done(EpochScores(epoch, 0.5, 0.4, 0.75, 1e-3, 1.0), "single", best=epoch == 2)
            shown.warns("a clip is left out")
    seen = b"".join(iter(lambda: _rest(ours), b"")).decode()
    os.close(ours)
    assert "epoch 3/3: 100%" in seen
    assert "12/12" in seen
    assert "train loss 0.5000, valid loss 0.4000, valid accuracy 75.0 %, best so far" in seen
    assert "genretag: a clip is left out\r\n" in seen
    assert seen.count("\n") == 2


def test_quiet_shows_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(quiet=True) as shown:
        shown.news("fold 1 of 3")
        shown.epoch_begins(1, 3, steps=4, done=0)
        shown.step_done()
        shown.epoch_done(EpochScores(1, 0.5, None, None, 1e-3, 1.0), "multi", best=True)
        shown.warns("a clip is left out")
    assert capsys.readouterr().err == "genretag: a clip is left out\n"
