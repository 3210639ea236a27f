"""Steps that several processes on CPUs share, computed as one process would: batch-norm and dropout.

Elsewhere a network looks at one window at a time, so that sharing a step out changes nothing but the order of
additions. Batch-norm looks at all windows of the step, and dropout draws for all of them in one go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._python_dispatch import TorchDispatchMode

from genretag.training.distributed import World

Forward = Callable[..., Any]


@contextlib.contextmanager
def whole_step(network: nn.Module, world: World, windows: int) -> Iterator[None]:
    """Inside, a pass through the network is this process's share of a step of so many windows.

    Batch-norm takes mean and variance over all of them (torch's own SyncBatchNorm works on GPUs only), and
    dropout draws for all of them and keeps what is for the windows that are here. All processes must make the
    pass together, from the same state of torch's random numbers. Changes nothing in a world that does not
    share whole steps.
    """
    if not world.shares_whole_steps:
        yield
        return
    changed = []
    for module in network.modules():
        if (forward := _shared(module, world, windows)) is not None:
            # An attribute of the object stands before the method of its class.
            module.forward = forward
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _shared(module: nn.Module, world: World, windows: int) -> Forward | None:
    """What a module in training does in place of its forward; None where that stays."""
    if not module.training:
        return None
    if isinstance(module, _BatchNorm):
        return partial(_normalise, module, windows)
    if isinstance(module, _DropoutNd):
        return partial(_draw_for_all, module.forward, _Draws(world, windows, 0))
    if isinstance(module, nn.RNNBase) and module.dropout:
        # Its dropout lies between its layers, where frames come before windows.
        return partial(_draw_for_all, module.forward, _Draws(world, windows, 1))
    return None


def _draw_for_all(forward: Forward, draws: _Draws, *given: Any) -> Any:
    with draws:
        return forward(*given)


_Mode: Any = TorchDispatchMode  # torch gives its own methods no types


class _Draws(_Mode):  # type: ignore[misc]
    """Draws of dropout made for all windows of a step, which are numbered along the axis `axis`."""

    def __init__(self, world: World, windows: int, axis: int) -> None:
        super().__init__()
        self._world, self._windows, self._axis = world, windows, axis

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.ops.aten.bernoulli_.float:
            return func(*args, **kwargs or {})
        mine, *chance = args  # a chance of one half, the default, is not there
        shape = list(mine.shape)
        shape[self._axis] = self._windows
        # In the order in which they lie in memory, as one process would draw them.
        order = sorted(range(mine.ndim), key=lambda axis: -mine.stride(axis))
        back = [order.index(axis) for axis in range(mine.ndim)]
        everyone = mine.new_empty([shape[axis] for axis in order]).permute(back)
        func(everyone, *chance)
        rows = torch.arange(self._world.rank, self._windows, self._world.size)
        return mine.copy_(everyone.index_select(self._axis, rows))


def _normalise(norm: _BatchNorm, windows: int, given: Tensor) -> Tensor:
    """Batch-norm of (windows here, channels, ...) over all windows of the step."""
    checked: Any = norm
    checked._check_input_dim(given)
    axes = [axis for axis in range(given.ndim) if axis != 1]
    wide = [1, -1, *[1] * (given.ndim - 2)]  # a value a channel
    count = windows * given[0, 0].numel()
    # Sums in double precision, as torch's own batch-norm makes them.
    mean = (_sum_over_processes(given.sum(axes, dtype=torch.double)) / count).to(given.dtype)
    centred = given - mean.view(wide)
    squares = _sum_over_processes(centred.square().sum(axes, dtype=torch.double))
    variance = (squares / count).to(given.dtype)
    if norm.running_mean is not None and norm.running_var is not None:
        assert norm.num_batches_tracked is not None
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, share)
            norm.running_var.lerp_(variance * (count / max(count - 1, 1)), share)
    scale = (variance + norm.eps).rsqrt()
    if not norm.affine:
        return centred * scale.view(wide)
    return centred * (scale * norm.weight).view(wide) + norm.bias.view(wide)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; whatever depends on it does so in all of them."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        return _Sum._of(mine)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum._of(gradient)

    @staticmethod
    def _of(mine: Tensor) -> Tensor:
        total = mine.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def _sum_over_processes(mine: Tensor) -> Tensor:
    apply: Any = _Sum.apply
    total: Tensor = apply(mine)
    return total
