"""The families against what their authors say of their layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genretag.models.presets import PRESETS
from genretag.models.registry import build, count_parameters
from genretag.models.vggish import AutoPool


def sizes_of(model: nn.Module, kind: type[nn.Module], features: torch.Tensor) -> list[tuple[int, ...]]:
    """Output shapes of all layers of a kind, in the order in which they work."""
    seen: list[tuple[int, ...]] = []
    for layer in model.modules():
        if isinstance(layer, kind):
            layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape)))
    with torch.inference_mode():
        model.eval()(features)
    return seen


def of(name: str, windows: int = 2) -> torch.Tensor:
    return torch.rand(windows, *PRESETS[name].features.shape)


def test_wavenet_has_the_sizes_that_its_author_printed() -> None:
    model = build("wavenet", {}, 10)
    # The report's "output shape for each convolution layer", channels last there.
    expected = [(66142, 128), (22031, 128), (7311, 64), (2373, 64), (663, 32), (29, 32)]
    found = sizes_of(model, nn.Conv1d, of("wavenet", 1))
    assert [(steps, filters) for _, filters, steps in found] == expected
    assert model.get_submodule("output").in_features == 9 * 32  # type: ignore[union-attr]


def test_cnn_flattens_to_its_first_dense_layer() -> None:
    found = sizes_of(build("cnn", {}, 10), nn.Conv2d, of("cnn", 1))
    assert found == [(1, 256, 130, 13), (1, 256, 130, 13), (1, 256, 64, 6), (1, 512, 30, 1)]
    assert sizes_of(build("cnn", {}, 10), nn.Linear, of("cnn", 1)) == [(1, 256), (1, 128), (1, 10)]


def test_mlp_has_four_dense_layers() -> None:
    assert len(sizes_of(build("mlp", {}, 10), nn.Linear, of("mlp"))) == 4


def test_kostrzewa_makes_any_spectrogram_square() -> None:
    model = build("kostrzewa", {}, 8)
    expected = [(1, 64, 124, 124), (1, 64, 58, 58), (1, 128, 25, 25), (1, 128, 8, 8)]
    assert sizes_of(model, nn.Conv2d, of("kostrzewa", 1)) == expected
    assert sizes_of(model, nn.BatchNorm2d, of("kostrzewa", 1))[-1] == (1, 128, 4, 4)
    with torch.inference_mode():
        assert model(torch.rand(1, 400, 128)).shape == (1, 8)


@pytest.mark.parametrize(("name", "width"), [("lstm", 256), ("bilstm", 512), ("gru", 256)])
def test_recurrent_networks_read_any_number_of_frames(name: str, width: int) -> None:
    model = build(name, {}, 4).eval()
    with torch.inference_mode():
        assert model(torch.rand(2, 40, 13)).shape == (2, 4)
        assert model.embed(torch.rand(2, 40, 13)).shape == (2, width)  # type: ignore[operator]


def test_gru_judges_by_its_last_step() -> None:
    torch.manual_seed(0)
    model = build("gru", {}, 4).eval()
    frames = torch.rand(1, 130, 13)
    changed = frames.clone()
    changed[:, -1] += 1
    with torch.inference_mode():
        assert not torch.allclose(model(frames), model(changed))
        cells = model.get_submodule("cells")
        assert torch.equal(model.embed(frames), cells(frames)[0][:, -1])  # type: ignore[operator]


def test_short_chunk_halves_seven_times() -> None:
    found = sizes_of(build("short-chunk-resnet", {}, 50), nn.Conv2d, of("short-chunk-resnet", 1))
    widths = [filters for _, filters, _, _ in found[::3]]
    assert widths == [128, 128, 256, 256, 256, 256, 512]
    assert found[-1] == (1, 512, 1, 2)


def test_vggish_has_two_or_three_blocks_of_512() -> None:
    for blocks in (2, 3):
        model = build("vggish", {"blocks": blocks}, 188)
        assert sizes_of(model, nn.Linear, of("vggish")) == [(2, 512)] * blocks + [(2, 188)]
        assert len(sizes_of(model, nn.Dropout, of("vggish"))) == blocks
    assert sizes_of(model, nn.Conv2d, of("vggish", 1))[-1] == (1, 512, 12, 8)


def test_autopool_lies_between_the_mean_and_the_maximum() -> None:
    maps = torch.rand(3, 4, 24, generator=torch.Generator().manual_seed(0))
    pool = AutoPool(4)
    torch.testing.assert_close(pool(maps), maps.mean(dim=2))
    with torch.no_grad():
        pool.alpha.fill_(1e4)
        torch.testing.assert_close(pool(maps), maps.amax(dim=2))
        pool.alpha.fill_(1.0)
        torch.testing.assert_close(pool(maps), (maps.softmax(dim=2) * maps).sum(dim=2))
        pool.alpha.copy_(torch.tensor([0.0, 0.0, 0.0, -1e4]))
        torch.testing.assert_close(pool(maps)[:, 3], maps[:, 3].amin(dim=1))
        torch.testing.assert_close(pool(maps)[:, 0], maps[:, 0].mean(dim=1))


def test_autopool_learns_an_alpha_for_each_channel() -> None:
    plain, adaptive = (build("vggish", {"pooling": pooling}, 188) for pooling in ("average", "autopool"))
    assert count_parameters(adaptive) - count_parameters(plain) == 512
    # Alpha 0 is the mean: both begin as the same network.
    adaptive.load_state_dict({**adaptive.state_dict(), **plain.state_dict()})
    with torch.inference_mode():
        features = of("vggish")
        torch.testing.assert_close(adaptive.eval()(features), plain.eval()(features))


def test_the_training_set_standardises_what_has_no_norm_of_its_own() -> None:
    with_layer = {name for name in PRESETS if PRESETS[name].fit == "gradient" and _standardises(name)}
    own_norm = {"musicnn", "vgg", "wavenet", "vggish", "short-chunk-resnet"}
    assert with_layer == {name for name in PRESETS if PRESETS[name].fit == "gradient"} - own_norm


def _standardises(name: str) -> bool:
    with torch.device("meta"):
        return hasattr(build(name, {}, 2), "standardise")
