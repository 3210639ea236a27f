"""Windows of samples to label probabilities, on whatever device there is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genretag.audio.extract import Extractor
from genretag.checkpoint import Checkpoint
from genretag.errors import DeviceError
from genretag.models.registry import load_model
from genretag.predict.pool import available_cores

CPU_BATCH = 2  # windows; what lies between the layers of more falls out of a core's cache
GPU_BATCH = 128
CUDA_LANES = 2  # one copies and waits while the other computes


class Scorer:
    """A checkpoint ready to score. Threads may share it; each holds a `lane()` around its work.

    `batch_size` is the most windows of one pass through the network (None: what suits the device). It halves
    when the device runs out of memory. DeviceError where the device is not there.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", batch_size: int | None = None) -> None:
        self.device = find_device(device)
        self.labels = checkpoint.meta.labels
        self.batch_size = batch_size or (CPU_BATCH if self.device.type == "cpu" else GPU_BATCH)
        self._temperature = checkpoint.meta.temperature
        self._threads = torch.get_num_threads()
        self._lock = threading.Lock()
        self._extractor = Extractor(checkpoint.meta.features).eval().to(self.device)
        self._model = load_model(checkpoint).to(self.device)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # lanes run on streams of their own and need whole weights

    @property
    def lanes(self) -> int:
        """Threads that are worth scoring with."""
        if self.device.type == "cpu":
            return available_cores()
        return CUDA_LANES if self.device.type == "cuda" else 1

    @contextlib.contextmanager
    def lane(self) -> Iterator[None]:
        """What a thread holds while it scores: one core each on a CPU, a stream each on a GPU."""
        if self.device.type == "cuda":
            new_stream: Any = torch.cuda.Stream  # torch does not type its constructor
            with torch.cuda.stream(new_stream(self.device)):
                yield
        elif self.device.type == "cpu":
            torch.set_num_threads(1)
            try:
                yield
            finally:
                torch.set_num_threads(self._threads)
        else:
            yield

    def score(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (windows, labels) of samples (windows, window_samples).

        DeviceError where not even one window fits into the device's memory.
        """
        probabilities = np.empty((len(waves), len(self.labels.names)), np.float32)
        done = 0
        while done < len(waves):
            part = waves[done : done + self.batch_size]
            try:
                probabilities[done : done + len(part)] = self._forward(part)
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                self._make_room(len(part))
            else:
                done += len(part)
        return probabilities

    def _forward(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            samples = torch.from_numpy(waves)
            if self.device.type == "cuda":
                samples = samples.pin_memory().to(self.device, non_blocking=True)
            else:
                samples = samples.to(self.device)
            logits: Tensor = self._model(self._extractor(samples)) / self._temperature
            single = self.labels.kind == "single"
            probabilities = logits.softmax(dim=1) if single else logits.sigmoid()
            scores: NDArray[np.float32] = probabilities.float().cpu().numpy()
        return scores

    def _make_room(self, failed_size: int) -> None:
        """Halve the batch after `failed_size` windows did not fit; another lane may have done so already."""
        if failed_size == 1:
            raise DeviceError(
                f"{self.device}: one window does not fit into its free memory; use --device cpu"
            )
        with self._lock:
            self.batch_size = min(self.batch_size, failed_size // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def find_device(name: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; DeviceError where it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if name == "cpu" or (name == "mps" and torch.backends.mps.is_available()):
        return torch.device(name)
    if kind == "cuda" and (number.isdecimal() or name == "cuda"):
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) < found:
            return torch.device("cuda", int(number or 0))
        raise DeviceError(f"device {name}: {_cuda_found(found)}; use --device auto or cpu")
    if name == "mps":
        raise DeviceError("device mps: there is none here; use --device auto or cpu")
    raise DeviceError(f"device {name!r}: give auto, cpu, cuda, cuda:N or mps")


def _cuda_found(found: int) -> str:
    if found:
        return f"there are cuda:0 to cuda:{found - 1}" if found > 1 else "there is only cuda:0"
    if torch.version.cuda is None:
        return "this build of torch has no CUDA"
    return "no CUDA device is found"


def _out_of_memory(error: RuntimeError) -> bool:
    # Apple's backend raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
