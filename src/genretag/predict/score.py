"""Windows of samples to label probabilities, or to other rows, on whatever device there is."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genretag.audio.extract import Extractor
from genretag.audio.features import FeatureSpec
from genretag.checkpoint import Checkpoint
from genretag.errors import CheckpointError, DeviceError
from genretag.models.registry import for_inference, is_track_model, load_model
from genretag.predict.heap import keep_freed_memory
from genretag.predict.pool import available_cores
from genretag.predict.worker import WORKER_KINDS

CPU_BATCH = 4  # windows; what lies between the layers of more falls out of a core's cache
GPU_BATCH = 128
CUDA_LANES = 2  # one copies and waits while the other computes
KEPT_BYTES = 1 << 30  # of freed memory


class TorchScorer(ABC):
    """Windows through torch modules, in batches. Threads may share it; each holds a `lane()` around its work.

    `batch_size` is the most windows of one pass (None: what suits the device). It halves when the device runs
    out of memory. On a CPU it takes `cores`, by default all that there are. DeviceError where the device is
    not there.
    """

    def __init__(self, device: str = "auto", batch_size: int | None = None, cores: int | None = None) -> None:
        self.device = find_device(device)
        self._cores = cores or available_cores()
        self.batch_size = batch_size or (CPU_BATCH if self.device.type == "cpu" else GPU_BATCH)
        if self.device.type == "cpu":
            # A fifth of the time for musicnn: its layers would fetch megabytes anew with every window.
            keep_freed_memory(KEPT_BYTES)
        elif self.device.type == "cuda":
            # TensorFloat-32 keeps 10 bits: scores would differ from the CPU's by more than 1e-3.
            torch.backends.cudnn.allow_tf32 = False
        self._threads = torch.get_num_threads()
        self._lock = threading.Lock()

    @abstractmethod
    def rows(self, windows: Tensor) -> Tensor:
        """What is made of windows on the device: (windows, ...) of (windows, what the front end takes)."""

    @property
    def lanes(self) -> int:
        """Threads that are worth scoring with."""
        if self.device.type == "cpu":
            return self._cores
        return CUDA_LANES if self.device.type == "cuda" else 1

    @property
    def mixes(self) -> bool:
        """Whether windows of several files go through together: a GPU wants many at once, a CPU does not.

        On a CPU the scores of a file are then the same bits whatever is scored beside it.
        """
        return self.device.type != "cpu"

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
        """Rows of windows as a decode worker hands them over, (windows, window_samples).

        DeviceError where not even one window fits into the device's memory.
        """
        if not len(waves):
            return self.score(np.zeros((1, *waves.shape[1:]), np.float32))[:0]
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < len(waves):
            part = waves[done : done + self.batch_size]
            try:
                parts.append(self._forward(part))
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                self._make_room(len(part))
            else:
                done += len(part)
        return np.concatenate(parts)

    def _forward(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            samples = torch.from_numpy(waves)
            if self.device.type == "cuda":
                samples = samples.pin_memory().to(self.device, non_blocking=True)
            else:
                samples = samples.to(self.device)
            rows: NDArray[np.float32] = self.rows(samples).float().cpu().numpy()
        return rows

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

    def _ready(self) -> None:
        """To call with all weights on the device: lanes run on streams of their own and need them whole."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Scorer(TorchScorer):
    """A checkpoint ready to score.

    Its rows are the probabilities of every window, (windows, labels); for a model of whole tracks they are
    the encoder's output, from which its head and others can be computed. `track` and `windows` make scores of
    the rows of one track.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        batch_size: int | None = None,
        cores: int | None = None,
    ) -> None:
        super().__init__(device, batch_size, cores)
        meta = checkpoint.meta
        self.labels = meta.labels
        self._temperature = meta.temperature
        self._front = front_end(meta.features).eval().to(self.device)
        model = load_model(checkpoint)
        if self.device.type != "mps":  # not tried there
            model = for_inference(model)
        self._model: Any = model.to(self.device)
        self.has_head = is_track_model(meta.preset)
        if self.has_head != (meta.aggregation == "head"):
            where = checkpoint.path or meta.name
            raise CheckpointError(
                f"{where}: aggregation {meta.aggregation!r} does not fit preset {meta.preset!r}"
            )
        self._ready()

    @property
    def encoded_width(self) -> int | None:
        """Numbers per window of the encoder's output; None for a model without an encoder."""
        width: int | None = self._model.encoded_width if self.has_head else None
        return width

    def rows(self, windows: Tensor) -> Tensor:
        features = self._front(windows)
        if self.has_head:
            encoded: Tensor = self._model.encode(features)
            return encoded
        return self._probabilities(self._model(features))

    def track(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (labels,) of a track, from the rows of all its windows: their mean, or the head's."""
        if not self.has_head:
            mean: NDArray[np.float32] = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
            return mean
        with torch.inference_mode():
            encoded = torch.from_numpy(rows).to(self.device)
            logits = self._model.track(self._model.rows_of(encoded))
            scores: NDArray[np.float32] = self._probabilities(logits).float().cpu().numpy()
        return scores

    def windows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (windows, labels) of each window alone."""
        if not self.has_head:
            return rows
        return np.stack([self.track(rows[index : index + 1]) for index in range(len(rows))])

    def _probabilities(self, logits: Tensor) -> Tensor:
        logits = logits / self._temperature
        return logits.softmax(dim=-1) if self.labels.kind == "single" else logits.sigmoid()


def front_end(spec: FeatureSpec) -> nn.Module:
    """What makes features of what a decode worker hands over: nothing where the worker has made them."""
    return nn.Identity() if spec.kind in WORKER_KINDS else Extractor(spec)


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
