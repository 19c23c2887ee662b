"""Several devices that train one denoiser: each works through a share of every batch, and gradients are summed.

The process that runs the method is the first member and starts the others, so that progress, checkpoints and the log
stay where they are. All members draw the same batches, and each keeps the same weights: what comes out is what one
device gives, but for the order in which floats are added.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessContext, start_processes

from ddbench.errors import BadInputError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


class Team:
    """One member's view of the team; without an accelerator it is alone.

    Args:
        accelerator: connected to the other members.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.size = 1 if accelerator is None else accelerator.num_processes
        self.rank = 0 if accelerator is None else accelerator.process_index
        self.device = torch.device("cpu") if accelerator is None else accelerator.device

    def share(self, parts: Sequence[T]) -> Sequence[T]:
        """Return this member's parts: a run of them, in order."""
        count = len(parts) // self.size
        return parts[self.rank * count : (self.rank + 1) * count]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the members."""
        if self._accelerator is None:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, total in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of each member's tensor."""
        return values if self._accelerator is None else cast(Tensor, self._accelerator.reduce(values, reduction="sum"))

    def gather(self, values: Tensor) -> Tensor:
        """Return the members' tensors one after another."""
        return values if self._accelerator is None else cast(Tensor, self._accelerator.gather(values))

    def tell(self, said: dict[str, Any]) -> None:
        """Send a word of the first member to the others, each of which must `hear` it."""
        if self._accelerator is not None:
            self._broadcast(said)

    def hear(self) -> dict[str, Any]:
        """Return, in another member, what the first one tells."""
        return self._broadcast({})

    @staticmethod
    def _broadcast(said: dict[str, Any]) -> dict[str, Any]:
        from accelerate.utils import broadcast_object_list

        return cast("dict[str, Any]", broadcast_object_list([said])[0])


@contextmanager
def gathered_team(size: int, device: torch.device, work: Callable[[Team], None]) -> Iterator[Team]:
    """Yield the first member of a team of `size` processes; the others run `work`, which must be picklable.

    Args:
        size: how many, at least 2.
        device: `cuda` gives each member a GPU of its own, `cpu` a process.
        work: what another member does from its start to its end.

    Raises:
        BadInputError: more members than GPUs.
    """
    if device.type == "cuda" and size > torch.cuda.device_count():
        raise BadInputError(f"devices must be at most {torch.cuda.device_count()}, the GPUs here, got {size}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    others: ProcessContext = start_processes(
        _run_member, (size, port, device.type, work), nprocs=size - 1, join=False, start_method="spawn"
    )
    try:
        with _joined(0, size, port, device.type) as team:
            yield team
        while not others.join():
            pass
    finally:
        for process in others.processes:
            process.kill()


def _run_member(index: int, size: int, port: int, device_type: str, work: Callable[[Team], None]) -> None:
    torch.set_num_threads(max(1, torch.get_num_threads() // size))
    with _joined(index + 1, size, port, device_type) as team:
        work(team)


@contextmanager
def _joined(rank: int, size: int, port: int, device_type: str) -> Iterator[Team]:
    """Connect this process to the team as its member `rank`, for as long as the block lasts."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import patch_environment

    places = {"rank": rank, "local_rank": rank, "world_size": size, "master_addr": "127.0.0.1", "master_port": port}
    if device_type == "cpu":
        places["accelerate_use_cpu"] = "true"
    with patch_environment(**places):
        try:
            yield Team(Accelerator(cpu=device_type == "cpu"))
        finally:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            AcceleratorState._reset_state(reset_partial_state=True)
