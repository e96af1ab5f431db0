"""The processes of one fit: which one this is, its shard of a batch, and what all of them add up or agree on.

Every process runs the same script on the same table (`torchrun`); what differs is which rows of a batch it works on.
Gradients are sums over rows, so the processes' sums add up to those of one process. `ONE` is the trivial twin: without
a launch nothing is cut, copied or sent.

All communication goes through accelerate, which is imported when it is wanted.
"""

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from .._utils.extras import needed_by
from .._utils.user_warnings import warn_user

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState

__all__ = ["ONE", "OneProcess", "Processes", "init_processes", "warn_without_launch"]

T = TypeVar("T")


class OneProcess:
    """The processes of a fit where there is only this one: every exchange gives back what it is given."""

    rank: int = 0
    size: int = 1
    device: str | None = None  # any
    seeds: tuple[int, ...] = ()  # beside those of the fit, for draws that every process makes for its own rows

    def shard(self, n_rows: int) -> slice:
        """The rows of n that this process works on."""
        return slice(0, n_rows)

    def shard_batches(self, positions: np.ndarray, sizes: list[int]) -> tuple[np.ndarray, list[int]]:
        """Of the positions of consecutive batches of these sizes the own ones, and how many there are of each batch."""
        return positions, sizes

    def all_reduce(self, tensors: Sequence[torch.Tensor], flag: float = 0.0) -> float | torch.Tensor:
        """Exchange each tensor for its sum over the processes, in place; return the sum of their flags."""
        return flag

    def broadcast(self, value: T) -> T:
        """Return what the first process has handed in."""
        return value

    def broadcast_(self, tensors: Sequence[torch.Tensor]) -> None:
        """Exchange each tensor for that of the first process, in place."""

    def on_first(self, function: Callable[[], T]) -> T:
        """Return what a function returns in the first process; an error there is raised in all."""
        return function()

    def all_gather(self, value: T) -> list[T]:
        """Return what each process has handed in, in their order."""
        return [value]

    def compare(self, description: dict[str, Any]) -> None:
        """Raise a ValueError in all processes if they differ in a dict of name -> numbers, text or arrays."""


ONE = OneProcess()


class Processes(OneProcess):
    """The processes of a fit where there are several, which exchange through an `accelerate.Accelerator`."""

    def __init__(self, accelerator: "Accelerator") -> None:
        self.accelerator = accelerator
        self.rank, self.size = accelerator.process_index, accelerator.num_processes
        self.device = str(accelerator.device)
        self.seeds = (self.rank,)

    def shard(self, n_rows: int) -> slice:
        """Nearly equal parts; none may be empty, since every process takes part in every step."""
        if n_rows < self.size:
            raise ValueError(
                f"{n_rows} row(s) cannot be shared out over {self.size} processes. The 'batch_size' parameter of "
                f"VAETransformer counts the rows of all processes together: give at least {self.size}, and as many "
                "rows to train on and to hold out; or launch fewer processes."
            )
        return slice(self.rank * n_rows // self.size, (self.rank + 1) * n_rows // self.size)

    def shard_batches(self, positions: np.ndarray, sizes: list[int]) -> tuple[np.ndarray, list[int]]:
        """Give the own positions of each batch."""
        batches = np.split(positions, np.cumsum(sizes)[:-1])
        parts = [batch[self.shard(len(batch))] for batch in batches]
        return np.concatenate(parts), [len(part) for part in parts]

    def all_reduce(self, tensors: Sequence[torch.Tensor], flag: float = 0.0) -> float | torch.Tensor:
        """One message for all: a step has dozens of small tensors, and each message waits for the slowest process."""
        last = torch.full((1,), flag, dtype=torch.float32, device=self.device)
        total = self.accelerator.reduce(torch.cat([*(t.flatten() for t in tensors), last]), "sum")
        *parts, flags = total.split([*(t.numel() for t in tensors), 1])
        if tensors:
            torch._foreach_copy_(list(tensors), [part.view_as(t) for part, t in zip(parts, tensors, strict=True)])
        return flags[0]

    def broadcast(self, value: T) -> T:
        """The value is pickled on its way."""
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def broadcast_(self, tensors: Sequence[torch.Tensor]) -> None:
        """One message each: this happens twice in a fit."""
        from accelerate.utils import broadcast

        for tensor in tensors:
            broadcast(tensor)

    def on_first(self, function: Callable[[], T]) -> T:
        """An error travels as the value does: the others would wait for ever."""
        value: Any = None
        error: Exception | None = None
        if self.rank == 0:
            try:
                value = function()
            except Exception as raised:
                error = raised
        value, error = self.broadcast((value, error))
        if error is not None:
            raise error
        return value

    def all_gather(self, value: T) -> list[T]:
        """The values are pickled on their way."""
        from accelerate.utils import gather_object

        return gather_object([value])

    def compare(self, description: dict[str, Any]) -> None:
        """All see all descriptions, so that all raise the same error and none waits for the others."""
        mine, *others = self.all_gather(description)
        for name in mine:
            for rank, other in enumerate(others, start=1):
                if not _agree(mine[name], other.get(name)):
                    raise ValueError(
                        f"The processes of this fit differ in {name}: {_short(mine[name])} in process 0, "
                        f"{_short(other.get(name))} in process {rank}. Each must call fit on the same table with the "
                        "same parameters; the rows are shared out by fit."
                    )


def _agree(a: Any, b: Any) -> bool:
    """Whether two descriptions are equal; numbers that are computed may differ between machines in their last bits."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-6)
    return type(a) is type(b) and a == b


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "..."


def init_processes(distributed: bool, device: str | torch.device) -> OneProcess:
    """The processes that `torchrun` has started beside this one; `ONE` where they are not wanted or there are none.

    Parameters
    ----------
    distributed : bool
    device : str
        "auto" and "cuda" leave the choice to accelerate: each process has the GPU of its local rank, else the CPU.
    """
    return _launched(str(device)) if distributed else ONE


@cache  # the process group is one for the life of the process
def _launched(device: str) -> OneProcess:
    with needed_by("distributed=True", "accelerate", extra="accelerate"):
        from accelerate import Accelerator, PartialState
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"With distributed=True each process has a device of its own: device={device!r} cannot be.")
    is_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())  # accelerate makes no group else
    processes = Processes(Accelerator(cpu=is_cpu))
    atexit.register(_leave, PartialState())
    if device == "cuda" and not str(processes.device).startswith("cuda"):
        raise ValueError("device='cuda' is not available on this machine. Use device='auto' or 'cpu'.")
    return processes if processes.size > 1 else ONE


def _leave(state: "PartialState") -> None:
    """Take the process group down while there is an interpreter: gloo's threads may abort its end (pytorch #179291).

    Not after an error, when NCCL would wait for the others, which have not come as far.
    """
    if not hasattr(sys, "last_value"):
        state.destroy_process_group()


def warn_without_launch() -> None:
    """Say that nothing is shared out, and how it would be; silent under `torchrun --nproc_per_node=1`."""
    if "RANK" not in os.environ:
        warn_user(
            "distributed=True, but this is the only process: nobody has launched others (`accelerate launch --cpu` "
            "starts one alone, too). Run the script as `torchrun --standalone --nproc_per_node=4 fit.py`."
        )
