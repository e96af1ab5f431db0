"""The plan of a fit: the estimator's parameters, checked, with everything "auto" resolved that can be before the rows.

What depends on the number of rows is a method of the plan. No other module resolves "auto".
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from .._inference.fitted import OPTIMIZATION, STRUCTURE, Fitted
from .._starts import closed_form
from .._storage.registry import fingerprint
from .._tables.scalings import SCALINGS
from .._training.checkpoints import Checkpoint, reserve
from .._training.optimizers import OPTIMIZERS
from .._training.options import LEARNING_RATE_SCHEDULES
from .._training.processes import OneProcess, init_processes, warn_without_launch
from .._utils.arrays import choose_device
from .._utils.checks import COUNT, NON_NEGATIVE, POSITIVE, check_parameters
from .._utils.compat import Interval, StrOptions
from .._utils.random import exclusive
from .._utils.stopwatch import Stopwatch
from ..components import COMPONENTS, Parts, component
from ..families import LIKELIHOODS, Family
from ..networks import MLP, FeatureLoss, Network
from ..networks.architectures import ACTIVATIONS, FromFactory
from ..networks.gates import work
from ..objectives import OBJECTIVES, Objective
from ..posteriors import Posterior
from ..priors import Prior
from ..schedules import SCHEDULES, Schedule
from .compatibility import check_parts, check_row_wise, refuse_idle

__all__ = ["CONSTRAINTS", "Plan", "parameters_of"]

MIN_ROWS_FOR_VALIDATION = 100  # distinct rows; with fewer, `early_stopping="auto"` takes CAUTIOUS_EPOCHS at most
CAUTIOUS_EPOCHS = 30
WIDTH, MIN_ROWS_FOR_DEPTH = 128, 500  # `hidden_layer_sizes="auto"`
MOST_COLUMNS_OF_LARGE_BATCHES = 16  # `batch_size="auto"`
MOST_EPOCHS, FEWEST_EPOCHS, MOST_STEPS = 300, 30, 6000  # `max_iter="auto"`
STEPS_OF_MANY_ROWS = 60_000  # at most, of tables on which thirty epochs are more; one epoch at least
STEPS_OF_A_GAME = 3000  # at least, of a generator: it learns from its critic, and not by how many rows there are
HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 20_000  # rows, `validation_fraction="auto"`
PATIENCE_EPOCHS, PATIENCE_STEPS = 20, 300  # at least, `n_iter_no_change="auto"`
ANNEALING_STEPS, ANNEALING_EPOCHS = 450, (3, 80)  # of a start that carries nothing

Shape = tuple[int, int]  # rows and columns of a table

CONSTRAINTS: dict[str, list[Any]] = {
    "n_components": [StrOptions({"auto"}), COUNT],
    "hidden_layer_sizes": [StrOptions({"auto"}), "array-like", COUNT],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "encoder": [Network, callable, None],
    "decoder": [Network, callable, None],
    "likelihood": [StrOptions({"auto", *LIKELIHOODS}), Family, list],
    "categorical_features": [StrOptions({"auto", "from_dtype"}), "array-like", None],
    "conditions": [str, Integral, "array-like", None],
    "bounds": [dict, None],
    "scaling": [StrOptions({"standard", "global", *SCALINGS}), None],
    "column_weights": ["array-like", dict, None],
    "feature_loss": [FeatureLoss, None],
    "posterior": [StrOptions({"auto", *COMPONENTS["posterior"][0]}), Posterior],
    "prior": [StrOptions({"auto", *COMPONENTS["prior"][0]}), Prior],
    "objective": [StrOptions(set(OBJECTIVES)), Objective],
    "schedule": [StrOptions(set(SCHEDULES)), Schedule],
    "init": [StrOptions({"auto", *closed_form.INITS})],
    "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
    "learning_rate": [StrOptions({"auto"}), POSITIVE],
    "learning_rate_schedule": [StrOptions(set(LEARNING_RATE_SCHEDULES) - {None}), callable, None],
    "weight_decay": [NON_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), COUNT],
    "max_iter": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
    "max_steps": [COUNT, None],
    "early_stopping": [StrOptions({"auto"}), "boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither"), StrOptions({"auto"})],
    "n_iter_no_change": [StrOptions({"auto"}), COUNT],
    "tol": [NON_NEGATIVE],
    "n_score_samples": [COUNT],
    "warm_start": ["boolean"],
    "keep_optimizer": ["boolean"],
    "device": [str, torch.device],
    "distributed": ["boolean"],
    "precision": [StrOptions({"float32", "bfloat16"})],
    "compile": ["boolean"],
    "callbacks": [list, tuple, None],
    "on_interrupt": [StrOptions({"discard", "keep"})],
    "checkpoint": [Checkpoint, str, os.PathLike, None],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}


def parameters_of(estimator: Any) -> dict[str, Any]:
    """Give all parameters by name; the constructor of a user's subclass may take fewer of them, and others."""
    known = {name: getattr(estimator, name) for name in CONSTRAINTS}
    return dict(sorted({**known, **estimator.get_params(deep=False)}.items()))


