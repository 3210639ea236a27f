"""Windows to probabilities."""

from __future__ import annotations

import platform
import resource
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genretag.audio.extract import Extractor
from genretag.checkpoint import Checkpoint, CheckpointMeta, load, resolve
from genretag.errors import DeviceError
from genretag.labels import LabelSet
from genretag.models.musicnn_inference import MusicnnInference
from genretag.models.registry import build, load_model, preset
from genretag.predict.score import Scorer, find_device

SPEC = preset("vgg").features


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    """A network of the real kind, small and never trained."""
    torch.manual_seed(0)
    config = {"filters": 4}
    labels = LabelSet(("calm", "loud", "odd"), "multi", {})
    meta = CheckpointMeta("small", "vgg", config, SPEC, labels)
    return Checkpoint(meta, build("vgg", config, 3).state_dict())


@pytest.fixture(scope="module")
def waves() -> np.ndarray:
    random = np.random.default_rng(1)
    return random.normal(0, 0.1, (7, SPEC.window_samples)).astype(np.float32)


class Hungry(nn.Module):
    """A network on a device that holds `room` windows."""

    def __init__(self, network: nn.Module, room: int) -> None:
        super().__init__()
        self.network, self.room = network, room
        self.sizes: list[int] = []

    def forward(self, features: Tensor) -> Tensor:
        self.sizes.append(len(features))
        if len(features) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        logits: Tensor = self.network(features)
        return logits


def logits_of(checkpoint: Checkpoint, waves: np.ndarray) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = load_model(checkpoint)(Extractor(SPEC)(torch.from_numpy(waves)))
    return logits


@pytest.mark.parametrize("batch_size", [None, 1, 3, 100])
def test_scores_are_probabilities_whatever_the_batch(
    small: Checkpoint, waves: np.ndarray, batch_size: int | None
) -> None:
    scores = Scorer(small, "cpu", batch_size).score(waves)
    assert scores.dtype == np.float32
    assert scores == pytest.approx(logits_of(small, waves).sigmoid().numpy(), abs=1e-5)


def test_the_cpu_runs_the_quick_form_of_a_network(waves: np.ndarray) -> None:
    auto = load(resolve("auto"))
    scorer, plain = Scorer(auto, "cpu"), load_model(auto)
    assert isinstance(scorer._model.base, MusicnnInference)
    with torch.inference_mode():
        encoded = plain.encode(Extractor(SPEC)(torch.from_numpy(waves)))
        track = plain.track(plain.rows_of(encoded)).sigmoid()
    found = scorer.score(waves)
    assert found == pytest.approx(encoded.numpy(), abs=1e-4)
    assert scorer.track(found) == pytest.approx(track.numpy(), abs=1e-4)


def test_single_labels_share_one_and_temperature_softens(small: Checkpoint, waves: np.ndarray) -> None:
    labels = LabelSet(("calm", "loud", "odd"), "single", {})
    warm = replace(small, meta=replace(small.meta, labels=labels, temperature=2.5))
    scores = Scorer(warm, "cpu").score(waves)
    assert scores == pytest.approx((logits_of(small, waves) / 2.5).softmax(dim=1).numpy(), abs=1e-5)


def test_no_windows_no_scores(small: Checkpoint, waves: np.ndarray) -> None:
    assert Scorer(small, "cpu").score(waves[:0]).shape == (0, 3)


def test_out_of_memory_halves_the_batch_and_loses_nothing(small: Checkpoint, waves: np.ndarray) -> None:
    scorer = Scorer(small, "cpu", 7)
    expected = scorer.score(waves)
    scorer._model = hungry = Hungry(scorer._model, room=2)
    assert scorer.score(waves) == pytest.approx(expected, abs=1e-5)
    assert hungry.sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert scorer.batch_size == 1


def test_a_device_without_room_for_one_window_is_an_error(small: Checkpoint, waves: np.ndarray) -> None:
    scorer = Scorer(small, "cpu", 4)
    scorer._model = Hungry(scorer._model, room=0)
    with pytest.raises(DeviceError, match="one window"):
        scorer.score(waves)


def test_other_failures_of_the_network_are_not_hidden(small: Checkpoint, waves: np.ndarray) -> None:
    scorer = Scorer(small, "cpu")
    scorer._model = nn.Linear(5, 3)
    with pytest.raises(RuntimeError, match="shape"):
        scorer.score(waves)


def test_a_lane_is_one_core_and_leaves_the_rest_as_it_was(small: Checkpoint) -> None:
    before = torch.get_num_threads()
    scorer = Scorer(small, "cpu")
    with scorer.lane():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert scorer.lanes >= 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc's malloc")
def test_layers_reuse_memory_in_threads(waves: np.ndarray) -> None:
    scorer = Scorer(load(resolve("musicnn-msd")), "cpu")
    faults: list[int] = []

    def score() -> None:
        with scorer.lane():
            for _ in range(4):
                scorer.score(waves[:4])
                faults.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt)

    thread = threading.Thread(target=score)
    thread.start()
    thread.join()
    # Pages fetched for a window once it is warm: 3,600 where every layer gives its memory back.
    pages = (faults[-1] - faults[1]) / 8
    assert pages < 1000


def test_devices_by_name() -> None:
    assert find_device("cpu").type == "cpu"
    assert find_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cuda:x", "cuda:", "cpu:0", "", "mps:1"])
def test_a_device_that_is_not_there_is_one_clear_line(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        find_device(name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_on_a_machine_without_it_is_one_clear_line() -> None:
    with pytest.raises(DeviceError, match=r"^device cuda: .*use --device auto or cpu$"):
        find_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_gpu_gives_the_scores_of_the_cpu(small: Checkpoint, waves: np.ndarray) -> None:
    scorer = Scorer(small, "cuda", 3)
    with scorer.lane():
        scores = scorer.score(waves)
    assert scores == pytest.approx(Scorer(small, "cpu").score(waves), abs=1e-3)
