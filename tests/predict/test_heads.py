"""Several heads on one encoder: what one model analysed, another one need not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genretag import checkpoint
from genretag.predict.engine import EngineOptions, Predictor
from genretag.predict.heads import KnownScores
from genretag.store import MAX_ENCODING_BYTES, CachedEncoding, CachedScores, Store
from genretag.tagging.plan import Existing
from genretag.tagging.scan import scan
from genretag.tagging.tag import Tagging, TagOptions
from sounds import make_sound


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(4):
        make_sound(folder / f"{number}.flac", 5.0 + number, seed=number)
    return folder


@pytest.fixture
def other_head(tmp_path: Path) -> Path:
    """`auto` with another head on the same encoder."""
    model = checkpoint.load(checkpoint.resolve("auto"))
    state = {
        name: tensor if name.startswith(checkpoint.ENCODER_PREFIX) else -tensor
        for name, tensor in model.state.items()
    }
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, replace(model.meta, name="other"), state)
    return path


def test_heads_on_one_encoder_have_one_hash(other_head: Path) -> None:
    shipped = checkpoint.shipped()
    hashes = {name: checkpoint.encoder_hash(path) for name, path in shipped.items()}
    assert hashes["auto"] == checkpoint.encoder_hash(other_head)
    assert hashes["auto"] != hashes["gtzan-musicnn"], "its windows overlap"
    assert {hashes[name] for name in hashes if name not in ("auto", "gtzan-musicnn")} == {None}


def test_another_head_analyses_nothing(music: Path, other_head: Path) -> None:
    def options(model: str) -> TagOptions:
        return TagOptions(model, write=False, existing=Existing.REPLACE)

    with Store.open() as store:
        analysed = list(Tagging(options("auto"), store).records(scan([music])))
    assert all(record.seconds > 0 for record in analysed)
    with Store.open() as store:
        predictor = Predictor(other_head, EngineOptions())
        found = list(Tagging(options("auto"), store, predictor=predictor).records(scan([music])))
        assert predictor._runner is None, "no worker was started"
    assert [record.seconds for record in found] == [0.0] * 4
    assert [record.scores for record in found] != [record.scores for record in analysed]
    with Store.open(music.parent / "another home") as store:
        again = list(Tagging(options(str(other_head)), store).records(scan([music])))
    assert [record.scores for record in found] == [record.scores for record in again]
    assert [record.genres for record in found] == [record.genres for record in again]


def test_another_coverage_is_analysed(music: Path) -> None:
    with Store.open() as store:
        for coverage in ("fast", 3):
            options = TagOptions("auto", write=False, engine=EngineOptions(coverage=coverage))
            records = list(Tagging(options, store).records(scan([music])))
            assert all(record.seconds > 0 for record in records)


def test_large_encodings_are_not_kept() -> None:
    known = CachedScores(np.zeros(61, np.float32), 1, 2.0)
    with Store.open() as store:
        scores = KnownScores(store, checkpoint.resolve("auto"), "full")
        scores.remember("audio", known, np.zeros((1 + MAX_ENCODING_BYTES // 800, 200), np.float32))
        assert store.rows("SELECT * FROM encodings") == []
        store.flush()
        assert store.rows("SELECT * FROM encodings") == []
        assert scores.get("audio") is not None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("encoded", value) for value in ("text", b"odd", b"", bytes(400), b"\xff" * 1600)),
        *(("n_windows", value) for value in (0, 3, -1, 1 << 60, "many")),
        *(("duration", value) for value in ("long", float("inf"))),
    ],
)
def test_a_tampered_encoding_is_not_used(column: str, value: object) -> None:
    path = checkpoint.resolve("auto")
    encoder = checkpoint.encoder_hash(path)
    assert encoder is not None
    with Store.open() as store:
        known = CachedEncoding(np.zeros((2, 200), np.float32), 3.0)
        store.remember_encoding("audio", encoder, "fast", known)
        assert KnownScores(store, path, "fast").get("audio") is not None
        store.flush()
        with store.transaction() as connection:
            connection.execute("DELETE FROM scores")
            connection.execute(f"UPDATE encodings SET {column} = ?", (value,))
        assert KnownScores(store, path, "fast").get("audio") is None


def test_an_encoding_comes_back_as_it_was() -> None:
    encoded = np.random.default_rng(1).normal(size=(8, 200)).astype(np.float32)
    with Store.open() as store:
        store.remember_encoding("audio", "encoder", "fast", CachedEncoding(encoded, 3.5))
        for _ in range(2):
            found = store.cached_encoding("audio", "encoder", "fast")
            assert found is not None
            np.testing.assert_array_equal(found.encoded, encoded)
            assert found.duration == 3.5
            store.flush()
        assert store.cached_encoding("audio", "another", "fast") is None
