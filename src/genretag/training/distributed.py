"""Several processes that train one network: what torchrun tells each of them, and how they agree."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from genretag.errors import TrainingError
from genretag.predict.score import find_device

T = TypeVar("T")

# While one process computes features, the others wait for it.
PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class World:
    """This process among `size`; `rank` 0 is the one that writes and speaks."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def shares_whole_steps(self) -> bool:
        """Whether a step of all processes gives what one process would get; see `whole_step`.

        GPUs draw for dropout each on its own: half precision lets nobody expect the same numbers there.
        """
        return self.size > 1 and self.device.type == "cpu"

    def gather(self, mine: T) -> list[T]:
        """What every process holds, by rank."""
        if self.size == 1:
            return [mine]
        everyone: list[T | None] = [None] * self.size
        dist.all_gather_object(everyone, mine)
        return [one for one in everyone if one is not None]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over processes; on GPUs batch-norm sees the whole batch."""
        if self.size == 1:
            return network
        if self.device.type == "cuda":
            convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
            network = convert(network)
            return nn.parallel.DistributedDataParallel(network, device_ids=[self.device.index])
        return nn.parallel.DistributedDataParallel(network)

    def share_buffers(self, network: nn.Module) -> None:
        """Give all processes the running averages of rank 0."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)

    @contextlib.contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let rank 0 do something alone, then the others, who find it done."""
        if not self.leads:
            dist.barrier()
        yield
        if self.leads and self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(device: str) -> Iterator[World]:
    """The world that torchrun's environment describes, or a world of one; left again at the end.

    TrainingError where the environment does not make sense, DeviceError where a device is not there.
    """
    try:
        size, rank, local = (int(os.environ.get(name, default)) for name, default in _VARIABLES.items())
    except ValueError:
        raise TrainingError(f"{', '.join(_VARIABLES)} must be numbers, as torchrun sets them") from None
    if size == 1:
        yield World(find_device(device))
        return
    own = find_device(f"cuda:{local}" if device in ("auto", "cuda") and torch.cuda.is_available() else device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    try:
        dist.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(
            f"the {size} processes cannot be joined ({reason}); start them by torchrun"
        ) from None
    try:
        yield World(own, rank, size)
        # A process that leaves while another still speaks to it is aborted at its exit.
        dist.barrier()
    finally:
        gc.collect()  # what still holds the group would keep its threads running past the end
        dist.destroy_process_group()


_VARIABLES = {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}
