"""The feature cache: what is kept, for how long, and what happens when a run is killed or has company."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import mutagen
import numpy as np
import pytest
import torch
from torch import nn

from genretag.audio.decode import decode_whole
from genretag.audio.extract import Extractor
from genretag.audio.features import FeatureSpec
from genretag.errors import FeatureError, FileError
from genretag.predict.engine import EngineOptions
from genretag.training.cache import FeatureCache, Front, Frozen
from genretag.training.variants import variants
from genretag.training.windows import FileWindows, StoredWindows
from sounds import make_sound

SPEC = FeatureSpec(
    "mfcc", 16000, n_fft=512, hop_length=256, frames=20, step_frames=20, n_mels=20, n_coefficients=8
)
SAMPLES = FeatureSpec("waveform", 16000, n_fft=1, hop_length=1, frames=4000, step_frames=4000)
OPTIONS = EngineOptions(device="cpu", workers=2)

SCRIPT = """
import sys
import termios
from pathlib import Path
from genretag.audio.features import FeatureSpec
from genretag.errors import FeatureError, FileError
from genretag.predict.engine import EngineOptions
from genretag.training.cache import FeatureCache, Front

cache, sounds = FeatureCache(Front(FeatureSpec(**{spec!r})), Path(sys.argv[1])), Path(sys.argv[2])
if sys.argv[3:]:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    answers = cache.fill(sorted(sounds.iterdir()), EngineOptions(device="cpu", workers=1))
    print(sum(not isinstance(answer, FileError) for answer in answers))
except FeatureError as error:
    sys.exit(f"genretag: {{error}}")
