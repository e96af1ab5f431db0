"""One fit and its checkpoint file."""

import hashlib
import io
import os
import pickle
import signal
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch

from .._utils.arrays import convert
from .._utils.atomic import remove_orphans, replacing
from .._utils.damage import damage_is_a_value_error
from .._utils.digests import digest
from .._utils.random import global_states, set_global_states
from .._utils.user_warnings import warn_user
from ..schedules import Steps, send
from .checkpoints import Checkpoint, reserve
from .processes import OneProcess

if TYPE_CHECKING:  # they import skorch
    from .early_stopping import BestState
    from .loop import Means, Net

__all__ = ["ResumableFit", "Wish"]

_FORMAT = "1"  # another one is another name, so that a file of another release is never read
_MARK = b"skvae checkpoint\n"
_HASH = hashlib.sha256
_SLACK = 1 << 20  # bytes, for the history and names
_PLAIN = (type(None), bool, int, float, str, torch.Tensor)


@dataclass(frozen=True)
class Wish:
    """What a process asks of the next step; or what the processes of a fit ask of it together.

    It is one number, so that it can travel with the gradients, which are summed over the processes: a message of its
    own would cost each step a wait. Nobody's wish is 0, a file is 1, and a file and the end are more than all processes
    together can have files, so that any sum tells whether anyone asked for either.
    """

    write: bool = False
    end: bool = False  # write, and then let the signal do what it would have done

    _END = 2.0**20

    def encode(self) -> float:
        """The wish as the number that is summed with the gradients over the processes."""
        return self._END if self.end else float(self.write)

    @classmethod
    def decode(cls, total: float | torch.Tensor) -> "Wish":
        """What a sum of such numbers asks for."""
        total = float(total)
        return cls(write=total > 0, end=total >= cls._END)


