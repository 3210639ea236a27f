"""Number of CPU threads that a training uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits
from torch import nn

# Steps of networks without these layers are so short that threads spend more time on waiting for each other
# than on arithmetic, above all beside other work: `python -m benchmarks.threads`.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


def default_threads(network: nn.Module) -> int | None:
    """Return 1 for a network without convolutional layers, None (PyTorch's setting) for any other."""
    return None if any(isinstance(module, _CONVOLUTIONS) for module in network.modules()) else 1


@contextlib.contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Limit PyTorch, BLAS and OpenMP to `count` threads; None leaves them as they are."""
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
