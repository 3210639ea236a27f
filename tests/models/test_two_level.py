"""Two levels in one pass: a probe's broad genres and its base's scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genretag import checkpoint
from genretag.errors import ModelError
from genretag.models.registry import build, is_track_model, load_model


def test_auto_says_what_its_two_parts_say() -> None:
    parts = {
        name: checkpoint.load(checkpoint.resolve(name)) for name in ("auto", "gtzan-musicnn", "musicnn-msd")
    }
    auto, head, tags = (load_model(part) for part in parts.values())
    features = torch.rand(4, 187, 96, generator=torch.Generator().manual_seed(1)) * 3
    with torch.inference_mode():
        rows = auto.rows(features)
        found = auto.track(rows).sigmoid()
        broad = (head.track(head.rows(features)) / parts["gtzan-musicnn"].meta.temperature).softmax(dim=0)
        alike = auto.familiarity(auto.scores(rows).mean(dim=0, keepdim=True))
        np.testing.assert_allclose(found[:10], broad * alike[0], atol=1e-5)
        np.testing.assert_allclose(found[10:60], tags(features).sigmoid().mean(dim=0), atol=1e-5)
        veto = auto.veto(auto.odds(rows)).sigmoid().mean(dim=0)
        np.testing.assert_allclose(found[60:], veto, atol=1e-5)
        np.testing.assert_allclose(auto(features)[0], auto.track(rows[:1]), atol=1e-4)
    assert is_track_model(parts["auto"].meta.preset)
    labels = parts["auto"].meta.labels
    assert labels.names == (
        *(f"genre/{name}" for name in parts["gtzan-musicnn"].meta.labels.names),
        *parts["musicnn-msd"].meta.labels.names,
        "speech",
    )
    assert labels.vetoes == ("speech",)
    assert labels.broad == labels.names[:10]


def test_broad_scores_fall_for_a_track_unlike_the_training_tracks() -> None:
    auto = load_model(checkpoint.load(checkpoint.resolve("auto")))
    known = auto.familiarity.tracks[:1].repeat(3, 1)
    strange = 1 - known
    with torch.inference_mode():
        of_known, of_strange = (auto.track(rows).sigmoid() for rows in (known, strange))
    assert of_known[:10].sum() > 0.9
    assert of_strange[:10].sum() < 0.01
    np.testing.assert_allclose(of_strange[10:60], strange[0], atol=1e-5)


def test_labels_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ModelError, match="10 broad labels, 50 scores and 0 vetoes make no 61 labels"):
        build("two-level", {"broad": 10, "temperature": 1.0}, 61)
    odd = ({"broad": 10, "fallback": {"broad": 1}}, {"broad": 3})
    for fallback in (3, *odd, {"broad": 3, "temperature": 1.0, "rows": "embedding"}):
        with pytest.raises(ModelError):
            build("two-level", {"broad": 10, "temperature": 1.0, "fallback": fallback}, 63)
