"""The training loop: a skorch net over batches that live on the device.

What differs from skorch's own loop, and why: batches are slices of gathered tensors (a DataLoader costs 1.5 to 8 times
as much), the loss stays on the device until the end of the epoch, Ctrl-C propagates, and a loss that is not finite is
an error. An epoch's randomness depends on (seed, absolute epoch) only, so that n single passes equal one fit of n.

The model that is returned and validated is the polynomial-decay average of the weights that are trained (Shamir & Zhang
2013, section 4): after step t it moves by (g + 1) / (t + g) towards them, g = 8, so that it averages about the last
ninth of all steps. Without it the noise of constant steps keeps a linear model 0.02 to 0.04 nats below its optimum.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer

from .._inference import evaluation
from .._utils.random import in_pairs, seed_global, torch_generator
from ..model import LatentVariableModel
from ..objectives.base import Objective
from ..schedules import send
from .batches import Batches, TrainingRows
from .callbacks import GRADIENT_HOOK, STEP_HOOKS, Closing, copied, hears, prints, refuse_unseen
from .log import EpochBar, EpochLog
from .optimizers import clip_, load_state, set_rate
from .options import TrainingOptions
from .processes import OneProcess

__all__ = ["Callback", "EpochHook", "Means", "Net", "StopTraining", "callbacks_around", "in_data_space"]

_MAX_GRADIENT_NORM = 100.0  # nats per unit of weight: only outlying batches are clipped
_AVERAGE_DECAY = 8
_AVERAGE_EVERY = 8  # steps; averaging each one costs a twelfth of a step of a wide net
_INFORMATION_ROWS = 1000

Parts = dict[str, torch.Tensor]  # of a loss, row by row: (B,) each


class StopTraining(Exception):
    """Leaves the epoch loop; not KeyboardInterrupt, which belongs to the user."""


def callbacks_around(options: TrainingOptions, keeper: Callback | None) -> list[tuple[str, Callback] | Callback]:
    """The user's callbacks between ours: the best state (where rows are held out), the clock, tasks and the log."""
    if keeper is None:
        refuse_unseen(options.callbacks)
    own = [("best_state", keeper)] if keeper else []
    own += [("epoch_timer", EpochTimer())]
    own += copied(options.callbacks)
    own += [("tasks", EpochHook(*options.on_epoch))] if options.on_epoch else []
    log = EpochBar if options.verbose > 1 else EpochLog
    return own + ([("print_log", log())] if options.verbose else [])


class EpochHook(Callback):
    """A skorch callback around `begin()` and `end(net)`; the second returns True to stop."""

    def __init__(self, begin: Callable[[], None], end: Callable[["Net"], Any]) -> None:
        self.begin = begin
        self.end = end

    def on_epoch_begin(self, net: "Net", **kwargs: Any) -> None:
        """Begin the epoch's task."""
        self.begin()

    def on_epoch_end(self, net: "Net", **kwargs: Any) -> None:
        """End the epoch's task, and the training where its callback asks for that."""
        if self.end(net):
            raise StopTraining