class ResumableFit:
    """One fit and its file: when to write, what, and how; and what to do about a termination signal.

    Parameters
    ----------
    checkpoint : Checkpoint
    made_of : dict of str -> str
        Everything that the result depends on.
    processes : OneProcess
        Those of the fit: they agree on when to write, and the first one does it.
    """

    def __init__(self, checkpoint: Checkpoint, made_of: dict[str, str], processes: OneProcess) -> None:
        self.checkpoint = checkpoint
        self.processes = processes
        self.made_of = {"format": _FORMAT, "processes": str(processes.size), **made_of}
        self.path = Path(checkpoint.folder) / f"skvae-{digest(self.made_of)}.pt"
        self.is_signalled = False  # this process
        self.agreed = Wish()  # of all processes
        self.inside: dict[str, Any] | None = None  # of the epoch that a file was written in, until it goes on
        self.next_time = float("inf")
        self.n_epochs_kept = 0  # in the last file
        self._before: Any = None  # the handler of SIGTERM, while this process listens itself

    # ---------------------------------------------------------------- the life of a fit

    def start(self, net: "Net") -> None:
        """Make sure that there is room, and put `net`, which is about to train, where the fit's file left it."""
        state = self.processes.on_first(lambda: self._prepared(net))
        if state is not None:
            with _damage_of(self.path):
                restore(net, state)
                self.inside = state["inside"][self.processes.rank]
            if net.verbose:
                n_steps = self.inside["n_steps"] if self.inside else 0
                done = f"{len(net.history)} epochs and {n_steps} steps are done"
                print(f"[VAETransformer] Going on from {self.path}: {done}", flush=True)
        self._wait(len(net.history))

    def _prepared(self, net: "Net") -> dict[str, Any] | None:
        """What the fit's file holds, after a look at its folder; None where the fit begins."""
        remove_orphans(self.path)
        reserve(self.path.parent, (2 - self.path.exists()) * _n_bytes(collected(net)))
        if self.checkpoint.resume is False or (self.checkpoint.resume == "auto" and not self.path.exists()):
            return None
        if not self.path.exists():
            raise ValueError(
                f"resume=True, but {self.path.parent} has no checkpoint of this fit, {self.path.name}. There are: "
                f"{self._others() or 'none'}. Fit with the same table, parameters and seed, or set resume='auto'. A "
                "fit that ended well has removed its file."
            )
        state = _read(self.path)
        with _damage_of(self.path):
            if found := self._differences(state["made_of"]):
                raise ValueError(f"it is of a fit that differs in {found}")
        return state

    def _others(self) -> str:
        """The other files of the folder, and how their fits differ from this one."""
        paths = sorted(self.path.parent.glob("skvae-*.pt"))
        return "; ".join(f"{path.name}, which {self._said_of(path)}" for path in paths)

    def _said_of(self, other: Path) -> str:
        """How another fit's file differs; nothing is wrong with this fit if that cannot be told."""
        try:
            return f"differs in {self._differences(_read(other)['made_of'])}"
        except (OSError, ValueError, KeyError):  # it has ended and removed its file, or that is damaged
            return "cannot be read"

    def _differences(self, other: dict[str, str]) -> list[str]:
        return sorted(name for name, value in self.made_of.items() if other.get(name) != value)

    def at_epoch(self, net: "Net") -> None:
        """Write if it is time, before the first step of an epoch."""
        self.agree(self.processes.all_reduce([], self.request()))
        n, waited = self.checkpoint.every_n_epochs, len(net.history) - 1 - self.n_epochs_kept
        if self.inside is None and (self.agreed.write or (n is not None and waited >= n)):
            self._save(net, None)

    def over(self, steps: Steps, net: "Net", generator: torch.Generator, means: "Means") -> Steps:
        """The steps of an epoch; those that are done are run through, and before each other one a file may be written.

        Parameters
        ----------
        steps : generator of (int, batch)
            Of the schedule.
        net : Net
        generator : torch.Generator
            Of the epoch's noise.
        means : Means
            Of the epoch.

        Yields
        ------
        (int, batch)
        """
        step, n_steps = next(steps, None), 0
        losses: list[torch.Tensor | None] = []
        reads = net.options.schedule.reads_losses
        if self.inside is not None:
            done, self.inside = _on(generator.device, self.inside), None
            n_steps, losses = done["n_steps"], _unpacked(done["losses"])
            # Each `send` answers the step at hand and brings the next one: after n of them `step` is the first that is
            # not done, and the schedule, which was sent the very losses that it saw, is in the state that it was in.
            for i in range(n_steps):
                step = send(steps, losses[i] if reads else None)
            _set_inside(done, net, generator, means)
        while step is not None:
            if self.agreed.write:
                self._save(net, _inside(n_steps, losses, net, generator, means))
            loss = yield step
            n_steps += 1
            if reads:
                losses.append(loss)
            step = send(steps, loss)

    def wish(self) -> Wish:
        """What this process asks of the next step."""
        return Wish(write=time.monotonic() >= self.next_time, end=self.is_signalled)

    def request(self) -> float:
        """The wish as the number that travels with the gradients of a step."""
        return self.wish().encode()

    def agree(self, total: float | torch.Tensor) -> None:
        """Do what any process asks for; `total` is the sum of their requests."""
        self.agreed = Wish.decode(total)

    def _save(self, net: "Net", inside: dict[str, Any] | None) -> None:
        insides = self.processes.all_gather(_on("cpu", inside))
        # The others wait: a launcher kills the first one soon after another one has ended.
        self.processes.on_first(lambda: self.write({"made_of": self.made_of, **collected(net), "inside": insides}))
        self._wait(len(net.history) - 1)
        if self.agreed.end:
            self._end()

    def _wait(self, n_epochs: int) -> None:
        """Until the next file; this many epochs are in the last one."""
        minutes = self.checkpoint.every_minutes
        self.next_time = float("inf") if minutes is None else time.monotonic() + 60 * minutes
        self.n_epochs_kept = n_epochs
        self.agreed = replace(self.agreed, write=False)

    def write(self, state: dict[str, Any]) -> None:
        """Replace the fit's file, wholly or not at all; what hinders it is a warning, since training can go on."""
        _check_plain(state)
        try:
            with replacing(self.path) as file:
                _write(file, state)
        except (OSError, RuntimeError) as error:  # the latter is torch's word for a full disk
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            warn_user(
                f"The checkpoint {self.path} could not be written: {reason}. Training goes on, and a file that was "
                "written before is intact. Free some space in the folder."
            )

    def remove(self) -> None:
        """Leave nothing behind a fit that has ended well."""
        if self.processes.rank == 0:
            self.path.unlink(missing_ok=True)

    # ---------------------------------------------------------------- the termination signal

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block SIGTERM waits for the next step; only the main thread may listen."""
        before = signal.getsignal(signal.SIGTERM)  # None: of another language, and could not be put back
        if threading.current_thread() is not threading.main_thread() or before is None:
            yield
            return
        self._before, self._listener = before, os.getpid()
        try:
            signal.signal(signal.SIGTERM, self._hear)
            yield
        finally:
            signal.signal(signal.SIGTERM, self._before)
            if self.is_signalled:  # it came after the last step
                signal.raise_signal(signal.SIGTERM)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._listener:
            self.is_signalled = True
        else:  # a process that was forked meanwhile does not train: its parent means to end it
            signal.signal(signal.SIGTERM, self._before)
            signal.raise_signal(signal.SIGTERM)

    def _end(self) -> None:
        """Let the signal do what it would have done; where that is nothing, training goes on."""
        self.is_signalled, self.agreed = False, Wish()
        if self._before is None:  # another process was told, and this one does not listen
            return
        signal.signal(signal.SIGTERM, self._before)
        signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, self._hear)


# ---------------------------------------------------------------- what a file holds


def collected(net: "Net") -> dict[str, Any]:
    """What training has made of a net by the beginning of its running epoch, as plain data and tensors."""
    keeper, exact_step = _keeper(net), net.options.exact_step
    exact_em = {} if exact_step is None else _of_fields(exact_step.solution)
    return {
        **net.training_state(),
        "n_averaged": net.n_averaged,
        "averaged": net.averaged_.state_dict(),
        "history": [_plain(record) for record in net.history[:-1]],
        "best": None if keeper is None else _of_fields(keeper.best),
        "exact_em": {k: torch.as_tensor(array) for k, array in exact_em.items() if array is not None},
    }


def restore(net: "Net", state: dict[str, Any]) -> None:
    """Put what `collected` gave back into a net, so that training goes on bit for bit at the running epoch."""
    net.load_training_state(state)
    net.n_averaged = state["n_averaged"]
    net.averaged_.load_state_dict(state["averaged"])
    net.history.extend({**record, "batches": []} for record in state["history"])
    keeper, exact_step = _keeper(net), net.options.exact_step
    if keeper is not None:
        keeper.best = replace(keeper.best, **_on(net.trained_parameters[0].device, state["best"]))
    if exact_step is not None:
        arrays = {name: tensor.numpy() for name, tensor in state["exact_em"].items()}
        exact_step.solution = replace(exact_step.solution, **arrays)


def _of_fields(value: Any) -> dict[str, Any]:
    """A dataclass as a dict: a field that is added later is in the file without further ado."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _on(device: str | torch.device, state: Any) -> Any:
    def moved(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device)

    return convert(state, torch.Tensor, moved)