@dataclass(frozen=True, eq=False)
class Plan:
    """Parameters of a fit, and the components that they name.

    Parameters
    ----------
    given : SimpleNamespace
        The parameters as the user has set them.
    parts : Parts
    schedule : Schedule
    likelihood : Family, list of (Family, columns) or "auto"
    checkpoint : Checkpoint or None
    single_pass : bool
        Whether this is `partial_fit`: one epoch, nothing held out, no checkpoint.
    stopwatch : Stopwatch
        Where the time of the fit goes.
    """

    given: SimpleNamespace
    parts: Parts
    schedule: Schedule
    likelihood: Any
    checkpoint: Checkpoint | None
    single_pass: bool = False
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    @classmethod
    def of(
        cls,
        parameters: Mapping[str, Any],
        owner: str,
        constraints: Mapping[str, Any] = CONSTRAINTS,
        single_pass: bool = False,
    ) -> "Plan":
        """Check parameters by constraints, in the name of the estimator's class, and resolve them."""
        _refuse_words_of_pca(parameters["n_components"], owner)
        check_parameters(constraints, parameters, owner)
        plan = cls(
            SimpleNamespace(**parameters),
            Parts.of(parameters),
            component("schedule", parameters["schedule"]),
            component("likelihood", parameters["likelihood"]),
            None if single_pass else _checkpoint(parameters["checkpoint"]),
            single_pass,
        )
        if plan.given.distributed and plan.processes.size == 1:
            warn_without_launch()
        if plan.given.on_interrupt == "keep" and plan.processes.size > 1:
            raise ValueError(
                "on_interrupt='keep' is for one process: with distributed=True an interrupt reaches the processes at "
                "different steps. Use a checkpoint, or on_interrupt='discard'."
            )
        return plan

    def following(self, earlier: Fitted | None) -> "Plan":
        """Give the plan of a fit that may go on from an earlier one, whose number of components "auto" then is."""
        return self if earlier is None else self.with_n_components(earlier.module.n_components)

    def with_n_components(self, n_components: int) -> "Plan":
        """Give the plan with a number in place of "auto"; one that has a number keeps it."""
        if self.given.n_components != "auto":
            return self
        return replace(self, given=SimpleNamespace(**{**self.parameters, "n_components": n_components}))

    @property
    def processes(self) -> OneProcess:
        """The processes that share the batches of a fit."""
        return init_processes(self.given.distributed, self.given.device)

    @property
    def verbose(self) -> int:
        """The parameter, 0 in all processes but one."""
        return int(self.given.verbose) if self.processes.rank == 0 else 0

    def say(self, what: str) -> None:
        """Print a line about the fit, where `verbose` asks for it; `partial_fit`, one epoch, has no phases."""
        if self.verbose and not self.single_pass:
            print(f"[VAETransformer] {what}", flush=True)

    def say_where_time_went(self) -> None:
        """Print the seconds of each phase, for `verbose` above 1."""
        if self.verbose > 1:
            for line in self.stopwatch.lines():
                self.say(line)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters as the user has set them, by name."""
        return vars(self.given)

    @property
    def exposures(self) -> list[Any]:
        """What likelihoods name as the exposures of their columns."""
        entries = self.likelihood if isinstance(self.likelihood, list) else [(self.likelihood, None)]
        exposures = [family.exposure for family, _ in entries if isinstance(family, Family)]
        return [exposure for exposure in exposures if exposure is not None]

    def check_checkpoint(self) -> None:
        """Check the checkpoint, and that its folder can be written to; how much space it needs is known later."""
        if self.checkpoint is None:
            return
        self.checkpoint.check()
        if self.given.random_state is None:
            raise ValueError(
                "checkpoint=... continues the same fit, and random_state=None makes every fit another one: set "
                "random_state, e.g. random_state=0."
            )
        self.processes.on_first(partial(reserve, self.checkpoint.folder, 1))

    def check_callbacks(self) -> None:
        """Check the callbacks, by skorch, which is imported for them alone."""
        if self.given.callbacks:
            from .._training.callbacks import check_callbacks

            check_callbacks(self.given.callbacks, takes_steps=not self.schedule.closed_form)

    # ---------------------------------------------------------------- networks

    def hidden_layer_sizes(self, n_rows: int) -> tuple[int, ...]:
        """Sizes as a tuple; "auto" goes by the number of training rows."""
        sizes = self.given.hidden_layer_sizes
        if isinstance(sizes, str):
            objective = self.parts.objective
            if objective.monitor is None:  # to fold groups into a normal code, or to cut one, takes two layers
                return (WIDTH,) if objective.estimates_kl else (WIDTH, WIDTH)
            return (WIDTH,) if n_rows < MIN_ROWS_FOR_DEPTH else (WIDTH, WIDTH)
        sizes = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
        if not all(isinstance(n, Integral) and int(n) >= 1 for n in sizes):
            raise ValueError(
                "The 'hidden_layer_sizes' parameter of VAETransformer must be a tuple of ints in the range [1, inf). "
                f"Got {self.given.hidden_layer_sizes!r} instead."
            )
        return tuple(int(n) for n in sizes)

    def networks(self, n_rows: int) -> list[Network]:
        """Encoder and decoder as components; by default the MLP that the estimator's own parameters describe."""
        networks = []
        for given in (self.given.encoder, self.given.decoder):
            if given is None:
                given = MLP(self.hidden_layer_sizes(n_rows), self.given.activation, float(self.given.dropout))
            networks.append(clone(given) if isinstance(given, Network) else FromFactory(given))
        return networks

    @property
    def has_bound(self) -> bool:
        """Whether a bound on ln p(x) is what is trained, and can stop the training."""
        objective = self.parts.objective
        return objective.needs_density and objective.monitor is not None and not self.parts.lacks("score")

    @property
    def bound_may_stop(self) -> bool:
        """Whether a bound is trained, for as long as is good for held-out rows."""
        return self.has_bound and bool(self.given.early_stopping) and not self.single_pass

    @property
    def trains_nets(self) -> bool:
        """Whether a bound trains a net beside the linear decoder, for as long as is good for it."""
        _, decoder = self.networks(0)
        has_net = not isinstance(decoder, MLP) or bool(decoder.hidden_layer_sizes)
        return has_net and self.bound_may_stop

    def check_parts(self, families: list[Family], n_rows: int) -> None:
        """Check every component, alone and with the others, before anything is built."""
        posterior, prior, objective = self.parts.posterior, self.parts.prior, self.parts.objective
        check_parts(posterior, prior, objective, self.schedule, families, self.networks(n_rows))
        refuse_idle(self.parameters, objective, self.schedule)
        if self.given.feature_loss is not None:
            self.given.feature_loss.check(families, self.given.scaling)
        if self.processes.size > 1:
            check_row_wise(objective, self.schedule)

    def work_per_step(self, shape: Shape) -> int:
        """Multiply-adds of one batch: encoder plus S times decoder, as if these had K and D outputs."""
        n_rows, n_columns = shape
        widths = n_columns, self.given.n_components
        encoder, decoder = self.networks(n_rows)
        with exclusive(0):
            per_row = work(encoder, "encoder", *widths)
            per_row += self.parts.objective.n_draws * work(decoder, "decoder", *widths[::-1])
        return self.batch_size(shape) * per_row

    def device(self, table: Any, shape: Shape) -> str:
        """The device that the model is trained on."""
        return self.processes.device or choose_device(self.given.device, table, self.work_per_step(shape))

    # ---------------------------------------------------------------- epochs, batches, rates

    def batch_size(self, shape: Shape) -> int:
        """Resolve "auto": a power of two near a sixteenth of the rows, between 32 and 512.

        It is an eighth for a bound of at most 16 columns that held-out rows can stop after any number of epochs. Nets
        learn wider rows by heart sooner, and the noise of small batches keeps them from it; and small batches make more
        of a few epochs.
        """
        if self.given.batch_size != "auto":
            return self.given.batch_size
        n_rows, n_columns = shape
        any_length = self.bound_may_stop and self.given.max_iter == "auto"
        share = 1 / 8 if any_length and n_columns <= MOST_COLUMNS_OF_LARGE_BATCHES else 1 / 16
        return int(2 ** np.clip(np.round(np.log2(share * n_rows)), 5, 9))

    @property
    def most_epochs(self) -> int:
        """The largest number of epochs, before the rows are known."""
        if isinstance(self.given.max_iter, str):
            return max(MOST_EPOCHS, self._epochs_of_a_game((1, 1)))
        return self.given.max_iter

    def max_epochs(self, shape: Shape) -> int:
        """Resolve "auto": 300 epochs, or as many as make 6000 steps; of a generator 3000 steps.

        They are 30 at least, or as many as make 60 000 steps, where that is less. `max_steps` limits either.
        """
        n_epochs = self._epochs_without_limit(shape) if self.given.max_iter == "auto" else self.given.max_iter
        if self.given.max_steps is None:
            return n_epochs
        n_steps = int(np.ceil(shape[0] / self.batch_size(shape)))
        return min(n_epochs, max(1, self.given.max_steps // n_steps))

    def _epochs_without_limit(self, shape: Shape) -> int:
        per_step = self.batch_size(shape) / shape[0]
        n_epochs = int(np.clip(MOST_STEPS * per_step, FEWEST_EPOCHS, MOST_EPOCHS))
        n_epochs = min(n_epochs, max(1, int(STEPS_OF_MANY_ROWS * per_step)))
        return max(n_epochs, self._epochs_of_a_game(shape))

    def _epochs_of_a_game(self, shape: Shape) -> int:
        """The fewest epochs that a generator needs; 0 for what has an encoder."""
        if self.parts.objective.posterior is not None:
            return 0
        return int(np.ceil(STEPS_OF_A_GAME / np.ceil(shape[0] / self.batch_size(shape))))

    def annealing(self, n_draws: int, shape: Shape) -> int:
        """Epochs over which the KL of a start without information rises, for epochs of so many draws."""
        n_steps = np.ceil(n_draws / self.batch_size(shape))
        return int(np.clip(np.ceil(ANNEALING_STEPS / n_steps), *ANNEALING_EPOCHS))

    def held_out(self, shape: Shape) -> tuple[bool, int]:
        """Whether rows of the table are held out, and the number of epochs."""
        n_epochs = 1 if self.single_pass else self.max_epochs(shape)
        early_stopping = self.given.early_stopping
        if self.single_pass or n_epochs == 0 or not early_stopping:
            return False, n_epochs
        if early_stopping == "auto" and self.parts.objective.posterior is None:
            return False, n_epochs
        if early_stopping == "auto" and shape[0] < MIN_ROWS_FOR_VALIDATION:
            return False, min(n_epochs, CAUTIOUS_EPOCHS)
        if early_stopping == "auto" and self.parts.objective.monitor is None:
            return False, n_epochs
        return True, n_epochs

    def validation_fraction(self, weight: np.ndarray) -> float:
        """Resolve "auto": a tenth of rows of these weights, and at most as many as 20 000 rows."""
        if self.given.validation_fraction != "auto":
            return self.given.validation_fraction
        return min(HELD_OUT_SHARE, MOST_HELD_OUT / max(weight.sum(dtype=np.float64), len(weight)))

    def patience(self, shape: Shape) -> int:
        """Resolve "auto": 20 epochs without improvement, or as many as make 300 steps on small tables."""
        if self.given.n_iter_no_change != "auto":
            return self.given.n_iter_no_change
        n_steps = np.ceil(shape[0] / self.batch_size(shape))
        return int(max(PATIENCE_EPOCHS, np.ceil(PATIENCE_STEPS / n_steps)))

    def learning_rate(self, shape: Shape, may_stop: bool, init: str) -> float:
        """Resolve "auto": 6e-3 for bounds with a closed-form initialisation and held-out rows to stop the training.

        Else 1e-3 for batches of up to 128 rows, beyond in proportion to them (Goyal et al. 2017), up to 4e-3.
        """
        if self.given.learning_rate != "auto":
            return self.given.learning_rate
        if may_stop and init != "random" and self.has_bound:
            return 6e-3
        return 1e-3 * float(np.clip(self.batch_size(shape) / 128, 1.0, 4.0))

    # ---------------------------------------------------------------- a fit that continues

    def made_of(self) -> dict[str, str]:
        """Parameters that cannot change while a fit continues, as text; of the objective only its critic."""
        made = {name: fingerprint(self.parameters[name]) for name in STRUCTURE + OPTIMIZATION}
        objective = self.parts.objective
        made |= {
            "posterior": fingerprint(self.parts.posterior),
            "prior": fingerprint(self.parts.prior),
        }  # "auto" resolved
        made["objective"] = fingerprint(objective) if objective.has_auxiliary else "one without a critic"
        return made

    def refuse_changes(self, before: Mapping[str, str], has_state: bool) -> None:
        """Raise where a continued fit has other parts, or another optimizer than that whose state it has."""
        now = self.made_of()
        for name in STRUCTURE + OPTIMIZATION if has_state else STRUCTURE:
            if before[name] != now[name]:
                raise ValueError(
                    f"The {name!r} parameter of VAETransformer cannot change from {before[name]} to {now[name]} while "
                    "a fitted model goes on. Fit anew: clone the estimator, or fit with warm_start=False."
                )


def _refuse_words_of_pca(n_components: Any, owner: str) -> None:
    """Raise for what PCA takes and a latent-variable model has no meaning for, with what to write instead."""
    is_share = isinstance(n_components, float) and 0 < n_components < 1
    if is_share or (isinstance(n_components, str) and n_components == "mle"):
        meaning = "a share of PCA's variance" if is_share else "Minka's choice for PCA"
        raise ValueError(
            f"The 'n_components' parameter of {owner} must be an int or 'auto'. Got {n_components!r}, {meaning}: write "
            "n_components='auto', which lets held-out rows choose, or a number of components."
        )


def _checkpoint(given: Any) -> Checkpoint | None:
    """The `checkpoint` as a component; None without one."""
    return given if given is None or isinstance(given, Checkpoint) else Checkpoint(given)