class Net(NeuralNet):
    """skorch's epochs, history and callbacks around our batches, optimizers and loss."""

    def __init__(
        self,
        model: LatentVariableModel,
        options: TrainingOptions,
        *,
        seed: int,
        first_epoch: int,
        callbacks: Sequence[tuple[str, Callback] | Callback],
        n_epochs: int = 1,
    ) -> None:
        verbose = options.verbose or int(prints(options.callbacks) and options.processes.rank == 0)
        super().__init__(copy.deepcopy(model), criterion=options.objective, callbacks=callbacks, train_split=None,
                         verbose=verbose, device=None, use_caching=False, lr=options.learning_rate,
                         max_epochs=n_epochs, batch_size=options.batch_size,
                         iterator_valid__batch_size=_held_out_at_once(options.objective, model))  # fmt: skip
        self.average = [model]  # in a list: skorch refuses modules as attributes
        self.options = options
        self.processes = options.processes
        self.seed = seed
        self.first_epoch = first_epoch
        self.hears_steps = hears(options.callbacks, *STEP_HOOKS)
        self.hears_gradients = hears(options.callbacks, GRADIENT_HOOK)

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return []

    def initialize_criterion(self) -> "Net":
        """The objective is a value, not a module to build; compiled where asked."""
        self.criterion_ = self.options.objective
        self.loss_parts = torch.compile(_loss_parts) if self.options.compile else _loss_parts
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> "Net":
        """One optimizer per entry of the schedule's groups."""
        groups = self.module_.groups()
        self.names = self.options.schedule.groups
        self.parameters = [[p for name in names for p in groups[name]] for names in self.names]
        pairs = zip(self.names, self.parameters, strict=True)
        self.optimizers = [self._optimizer(names, parameters) for names, parameters in pairs]
        self.optimizer_ = self.optimizers[0]
        self.has_other_groups = sum(bool(parameters) for parameters in self.parameters) > 1
        main = [i for i, names in enumerate(self.names) if self.parameters[i] and "auxiliary" not in names]
        self.has_several_losses = len(main) > 1
        self.clock = main[-1]  # whose steps the average counts: inner steps of the encoder are no time
        return self

    def _optimizer(self, names: tuple[str, ...], parameters: list[torch.nn.Parameter]) -> Any:
        """None for groups that are empty in this model."""
        options = self.options
        linear = set(self.module_.linear_parameters() if options.linear_factor else ())
        nets = set(self.module_.net_parameters())
        alike: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
        for p in parameters:
            decay = options.weight_decay if p in nets and p.ndim > 1 else 0.0
            alike.setdefault((decay, p in linear), []).append(p)
        common: dict[str, Any] = {"rate": self._learning_rate(names)}
        if options.objective.betas is not None:
            common["betas"] = options.objective.betas
        groups = [
            {"params": group, "weight_decay": decay, "is_linear": is_linear, **common}
            for (decay, is_linear), group in alike.items()
        ]
        if not groups:
            return None
        return options.optimizer(groups, lr=options.learning_rate, weight_decay=options.weight_decay)

    def _learning_rate(self, names: tuple[str, ...]) -> float:
        own = self.options.schedule.learning_rate(names)
        if "auxiliary" in names:
            own = self.options.objective.auxiliary_learning_rate
        return self.options.learning_rate if own is None else own

    @property
    def averaged_(self) -> LatentVariableModel:
        """The model with the averaged weights: what is validated, kept and returned."""
        return self.average[0]

    def training_state(self) -> dict[str, Any]:
        """What a later call needs to go on bit for bit."""
        weights = {name: tensor.detach() for name, tensor in self.module_.state_dict().items()}
        optimizers = [None if o is None else o.state_dict() for o in self.optimizers]
        return {"weights": weights, "optimizers": optimizers, "n_steps": self.n_steps}

    def load_training_state(self, state: dict[str, Any] | None) -> None:
        """Go on from `training_state`; without one the trained weights are the model's."""
        self.n_steps = self.n_averaged = 0 if state is None else state["n_steps"]
        self.averaged_parameters = [p.detach() for p in self.averaged_.parameters() if p.requires_grad]
        self.trained_parameters = [p.detach() for p in self.module_.parameters() if p.requires_grad]
        # Of the user's nets, such as the running means of a BatchNorm: taken over, not averaged.
        self.net_buffers = list(zip(_net_buffers(self.averaged_), _net_buffers(self.module_), strict=True))
        if state is not None:
            self.module_.load_state_dict(state["weights"])
            for optimizer, optimizer_state in zip(self.optimizers, state["optimizers"], strict=True):
                if optimizer is not None:
                    load_state(optimizer, optimizer_state)

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The caller has split already: X is (training rows, held-out rows or None)."""
        return X

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Rows are cut into batches epoch by epoch, see `run_single_epoch`."""
        return dataset

    @property
    def epoch(self) -> int:
        """The absolute epoch now running, from 0."""
        return self.first_epoch + len(self.history) - 1

    def go_back_to_the_last_epoch(self) -> None:
        """Forget what an interrupted epoch has moved, and its record, to which the time comes last.

        Where a checkpoint inside that epoch was gone on from, its start is the checkpoint.
        """
        if self.history and "dur" not in self.history[-1]:
            del self.history[-1]
            averaged, trained = self.before_epoch
            self.averaged_.load_state_dict(averaged)
            self.load_training_state(trained)

    def run_single_epoch(
        self, iterator: TrainingRows | None, training: bool, prefix: str, step_fn: Any = None, **fit_params: Any
    ) -> None:
        """One pass; its parts go into the history as nats per row in data space, after one synchronisation."""
        if iterator is None:
            return
        with self.options.stopwatch("train" if training else "hold out"):
            parts = self._training_pass(iterator) if training else self.validate(iterator)
        for name, value in in_data_space(parts, prefix, iterator, self.options.objective).items():
            self.history.record(name, value)
        if self.options.schedule.watches:  # the held-out rows' value, which comes second, where there are any
            information = self.processes.broadcast(self._mutual_information(iterator))
            self.history.record(self.options.schedule.watches, information)
        self._refuse_infinity(prefix, "training" if training else "held-out")

    def _refuse_infinity(self, prefix: str, kind: str) -> None:
        loss = self.history[-1, f"{prefix}_loss"]
        if not math.isfinite(loss):
            raise ValueError(
                f"The {kind} loss became {loss} in epoch {self.epoch + 1}. Try a smaller "
                "learning_rate, scaling='standard', a larger noise floor, e.g. likelihood=Gaussian(floor=0.01), "
                "or look for extreme values in X."
            )

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """As skorch; its EarlyStopping speaks through KeyboardInterrupt, which is told apart from Ctrl-C here."""
        getattr(self, method_name)(self, **cb_kwargs)
        stop = False
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except StopTraining:
                stop = True  # the others still see this epoch
            except KeyboardInterrupt:
                if not isinstance(callback, EarlyStopping):
                    raise
                stop = True
        if method_name == "on_epoch_end":  # a callback that goes by the clock must not leave one process behind
            stop = bool(self.processes.all_reduce([], flag=float(stop)) > 0)
        if stop:
            raise StopTraining

    def close(self) -> None:
        """Have callbacks close what they hold open, however the training has ended."""
        for _, callback in self.callbacks_:
            if isinstance(callback, Closing):
                callback.close()

    def on_epoch_begin(self, net: "Net", **kwargs: Any) -> None:
        """Set the objective and the learning rates of the absolute epoch; keep its start, if it may be gone back to."""
        if self.options.keeps_on_interrupt:
            self.before_epoch = copy.deepcopy((self.averaged_.state_dict(), self.training_state()))
        epoch = self.first_epoch + len(self.history)
        self.objective = self.options.objective.at(epoch)
        factor = self.options.learning_rate_factor(epoch)
        linear_factor = self.options.linear_factor(epoch) if self.options.linear_factor else 1.0
        for optimizer in filter(None, self.optimizers):
            for group in optimizer.param_groups:
                set_rate(group, factor * group["rate"] * (linear_factor if group["is_linear"] else 1.0))
        self.history.new_epoch()
        self.history.record("epoch", self.epoch + 1)

    def _training_pass(self, rows: TrainingRows) -> Mapping[str, float]:
        self.module_.train()
        seed_global(rows.device, self.seed, self.epoch, *self.processes.seeds)  # dropout takes no generator
        generator = torch_generator(rows.device, self.seed, self.epoch)
        run = self.options.run
        if run is not None:
            run.at_epoch(self)
        if self.options.exact_step is not None:
            return self.options.exact_step((self.module_, self.averaged_))
        batches = Batches(rows, self.options, (self.seed, self.epoch), self.history)
        means = Means()
        steps = self.options.schedule.steps(batches)
        if run is not None:
            steps = run.over(steps, self, generator, means)
        step = next(steps, None)
        while step is not None:
            which, (x, mask, n_rows) = step
            loss = None
            if self.optimizers[which] is not None:
                if self.hears_steps:
                    self.notify("on_batch_begin", batch=_batch(x, mask), training=True)
                parts, loss = self._step(which, x, mask, n_rows, generator)
                if self.hears_steps:
                    self._end_batch(parts, x, mask, n_rows, rows, training=True)
                means.add(parts, n_rows)
            step = send(steps, loss)
        self._average()
        return means.result(self.processes)  # the epoch's one synchronisation

    def _step(
        self, which: int, x: torch.Tensor, mask: torch.Tensor | None, n_rows: int, generator: torch.Generator
    ) -> tuple[Parts, torch.Tensor | None]:
        """Move by this process's shard of a batch of n_rows and what the others add; parts (B,), loss for schedules."""
        is_auxiliary = "auxiliary" in self.names[which]
        u = self._noise(x, n_rows, generator)
        for p in self.parameters[which]:
            p.grad = None
        with self._autocast(x.device):
            parts = (_auxiliary_parts if is_auxiliary else self.loss_parts)(self.objective, self.module_, x, mask, u)
        mean = parts["auxiliary_loss" if is_auxiliary else "loss"].sum() / n_rows
        if mean.requires_grad:  # constants alone leave a plain autoencoder nothing to learn
            mean.backward(inputs=self._thawed(which) if self.has_other_groups else None)
        mean = mean.detach()[None]
        self._all_reduce(which, mean)
        if self.hears_gradients:
            self.notify(GRADIENT_HOOK, named_parameters=self._named(which), batch=_batch(x, mask), training=True)
        self._move(which)
        if self.has_several_losses and not is_auxiliary:
            parts[f"loss_{self.names[which][0]}"] = parts["loss"]
        parts = {name: part.detach() for name, part in parts.items()}
        return parts, parts.get("loss") if self.processes.size == 1 or is_auxiliary else mean

    def _end_batch(
        self, parts: Parts, x: torch.Tensor, mask: torch.Tensor | None, n_rows: int, rows: TrainingRows, training: bool
    ) -> None:
        """Write the mean loss of this process's share of a batch into the history, as skorch does, and tell callbacks.

        It is in data space, as that of the epoch.
        """
        prefix = "train" if training else "valid"
        name = "loss" if "loss" in parts else "auxiliary_loss"
        loss = parts[name].detach().mean()
        for key, value in in_data_space({name: float(loss)}, prefix, rows, self.objective).items():
            self.history.record_batch(key, value)
        self.history.record_batch(f"{prefix}_batch_size", n_rows)
        self.notify("on_batch_end", batch=_batch(x, mask), training=training, loss=loss, y_pred=None)

    def _named(self, which: int) -> list[tuple[str, torch.nn.Parameter]]:
        """Name the parameters that an optimizer moves."""
        moved = set(self.parameters[which])
        return [(name, p) for name, p in self.module_.named_parameters() if p in moved]

    def _thawed(self, which: int) -> list[torch.nn.Parameter]:
        """The parameters of an optimizer that no callback has frozen."""
        return [p for p in self.parameters[which] if p.requires_grad]

    def _noise(self, x: torch.Tensor, n_rows: int, generator: torch.Generator) -> torch.Tensor:
        """u (S, B, n_noise): every process draws that of the whole batch, so that the stream is that of one process."""
        S, is_paired = self.objective.n_draws, self.objective.pairs_draws
        shape = (math.ceil(S / 2) if is_paired else S, n_rows, self.module_.n_noise)
        u = torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)[:, self.processes.shard(n_rows)]
        return in_pairs(u)[:S] if is_paired else u

    def _autocast(self, device: torch.device) -> AbstractContextManager:
        is_on = self.options.precision == "bfloat16"
        return torch.autocast(device.type, torch.bfloat16) if is_on else nullcontext()

    def _all_reduce(self, which: int, mean: torch.Tensor) -> None:
        """Sum gradients and mean over the processes, in place; in the same message go wishes for a checkpoint."""
        gradients, run = [p.grad for p in self.parameters[which] if p.grad is not None], self.options.run
        total = self.processes.all_reduce([*gradients, mean], run.request() if run else 0.0)
        if run:
            run.agree(total)

    def _move(self, which: int) -> None:
        """One step of an optimizer, and now and then of the average."""
        clip_(self.parameters[which], _MAX_GRADIENT_NORM)
        self.optimizers[which].step()
        self.n_steps += which == self.clock
        if self.n_steps - self.n_averaged >= _AVERAGE_EVERY:
            self._average()

    def _mutual_information(self, rows: TrainingRows) -> float:
        """I(x; z) of the averaged model on up to 1000 rows, in nats."""
        self.averaged_.eval()
        x, mask = rows.take(slice(_INFORMATION_ROWS))  # sorted by hash: a random subset
        shape = (1, len(x), self.averaged_.n_noise)
        u = torch.randn(shape, generator=torch_generator(rows.device, self.seed), device=x.device, dtype=x.dtype)
        with torch.no_grad():
            return float(evaluation.mutual_information(self.averaged_, x, mask, u))

    def _average(self) -> None:
        """Move the average towards the trained weights, for all steps since the last time."""
        new = self.n_steps - self.n_averaged
        if new == 0:
            return
        weight = min(1.0, new * (_AVERAGE_DECAY + 1) / (self.n_steps + _AVERAGE_DECAY))
        torch._foreach_lerp_(self.averaged_parameters, self.trained_parameters, weight)
        for own, trained in self.net_buffers:
            own.copy_(trained)
        self.n_averaged = self.n_steps

    @torch.no_grad()
    def validate(self, rows: TrainingRows) -> dict[str, float]:
        """Weighted means of the objective's parts over held-out rows, with one antithetic pair of draws per row.

        The draws are the same every epoch, so that epochs compare. What is monitored is left row by row in `monitored`.
        """
        self.averaged_.eval()
        objective = self.options.objective.at(math.inf)
        seed_global(rows.device, self.seed, *self.processes.seeds)  # draws of the prior take no generator
        generator = torch_generator(rows.device, self.seed)
        totals, total_weight = torch.zeros((), device=rows.device), rows.weight.sum()
        self.monitored = torch.zeros(len(rows), device=rows.device)
        step = _held_out_at_once(objective, self.averaged_)
        shard = self.processes.shard(len(rows))
        hears = self.hears_steps and len(self.history) > 0  # the start is validated before the first epoch
        for i in range(0, len(rows), step):
            chunk = slice(i, min(i + step, len(rows)))
            shape = (objective.n_draws, chunk.stop - i, self.averaged_.n_noise)
            u = torch.randn(shape, generator=generator, device=rows.device, dtype=torch.float32)
            # The part of the chunk that lies in this process's shard; the noise was drawn for the whole chunk, so that
            # it is the same however many processes there are.
            own = slice(max(i, shard.start), min(chunk.stop, shard.stop))
            if own.start >= own.stop:
                continue
            x, mask = rows.take(own)
            u = u[:, own.start - i : own.stop - i]
            if hears:
                self.notify("on_batch_begin", batch=_batch(x, mask), training=False)
            parts = objective(self.averaged_, x, mask, in_pairs(u))
            if hears:
                self._end_batch(parts, x, mask, len(x), rows, training=False)
            weight = torch.as_tensor(rows.weight[own] / total_weight, dtype=torch.float32, device=rows.device)
            totals = totals + torch.stack([(weight * part).sum() for part in parts.values()])
            if objective.monitor is not None:
                self.monitored[own] = parts[objective.monitor]
        self.processes.all_reduce([totals, self.monitored])
        return dict(zip(parts, totals.tolist(), strict=True))