"""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(24):
        make_sound(folder / f"{number:02}.wav", 20.0, rate=16000, channels=1, seed=number)
    return folder


@pytest.fixture(scope="module")
def expected(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    FeatureCache(Front(SPEC), folder).fill(sorted(sounds.iterdir()), OPTIONS)
    return {name: path.read_bytes() for name, path in files_of(folder).items()}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "fill.py"
    path.write_text(SCRIPT.format(spec=SPEC.to_dict()))
    return path


def files_of(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.rglob("*.npy")}


def only(answers: tuple[StoredWindows | FileError, ...]) -> StoredWindows:
    (answer,) = answers
    assert isinstance(answer, StoredWindows)
    return answer


def windows_of(stored: StoredWindows) -> np.ndarray:
    return FileWindows([stored], [np.arange(stored.count)]).gather(np.arange(stored.count))


def extracted(waves: np.ndarray) -> np.ndarray:
    extractor = Extractor(SPEC)
    with torch.inference_mode():
        return np.concatenate([extractor(torch.from_numpy(wave[None])).numpy() for wave in waves])


def heard(path: Path) -> np.ndarray:
    return decode_whole(path, SPEC, "full")[0].waves[:6]


def test_kept_are_the_windows_of_the_extractor(sounds: Path, tmp_path: Path) -> None:
    path = sounds / "00.wav"
    stored = only(FeatureCache(Front(SPEC), tmp_path).fill([path], OPTIONS))
    assert (stored.count, stored.shape) == (62, (20, 8))
    assert np.array_equal(windows_of(stored)[:6], extracted(heard(path)))
    assert np.array_equal(np.load(stored.path), windows_of(stored))  # a file that anything can read


def test_the_cache_lies_in_the_store_and_is_not_made_twice(sounds: Path, tmp_path: Path) -> None:
    home = Path(os.environ["GENRETAG_HOME"])
    song = make_sound(tmp_path / "song.mp3", 3.0)
    cache = FeatureCache(Front(SPEC))
    stored = only(cache.fill([song], OPTIONS))
    assert stored.path.is_relative_to(home / "features")
    before = stored.path.stat().st_mtime_ns
    # The same recording with other tags, under another name.
    tags = mutagen.File(song, easy=True)
    tags["genre"] = "Jazz"
    tags.save()
    moved = song.rename(tmp_path / "moved.mp3")
    assert only(cache.fill([moved], OPTIONS)) == stored
    assert stored.path.stat().st_mtime_ns == before
    assert cache.fill([moved, moved], OPTIONS) == (stored, stored)


def test_fronts_that_differ_are_kept_apart(sounds: Path, tmp_path: Path) -> None:
    wider = FeatureSpec(**{**SPEC.to_dict(), "step_frames": 10})
    frozen = Frozen("weights-1:scores", (4,), lambda: nn.Flatten())
    fronts = [
        Front(SPEC),
        Front(wider),
        *(Front(SPEC, variant) for variant in variants(["noise"], 2, 0)),
        *(Front(SPEC, variant) for variant in variants(["noise"], 1, 1)),
        Front(SPEC, None, frozen),
        Front(SPEC, None, Frozen("weights-2:scores", (4,), lambda: nn.Flatten())),
    ]
    assert len({front.key for front in fronts}) == len(fronts)
    assert Front(FeatureSpec(**SPEC.to_dict())).key == Front(SPEC).key
    counts = [
        only(FeatureCache(front, tmp_path).fill([sounds / "00.wav"], OPTIONS)).count for front in fronts[:2]
    ]
    assert counts == [62, 124]


def test_altered_copies_are_computed_from_altered_samples(sounds: Path, tmp_path: Path) -> None:
    (variant,) = variants(["noise"], 1, 5)
    path = sounds / "01.wav"
    stored = only(FeatureCache(Front(SPEC, variant), tmp_path).fill([path], OPTIONS))
    altered = np.stack([variant(wave, SPEC) for wave in heard(path)])
    assert np.array_equal(windows_of(stored)[:6], extracted(altered))
    assert np.abs(windows_of(stored)[:6] - extracted(heard(path))).max() > 1


def test_answers_of_a_frozen_network_take_the_place_of_features(sounds: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(160, 3)).requires_grad_(False)
    front = Front(SPEC, None, Frozen("network", (3,), lambda: network))
    stored = only(FeatureCache(front, tmp_path).fill([sounds / "02.wav"], OPTIONS))
    expected = network(torch.from_numpy(extracted(heard(sounds / "02.wav")))).numpy()
    assert windows_of(stored)[:6] == pytest.approx(expected, abs=1e-3)


def test_a_clip_that_cannot_be_used_does_not_stop_the_others(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no music\n" * 500)
    silent = make_sound(tmp_path / "silent.wav", 2.0, level=0.0)
    paths = [text, sounds / "00.wav", tmp_path / "none.wav", silent, tmp_path]
    answers = FeatureCache(Front(SPEC), tmp_path / "cache").fill(paths, OPTIONS)
    codes = [answer.code if isinstance(answer, FileError) else "stored" for answer in answers]
    assert codes == ["not-audio", "stored", "missing", "silent", "unreadable"]
    for path, answer in zip(paths, answers, strict=True):
        assert isinstance(answer, StoredWindows) or str(path) in answer.message
    assert capsys.readouterr().err == ""  # no terminal, no progress


@pytest.mark.parametrize("damage", ["cut off", "empty", "another shape", "not numpy"])
def test_a_damaged_file_is_made_again(damage: str, sounds: Path, tmp_path: Path) -> None:
    cache = FeatureCache(Front(SPEC), tmp_path)
    stored = only(cache.fill([sounds / "00.wav"], OPTIONS))
    content = stored.path.read_bytes()
    if damage == "another shape":
        np.save(stored.path, np.zeros((3, 5), np.float32))
    else:
        changed = {"cut off": content[:-1], "empty": b"", "not numpy": b"x" * len(content)}
        stored.path.write_bytes(changed[damage])
    assert only(cache.fill([sounds / "00.wav"], OPTIONS)) == stored
    assert stored.path.read_bytes() == content


def test_a_killed_run_is_gone_on_with(
    sounds: Path, script: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    folder = tmp_path / "cache"
    program = subprocess.Popen([sys.executable, script, folder, sounds], stdout=subprocess.PIPE)
    end = time.monotonic() + 60
    while len(files_of(folder)) < 4 and time.monotonic() < end and program.poll() is None:
        time.sleep(0.002)
    program.send_signal(signal.SIGKILL)
    output, _ = program.communicate(timeout=60)
    kept = {name: path.stat().st_mtime_ns for name, path in files_of(folder).items()}
    assert output == b""
    assert 4 <= len(kept) < 24
    left = next(iter(files_of(folder).values())).parent / ".a.npy.1.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))

    FeatureCache(Front(SPEC), folder).fill(sorted(sounds.iterdir()), OPTIONS)
    assert {name: files_of(folder)[name].stat().st_mtime_ns for name in kept} == kept
    assert {name: path.read_bytes() for name, path in files_of(folder).items()} == expected
    assert not left.exists()


def test_two_runs_share_a_cache(
    sounds: Path, script: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    folder = tmp_path / "cache"
    command = [sys.executable, script, folder, sounds]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for program in programs:
        assert program.communicate(timeout=120) == (b"24\n", b"")
        assert program.returncode == 0
    # Nothing but whole files, with the bits that a run of its own gives.
    assert {name: path.read_bytes() for name, path in files_of(folder).items()} == expected
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {*expected, "front.json"}


def test_a_full_disk_is_one_clear_line_and_leaves_no_half(sounds: Path, tmp_path: Path) -> None:
    script, folder = tmp_path / "fill.py", tmp_path / "cache"
    script.write_text(SCRIPT.format(spec=SAMPLES.to_dict()))
    # No file may grow beyond a megabyte: room for the engine, but not for 20 s of samples.
    done = subprocess.run(
        [sys.executable, script, folder, sounds, "1000000"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"genretag: {folder}")
    assert "cannot be kept there (File too large)" in line
    assert "GENRETAG_HOME" in line
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["front.json"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FeatureError, match=r"cannot be kept there \(Not a directory\)"):
        FeatureCache(Front(SPEC), tmp_path / "file").fill([sounds / "00.wav"], OPTIONS)


def test_progress_shows_on_a_terminal(sounds: Path, script: Path, tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    command = [sys.executable, script, tmp_path / "cache", sounds]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal) as program:
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(master, 4096):
                shown += part
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(master)
    assert program.returncode == 0
    assert b"features" in shown
    assert b"24/24" in shown


def test_a_clip_that_is_replaced_before_it_is_decoded_is_not_kept(tmp_path: Path) -> None:
    path, new = (make_sound(tmp_path / f"{n}.wav", 3, rate=16000, channels=1, seed=n) for n in range(2))
    copy = tmp_path / "copy.wav"
    copy.write_bytes(path.read_bytes())

    class Replaced(FeatureCache):
        def _stored(self, name: str) -> StoredWindows | None:
            found = super()._stored(name)
            if new.exists() and self.folder.exists():  # the last look before it is decoded
                new.replace(path)
            return found

    cache = Replaced(Front(SPEC), tmp_path / "cache")
    (failed,) = cache.fill([path], OPTIONS)
    assert isinstance(failed, FileError)
    assert failed.code == "changed"
    assert not files_of(tmp_path / "cache")
    for one in (copy, path):
        assert np.array_equal(windows_of(only(cache.fill([one], OPTIONS)))[:6], extracted(heard(one)))


def test_every_copy_of_a_clip_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in paths:
        path.write_bytes(b"no sound at all" * 99)
    answers = FeatureCache(Front(SPEC), tmp_path / "cache").fill(paths, OPTIONS)
    for path, answer in zip(paths, answers, strict=True):
        assert isinstance(answer, FileError)
        assert answer.message.startswith(f"{path}: ")
