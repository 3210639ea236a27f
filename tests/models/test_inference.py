"""The inference forms of networks give the answers of the networks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from genretag import checkpoint
from genretag.audio.extract import Extractor
from genretag.models.inference import filters_of
from genretag.models.musicnn import Musicnn
from genretag.models.musicnn_inference import MusicnnInference
from genretag.models.presets import PRESETS
from genretag.models.registry import build, for_inference, load_model
from genretag.models.vgg_inference import VggInference

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SHIPPED = ("musicnn-msd", "musicnn-mtt", "vgg-msd", "vgg-mtt")


@functools.cache
def shipped(name: str) -> nn.Module:
    return load_model(checkpoint.load(checkpoint.resolve(name)))


@functools.cache
def heard() -> Tensor:
    """Features of the four windows of the test signal, with a silent one behind."""
    spec = PRESETS["musicnn"].features
    samples, _ = soundfile.read(FIXTURES / "synthetic.wav", dtype="float32")
    track = np.pad(samples, (spec.lead_samples, spec.window_samples))
    waves = [track[k * spec.step_samples :][: spec.window_samples] for k in range(4)]
    with torch.inference_mode():
        return Extractor(spec)(torch.from_numpy(np.stack([*waves, np.zeros_like(waves[0])])))


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5)) * 8


def trained(network: nn.Module, switched_off: float = 0.5) -> nn.Module:
    """Numbers as training leaves them: batch-norms of both signs, filters that weight decay has reached."""
    generator = torch.Generator().manual_seed(6)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.data = torch.randn(len(module.weight), generator=generator)
            module.bias.data = torch.randn(len(module.bias), generator=generator)
            module.running_mean = torch.rand(len(module.weight), generator=generator)
            module.running_var = torch.rand(len(module.weight), generator=generator) + 0.1
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            off = torch.rand(len(module.weight), generator=generator) < switched_off
            module.weight.data[off] *= 1e-20
            assert module.bias is not None
            module.bias.data = torch.randn(len(module.bias), generator=generator)
    return network.eval()


def assert_same(network: nn.Module, features: Tensor, tolerance: float = 1e-5) -> nn.Module:
    """Of the network as it is now, and of its inference form: logits and embeddings."""
    given: Any = network
    with torch.inference_mode():
        logits, embedding = given(features), given.embed(features)
        quick: Any = for_inference(network)
        assert quick is not network
        spread = max(1.0, float(logits.abs().max()))
        np.testing.assert_allclose(quick(features), logits, atol=tolerance * spread)
        np.testing.assert_allclose(quick.embed(features), embedding, atol=tolerance * 10, rtol=1e-4)
    return quick


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_answer_the_same(name: str) -> None:
    assert_same(shipped(name), torch.cat([heard(), noise(2, 187, 96)]))


@pytest.mark.parametrize("frames", [1, 6, 186, 400])
def test_any_number_of_frames(frames: int) -> None:
    assert_same(shipped("musicnn-msd"), noise(3, frames, 96))


@pytest.mark.parametrize("mels", [95, 96, 40, 41])
@pytest.mark.parametrize(("timbral", "temporal"), [(5, 3), (1, 1)])
def test_odd_widths(mels: int, timbral: int, temporal: int) -> None:
    config = {"timbral_filters": timbral, "temporal_filters": temporal, "mid_filters": 6, "dense_units": 9}
    assert_same(trained(Musicnn(7, (50, mels), **config)), noise(2, 50, mels))


@pytest.mark.parametrize("switched_off", [0.0, 1.0])
@pytest.mark.parametrize("name", ["musicnn", "vgg"])
def test_all_filters_and_none(name: str, switched_off: float) -> None:
    small = {"timbral_filters": 8, "temporal_filters": 4} if name == "musicnn" else {"filters": 6}
    assert_same(trained(build(name, small, 3), switched_off), noise(2, 187, 96))


def test_what_is_switched_off_is_not_computed() -> None:
    front: Any = shipped("musicnn-msd")
    largest = torch.tensor([100.0], dtype=torch.double)
    assert [len(filters_of(block, largest)) for block in front.front] == [23, 14, 3, 7, 17]


def test_a_filter_that_only_a_loud_input_wakes_is_kept() -> None:
    network = Musicnn(2, (20, 10), timbral_filters=2, temporal_filters=1).eval()
    block: Any = network.front[0]
    block.conv.weight.data.fill_(1e-3)
    block.conv.bias.data = torch.tensor([-1.0, -1.0])
    size = block.conv.weight[0].numel() * 1e-3
    for largest, kept in ((0.99 / size, 0), (1.01 / size, 2)):
        assert len(filters_of(block, torch.tensor([largest], dtype=torch.double))) == kept


def test_numbers_that_are_none_stay_none() -> None:
    for name in ("musicnn-msd", "vgg-msd"):
        features = noise(2, 187, 96)
        features[1, 90] = torch.nan
        with torch.inference_mode():
            logits = for_inference(shipped(name))(features)
        assert logits[0].isfinite().all()
        assert logits[1].isnan().all()


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_without_the_library_for_convolutions() -> None:
    with torch.backends.mkldnn.flags(enabled=False):
        assert_same(shipped("musicnn-msd"), heard()[:2])


def test_a_model_on_a_base_takes_its_form_along() -> None:
    features = heard()
    for name in ("auto", "gtzan-musicnn"):
        plain: Any = shipped(name)
        quick: Any = for_inference(load_model(checkpoint.load(checkpoint.resolve(name))))
        assert isinstance(quick.base, MusicnnInference)
        with torch.inference_mode():
            np.testing.assert_allclose(quick.rows(features), plain.rows(features), atol=1e-5)
            np.testing.assert_allclose(quick(features), plain(features), atol=1e-3)


def test_a_probe_of_embeddings_on_vgg() -> None:
    config = {"base_preset": "vgg", "base_config": {"filters": 4}, "base_labels": 5, "rows": "embedding"}
    probe: Any = build("probe", config, 3)
    features = noise(2, 187, 96)
    with torch.inference_mode():
        expected = probe.rows(features)
        quick: Any = for_inference(probe)
        assert isinstance(quick.base, VggInference)
        np.testing.assert_allclose(quick.rows(features), expected, atol=1e-5)


def test_other_networks_are_left_alone() -> None:
    for name in ("mlp", "gru", "kostrzewa"):
        network = build(name, {}, 4)
        assert for_inference(network) is network


def test_nobodys_seed_is_used_up() -> None:
    network = shipped("musicnn-msd")
    torch.manual_seed(3)
    for_inference(network)
    after = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(2))