@dataclass
class Means:
    """Means of parts over the rows of a pass, added up in place: small tensors that stay would fragment the heap.

    All its fields, and nothing else, go into a checkpoint that is written inside an epoch.
    """

    sums: dict[tuple[str, ...], torch.Tensor] = field(default_factory=dict)  # (P,) of the P parts that come together
    n_rows: dict[tuple[str, ...], int] = field(default_factory=dict)  # in all processes

    def add(self, parts: Parts, n_rows: int) -> None:
        """Take parts, (B,) each, of a batch that has n_rows in all processes."""
        names = tuple(parts)
        sums = torch.stack(tuple(parts.values())).sum(1)
        if names in self.sums:
            self.sums[names] += sums
        else:
            self.sums[names] = sums
        self.n_rows[names] = self.n_rows.get(names, 0) + n_rows

    def result(self, processes: OneProcess) -> dict[str, float]:
        """The means over the rows of all processes as plain numbers."""
        means = torch.cat([sums / self.n_rows[names] for names, sums in self.sums.items()])
        processes.all_reduce([means])
        return dict(zip(chain.from_iterable(self.sums), means.tolist(), strict=True))


def _loss_parts(objective: Objective, *args: Any) -> Parts:
    return objective(*args)


def _auxiliary_parts(objective: Objective, *args: Any) -> Parts:
    return objective.auxiliary_loss(*args)


def _held_out_at_once(objective: Objective, model: LatentVariableModel) -> int:
    """Rows of a chunk of the held-out ones, which takes two draws where a step takes one."""
    return evaluation.chunk_rows(model, 2 * objective.n_draws)


def _batch(x: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, None]:
    """A batch as skorch's callbacks see it, (X, y): rows in model space, NaN where a cell is missing, and no target."""
    return x if mask is None else x.masked_fill(~mask, torch.nan), None


def _net_buffers(model: LatentVariableModel) -> list[torch.Tensor]:
    encoder = [] if model.encoder is None else [model.encoder.net]
    nets = [net for net in (model.decoder.net, *encoder) if net is not None]
    return [buffer for net in nets for buffer in net.buffers()]


def in_data_space(
    parts: Mapping[str, float], prefix: str, rows: TrainingRows, objective: Objective
) -> dict[str, float]:
    """Prefix the parts' names and add the rows' mean log-Jacobian to those that contain the likelihood."""
    signs = objective.log_px_parts
    found = {}
    for name, value in parts.items():
        sign = signs.get("loss" if name.startswith("loss_") else name, 0.0)
        found[f"{prefix}_{name}"] = value + sign * rows.log_jacobian
    return found
