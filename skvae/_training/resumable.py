"""One fit and its checkpoint file."""

import os
import pickle
import signal
import threading
import time
import warnings
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from .._utils.arrays import convert
from .._utils.atomic import replacing
from .._utils.random import global_states, set_global_states
from ..schedules import send
from .checkpoints import reserve
from .digests import digest

__all__ = ["ResumableFit"]

_FORMAT = "1"  # another one is another name, so that a file of another release is never read


_SLACK = 1 << 20  # bytes, for the history and names


_END = 2.0**20  # more than all processes of a fit together, so that their sum tells


_PLAIN = (type(None), bool, int, float, str, torch.Tensor)


_BEST = ("value", "best_epoch", "monitored", "state")  # of `BestState`


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

    def __init__(self, checkpoint, made_of, processes):
        self.checkpoint = checkpoint
        self.processes = processes
        self.made_of = {"format": _FORMAT, "processes": str(processes.size), **made_of}
        self.path = Path(checkpoint.folder) / f"skvae-{digest(self.made_of)}.pt"
        self._before = None  # the handler of SIGTERM, while this process listens itself
        self.is_signalled = False  # this process
        self.is_due = self.is_ending = False  # all of them
        self.inside = None  # of the epoch that a file was written in, until that epoch goes on

    # ---------------------------------------------------------------- the life of a run

    def start(self, net):
        """Make sure that there is room, and put `net`, which is about to train, where the run's file left it."""
        state = self.processes.on_first(lambda: self._prepared(net))
        if state is not None:
            with _damage_is_a_value_error(self.path):
                restore(net, state)
                self.inside = state["inside"][self.processes.rank]
            if net.verbose:
                n_steps = self.inside["n_steps"] if self.inside else 0
                print(f"Going on from {self.path}: {len(net.history)} epochs and {n_steps} steps are done.")
        self._wait(len(net.history))

    def _prepared(self, net):
        """What the run's file holds, after a look at its folder; None where the run begins."""
        for orphan in self.path.parent.glob(f".{self.path.name}.*"):  # of a run that was killed while it wrote
            orphan.unlink(missing_ok=True)
        reserve(self.path.parent, (2 - self.path.exists()) * _n_bytes(collected(net)))
        if self.checkpoint.resume is False or (self.checkpoint.resume == "auto" and not self.path.exists()):
            return None
        if not self.path.exists():
            raise ValueError(
                f"resume=True, but {self.path.parent} has no checkpoint of this fit, {self.path.name}. There are: "
                f"{self._others() or 'none'}. Fit with the same table, parameters and seed, or set resume='auto'. A "
                "fit that ended well has removed its file."
            )
        return _read(self.path)

    def _others(self):
        """The other files of the folder, and how their runs differ from this one."""
        paths = [path for path in sorted(self.path.parent.glob("skvae-*.pt")) if zipfile.is_zipfile(path)]
        found = {path.name: _read(path)["made_of"] for path in paths}
        differences = lambda other: sorted(k for k, v in self.made_of.items() if other.get(k) != v)  # noqa: E731
        return "; ".join(f"{name}, which differs in {differences(other)}" for name, other in found.items())

    def at_epoch(self, net):
        """Write if it is time, before the first step of an epoch."""
        self.agree(self.processes.all_reduce([], self.wish()))
        n, waited = self.checkpoint.every_n_epochs, len(net.history) - 1 - self.n_epochs_kept
        if self.inside is None and (self.is_due or (n is not None and waited >= n)):
            self._save(net, None)

    def over(self, steps, net, generator, means):
        """The steps of an epoch; those that are done are run through, and before each other one a file may be written.

        Parameters
        ----------
        steps : generator of (int, batch)
            Of the schedule.
        net : Net
        generator : torch.Generator
            Of the epoch's noise.
        means : _Means
            Of the epoch.

        Yields
        ------
        (int, batch)
        """
        step, losses, n_steps = next(steps, None), [], 0
        reads = net.options.schedule.reads_losses
        if self.inside is not None:
            done, self.inside = _on(generator.device, self.inside), None
            n_steps, losses = done["n_steps"], _unpacked(done["losses"])
            for i in range(n_steps):
                step = send(steps, losses[i] if reads else None)
            _set_inside(done, net, generator, means)
        while step is not None:
            if self.is_due:
                self._save(net, _inside(n_steps, losses, net, generator, means))
            loss = yield step
            n_steps += 1
            if reads:
                losses.append(loss)
            step = send(steps, loss)

    def wish(self):
        """What this process asks of the next step: 0, a file (1), or a file and the end (_END). Wishes are added up."""
        return _END if self.is_signalled else float(time.monotonic() >= self.next_time)

    def agree(self, wishes):
        """Do what any process asks for; `wishes` is the sum of all."""
        self.is_due, self.is_ending = bool(wishes > 0), bool(wishes >= _END)

    def _save(self, net, inside):
        inside = self.processes.all_gather(_on("cpu", inside))
        # The others wait: a launcher kills the first one soon after another one has ended.
        self.processes.on_first(lambda: self.write({"made_of": self.made_of, **collected(net), "inside": inside}))
        self._wait(len(net.history) - 1)
        if self.is_ending:
            self._end()

    def _wait(self, n_epochs):
        """Until the next file; this many epochs are in the last one."""
        minutes = self.checkpoint.every_minutes
        self.next_time = float("inf") if minutes is None else time.monotonic() + 60 * minutes
        self.n_epochs_kept = n_epochs
        self.is_due = False

    def write(self, state):
        """Replace the run's file, wholly or not at all; what hinders it is a warning, since training can go on."""
        _check_plain(state)
        try:
            with replacing(self.path) as temporary, open(temporary, "wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # the latter is torch's word for a full disk
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            warnings.warn(
                f"The checkpoint {self.path} could not be written: {reason}. Training goes on, and a file that was "
                "written before is intact. Free some space in the folder.",
                UserWarning,
                stacklevel=2,
            )

    def remove(self):
        """Leave nothing behind a fit that has ended well."""
        if self.processes.rank == 0:
            self.path.unlink(missing_ok=True)

    # ---------------------------------------------------------------- the termination signal

    @contextmanager
    def listening(self):
        """Inside the block SIGTERM waits for the next step; only the main thread may listen."""
        before = signal.getsignal(signal.SIGTERM)  # None: of another language, and could not be put back
        if threading.current_thread() is not threading.main_thread() or before is None:
            yield
            return
        self._before = signal.signal(signal.SIGTERM, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, self._before)
            if self.is_signalled:  # it came after the last step
                signal.raise_signal(signal.SIGTERM)

    def _hear(self, number, frame):
        self.is_signalled = True

    def _end(self):
        """Let the signal do what it would have done; where that is nothing, training goes on."""
        self.is_signalled = self.is_ending = False
        if self._before is None:  # another process was told, and this one does not listen
            return
        signal.signal(signal.SIGTERM, self._before)
        signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, self._hear)