def _keeper(net: "Net") -> "BestState | None":
    return dict(net.callbacks_).get("best_state")


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record of the history; numpy's scalars, which callbacks may have put there, are no plain data."""
    record = {k: v for k, v in record.items() if k != "batches"}
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in record.items()}


def _inside(
    n_steps: int, losses: Sequence[torch.Tensor | None], net: "Net", generator: torch.Generator, means: "Means"
) -> dict[str, Any]:
    """What belongs to an epoch that is not over."""
    return {
        "n_steps": n_steps,
        "losses": _packed(losses),
        "noise": generator.get_state(),
        "global": global_states(generator.device),
        "means": _of_fields(means),
    }


def _set_inside(state: dict[str, Any], net: "Net", generator: torch.Generator, means: "Means") -> None:
    """The inverse of `_inside`, but for the steps and their losses."""
    generator.set_state(state["noise"].cpu())
    set_global_states({kind: own.cpu() for kind, own in state["global"].items()})
    for name, value in state["means"].items():
        setattr(means, name, value)


def _packed(tensors: Sequence[torch.Tensor | None]) -> dict[str, Any]:
    """A list of tensors (B,), or None, as one: thousands of small ones take seconds to write."""
    present = [tensor for tensor in tensors if tensor is not None]
    sizes = [-1 if tensor is None else len(tensor) for tensor in tensors]
    return {"values": torch.cat(present) if present else torch.zeros(0), "sizes": sizes}


def _unpacked(packed: dict[str, Any]) -> list[torch.Tensor | None]:
    """Split what `_packed` made back into the list of tensors (B,), None where there was none."""
    parts = iter(packed["values"].split([size for size in packed["sizes"] if size >= 0]))
    return [None if size < 0 else next(parts) for size in packed["sizes"]]


def _n_bytes(state: dict[str, Any]) -> int:
    """What a file of such a state takes at most, later states of the optimizers included."""
    weights = sum(tensor.nbytes for tensor in state["weights"].values())
    return sum(map(_bytes_of, state.values())) + 2 * weights + _SLACK


def _bytes_of(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_bytes_of, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes_of, value))
    return value.nbytes if isinstance(value, torch.Tensor) else 0


def _write(file: BinaryIO, state: dict[str, Any]) -> None:
    """Write a mark, the hash of all that follows, and what torch makes of a state."""
    file.write(_MARK + bytes(_HASH().digest_size))
    hashed = _Hashed(file)
    torch.save(state, hashed)  # type: ignore[arg-type]  # all that torch calls is there
    file.seek(len(_MARK))
    file.write(hashed.hash.digest())


class _Hashed:
    """A file to write to that keeps a hash of what was written, since a checkpoint may be larger than the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.hash = _HASH()
        self._file = file

    def write(self, content: Any) -> int:
        """As a file does."""
        self.hash.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        """As a file does."""
        self._file.flush()


def _read(path: Path) -> dict[str, Any]:
    """A file's state, on the CPU, after a look at its hash: no bit has changed."""
    with _damage_of(path), open(path, "rb") as file:
        start = len(_MARK) + _HASH().digest_size
        head, content = file.read(start), file.read()
        if head != _MARK + _HASH(content).digest():
            raise ValueError("its content is not what was written")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _damage_of(path: Path) -> AbstractContextManager[None]:
    def message(error: Exception) -> str:
        return (
            f"{path} is no checkpoint of this fit, or it is damaged: {error!r}. Remove it, or start over with "
            "Checkpoint(..., resume=False)."
        )

    return damage_is_a_value_error(message, pickle.UnpicklingError)


def _check_plain(value: Any) -> None:
    """What torch would write and then refuse to read is found when it is written."""
    if type(value) in (dict, OrderedDict, list, tuple):
        for part in value.values() if isinstance(value, dict) else value:
            _check_plain(part)
    elif not isinstance(value, _PLAIN):
        raise ValueError(
            f"A checkpoint holds numbers, strings, lists, dicts and tensors, and there is a {type(value).__name__} in "
            "the history, from a callback, or in the optimizer's state. Record it otherwise, or fit without checkpoint."
        )
