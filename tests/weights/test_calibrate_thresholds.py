"""Thresholds: the rules do what they say, and what ships is what they give."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from genretag import checkpoint
from genretag.labels import LabelSet, tag_labels

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calibrate_thresholds", WEIGHTS / "calibrate_thresholds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TAGS = {
    "rock": {"own": True, "right": ["rock"]},
    "punk": {"right": ["rock"], "unknown": ["pop"]},
    "ambient": {},
}
LABELS: LabelSet = tag_labels(["rock", "punk", "happy", "ambient"], ["rock", "punk", "ambient"])


def clips(calibration: ModuleType) -> object:
    """Forty clips: rock scores 0.415-0.605 on rock, 0.01-0.20 elsewhere; punk nothing; ambient up to 0.39."""
    rise = np.arange(1, 21) / 100
    scores = np.zeros((40, 4), np.float32)
    scores[:20, 0], scores[20:, 0] = 0.405 + rise, rise
    scores[:, 3] = np.concatenate([rise, rise + 0.19])
    genres = np.array(["rock"] * 20 + ["jazz"] * 20)
    return calibration.Clips(scores, genres, tuple(f"{genre}.{n}" for n, genre in enumerate(genres)))


def test_each_rule_finds_its_threshold(calibration: ModuleType) -> None:
    rows = {row.label: row for row in calibration.find(clips(calibration), LABELS, TAGS)}
    assert list(rows) == ["rock", "ambient", "punk"]
    rock = rows["rock"]
    assert (rock.rule, rock.above, rock.precision, rock.recall) == ("own", 20, 1.0, 1.0)
    assert 0.2 < rock.threshold <= 0.41
    assert (rows["punk"].rule, rows["punk"].threshold) == ("unconfirmed", 0.2)  # never reached its precision
    assert rows["ambient"].threshold == pytest.approx(0.39)  # one false alarm in forty is too many
    assert rows["ambient"].above <= 1


def test_first_genre_is_judged(calibration: ModuleType) -> None:
    thresholds = {"rock": 0.15, "punk": 1.0, "ambient": 1.0}
    found = calibration.judge(clips(calibration), LABELS, thresholds, TAGS)
    assert (found.clips, found.right, found.wrong, found.unknown) == (40, 20, 6, 0)
    assert "precision 0.77" in str(found)


def test_held_out_clips_are_judged_once_each(calibration: ModuleType) -> None:
    made = clips(calibration)
    artists = {name: name[-1] for name in made.names}
    found = calibration.held_out(made, LABELS, TAGS, artists)
    # The quietest rock clip meets a threshold that was found without it.
    assert (found.clips, found.right) == (40, 19)
    assert calibration.judge(made, LABELS, {"rock": 0.41}, TAGS).right == 20


def test_every_genre_has_a_line_and_every_threshold_a_place() -> None:
    tags = tomllib.loads((WEIGHTS / "calibration.toml").read_text(encoding="utf-8"))["tags"]
    thresholds = json.loads((WEIGHTS / "thresholds.json").read_text(encoding="utf-8"))
    for name in thresholds:
        meta = checkpoint.read_meta(checkpoint.shipped()[name])
        assert set(meta.labels.genres) <= set(tags)
        assert meta.thresholds == thresholds[name]
        card = (WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
        for label, threshold in meta.thresholds.items():
            assert f"| {label} |" in card
            assert f"| {threshold:.2f} |" in card


def test_shipped_thresholds_follow_from_the_scores(calibration: ModuleType, shared_data: Path) -> None:
    meta = checkpoint.read_meta(checkpoint.resolve("musicnn-msd"))
    tags = tomllib.loads((WEIGHTS / "calibration.toml").read_text(encoding="utf-8"))["tags"]
    train = calibration._known(shared_data / "gtzan" / "musicnn_msd_taggram_train.npz")
    assert len(train.names) == 443
    assert {row.label: row.threshold for row in calibration.find(train, meta.labels, tags)} == meta.thresholds