# ---------------------------------------------------------------- what a file holds


def collected(net):
    """What training has made of a net by the beginning of its running epoch, as plain data and tensors."""
    best, exact_step = _best_state(net), net.options.exact_step
    return {
        **net.training_state(),
        "n_averaged": net.n_averaged,
        "averaged": net.averaged_.state_dict(),
        "history": [_plain(record) for record in net.history[:-1]],
        "best": best and {name: getattr(best, name) for name in _BEST},
        "exact_em": exact_step and {k: torch.as_tensor(v) for k, v in vars(exact_step.solution).items()},
    }


def restore(net, state):
    """The inverse of `collected`."""
    net.load_training_state(state)
    net.n_averaged = state["n_averaged"]
    net.averaged_.load_state_dict(state["averaged"])
    net.history.extend({**record, "batches": []} for record in state["history"])
    if state["best"]:
        vars(_best_state(net)).update(_on(net.trained_parameters[0].device, state["best"]))
    if state["exact_em"]:
        arrays = {name: tensor.numpy() for name, tensor in state["exact_em"].items()}
        net.options.exact_step.solution = replace(net.options.exact_step.solution, **arrays)


def _on(device, state):
    return convert(state, torch.Tensor, lambda tensor: tensor.to(device))


def _best_state(net):
    return dict(net.callbacks_).get("best_state")


def _plain(record):
    """A record of the history; numpy's scalars, which callbacks may have put there, are no plain data."""
    record = {k: v for k, v in record.items() if k != "batches"}
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in record.items()}


def _inside(n_steps, losses, net, generator, means):
    """What belongs to an epoch that is not over."""
    return {
        "n_steps": n_steps,
        "losses": _packed(losses),
        "noise": generator.get_state(),
        "global": global_states(generator.device),
        "kept": {name: _packed(parts) for name, parts in means.kept.items()},
        "folded": dict(means.folded),
        "n_rows": dict(means.n_rows),
    }


def _set_inside(state, net, generator, means):
    """The inverse of `_inside`, but for the steps and their losses."""
    generator.set_state(state["noise"].cpu())
    set_global_states({kind: own.cpu() for kind, own in state["global"].items()})
    means.kept = {name: _unpacked(parts) for name, parts in state["kept"].items()}
    means.folded, means.n_rows = state["folded"], state["n_rows"]


def _packed(tensors):
    """A list of tensors (B,), or None, as one: thousands of small ones take seconds to write."""
    present = [tensor for tensor in tensors if tensor is not None]
    sizes = [-1 if tensor is None else len(tensor) for tensor in tensors]
    return {"values": torch.cat(present) if present else torch.zeros(0), "sizes": sizes}


def _unpacked(packed):
    """The inverse."""
    parts = iter(packed["values"].split([size for size in packed["sizes"] if size >= 0]))
    return [None if size < 0 else next(parts) for size in packed["sizes"]]


def _n_bytes(state):
    """What a file of such a state takes at most, later states of the optimizers included."""
    weights = sum(tensor.nbytes for tensor in state["weights"].values())
    return sum(map(_bytes_of, state.values())) + 2 * weights + _SLACK


def _bytes_of(value):
    if isinstance(value, dict):
        return sum(map(_bytes_of, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes_of, value))
    return value.nbytes if isinstance(value, torch.Tensor) else 0


def _read(path):
    """A file's state, on the CPU, after a look at its checksums, which torch's reader leaves out."""
    with _damage_is_a_value_error(path):
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise ValueError(f"the checksum of {broken} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def _damage_is_a_value_error(path):
    """What goes wrong with a malformed file, said as such."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        EOFError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"{path} is no checkpoint of this fit, or it is damaged: {error!r}. Remove it, or start over with "
            "Checkpoint(..., resume=False)."
        ) from error


def _check_plain(value):
    """What torch would write and then refuse to read is found when it is written."""
    if type(value) in (dict, OrderedDict, list, tuple):
        for part in value.values() if isinstance(value, dict) else value:
            _check_plain(part)
    elif not isinstance(value, _PLAIN):
        raise ValueError(
            f"A checkpoint holds numbers, strings, lists, dicts and tensors, and there is a {type(value).__name__} in "
            "the history, from a callback, or in the optimizer's state. Record it otherwise, or fit without checkpoint."
        )
