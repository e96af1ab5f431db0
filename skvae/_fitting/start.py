"""An initialised model, and what is known of its training."""

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor
from torch.distributions import constraints

from .._inference import evaluation
from .._inference.fitted import SCORE_STREAM, Fitted
from .._inference.summaries import inspected
from .._starts import closed_form
from .._starts.standardized import Standardized
from .._tables.columns import Columns
from .._tables.sampling import draw_positions
from .._utils.arrays import choose_device
from .._utils.random import exclusive, torch_generator, whitened_pairs
from ..model import LatentVariableModel
from ..priors import Prior
from .compatibility import check_model
from .plan import Plan
from .prepare import Basis, RowsAndWeights

__all__ = ["Progress", "Start", "solve"]


@dataclass(frozen=True, eq=False)
class Progress:
    """How far the training of a model has come.

    Parameters
    ----------
    n_iter, best_iter : int
        Number of epochs run, and the epoch whose state was kept.
    history : list of dict
        One record per epoch.
    training_state : dict or None
        Trained weights, optimizers and number of steps, from which training continues.
    interrupt : KeyboardInterrupt or None
        What has ended the training, where it is kept nevertheless.
    """

    n_iter: int = 0
    best_iter: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    training_state: dict[str, Any] | None = None
    interrupt: KeyboardInterrupt | None = None


@dataclass(frozen=True, eq=False)
class Start:
    """A model that is ready to train.

    Parameters
    ----------
    init : str
        Name of the initialisation.
    columns : Columns
        Columns scaled by the rows that it was solved on.
    config : dict
        Arguments of `LatentVariableModel`.
    made_of : dict of str to str
    module : LatentVariableModel
        Training writes into it.
    module_signs : list of float
    score_noise : Tensor (S, 1, n_noise)
    device : str
    seed : int
    progress : Progress
        Progress of the fit that continues; empty for a new one.
    """

    init: str
    columns: Columns
    config: dict[str, Any]
    made_of: dict[str, str]
    module: LatentVariableModel
    module_signs: list[float]
    score_noise: Tensor
    device: str
    seed: int
    progress: Progress

    @classmethod
    def of(cls, earlier: Fitted, plan: Plan) -> "Start":
        """Start from an earlier fit, whose module is copied; column weights, draws and device are the plan's.

        Training goes on under the prior that it had: one that was fitted after it is left.
        """
        device = plan.processes.device or _device(plan, earlier)
        weights = earlier.columns.weights(plan.given.column_weights)
        module = copy.deepcopy(earlier.module)
        module.column_weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        prior = clone(plan.parts.prior) if earlier.prior_is_fitted else earlier.parts.prior
        if earlier.prior_is_fitted:
            module.prior = prior.build(module.width)
        return cls(
            init=earlier.init,
            columns=earlier.columns,
            config={**earlier.config, "prior": prior, "objective": plan.parts.objective, "column_weights": weights},
            made_of=earlier.made_of,
            module=module.to(device),
            module_signs=earlier.module_signs,
            score_noise=_score_noise(plan, module, earlier.seed),
            device=device,
            seed=earlier.seed,
            progress=Progress(earlier.n_iter, earlier.best_iter, earlier.history, earlier.training_state),
        )


def solve(
    plan: Plan,
    basis: Basis,
    columns: Columns,
    init: str,
    rows: RowsAndWeights,
    device: str,
    seen: Standardized | None = None,
) -> Start:
    """Initialise a new module by the given rows; `seen` is what linear models see of them, if it is known."""
    seen = Standardized(columns, *rows) if seen is None else seen
    config = _config(plan, basis, columns, rows[0].shape)
    with exclusive(basis.seed):
        module = LatentVariableModel(**config).float().eval()
        check_model(module, plan.parts.posterior, plan.parts.prior, plan.parts.objective)
    closed_form.start(module, seen, init, basis.seed, plan.parts.prior.seeks_groups)
    module = module.to(device)
    score_noise = _score_noise(plan, module, basis.seed)
    config["prior"] = _start_prior(plan, module, columns, device, basis.seed, rows)
    signs = _module_signs(module, columns, device, rows)
    return Start(init, columns, config, plan.made_of(), module, signs, score_noise, device, basis.seed, Progress())


def _device(plan: Plan, earlier: Fitted) -> str:
    """The device that is asked for; "auto" is where the model is."""
    return earlier.device if plan.given.device == "auto" else choose_device(plan.given.device, None, 0)


def _score_noise(plan: Plan, module: LatentVariableModel, seed: int) -> Tensor:
    """The draws behind scores, (S, 1, n_noise)."""
    generator = torch_generator("cpu", seed, SCORE_STREAM)
    return whitened_pairs(plan.given.n_score_samples, module.n_noise, generator)


def _config(plan: Plan, basis: Basis, columns: Columns, shape: tuple[int, int]) -> dict[str, Any]:
    """The arguments of `LatentVariableModel`."""
    encoder, decoder = plan.networks(shape[0])
    feature_loss = plan.given.feature_loss
    return {
        "n_features": shape[1],
        "n_components": int(plan.given.n_components),
        "posterior": None if plan.parts.posterior is None else clone(plan.parts.posterior),
        "prior": clone(plan.parts.prior),
        "objective": clone(plan.parts.objective),
        "likelihood": columns.groups,
        "incomplete": basis.incomplete,
        "column_weights": columns.weights(plan.given.column_weights),
        "feature_loss": None if feature_loss is None else clone(feature_loss),
        "scales": (columns.shift.tolist(), columns.scale.tolist()) if feature_loss else None,
        "reach": None,
        "code_reach": None,
        "encoder": encoder,
        "decoder": decoder,
    }


def _start_prior(
    plan: Plan, module: LatentVariableModel, columns: Columns, device: str, seed: int, rows: RowsAndWeights
) -> Prior:
    """Initialise the prior by draws of the initial posteriors, and give it with the size that they ask for."""
    prior = clone(plan.parts.prior)
    if not module.posterior:
        return prior
    X, weight = rows
    inspected_module, x, mask, _ = inspected(module, columns, device, X, weight)
    drawn = _draw_rows(weight[: len(x)], len(x), seed)
    x, mask = x[drawn], None if mask is None else mask[drawn]
    generator = torch_generator("cpu", seed, SCORE_STREAM)
    u = torch.randn(1, len(x), module.n_noise, generator=generator, dtype=torch.float64).to(x)
    with torch.no_grad():
        z = inspected_module.posterior.push(inspected_module.encode(x, mask), u)[0].cpu().double().numpy()
        sized = prior.sized(z, drawn, seed)
        if sized is not prior:
            with exclusive(seed):
                module.prior = sized.build(module.width).float().eval().to(device)
        sized.start(module.prior, z, x, seed)
    return sized


def _draw_rows(weight: np.ndarray, n_most: int, seed: int) -> np.ndarray:
    """Draw positions of rows in proportion to their weights; where there are few rows, several times each."""
    n_draws = int(np.clip(weight.sum(), 1000, max(1000, n_most)))
    return draw_positions(weight, n_draws, np.random.default_rng(seed))


def _module_signs(module: LatentVariableModel, columns: Columns, device: str, rows: RowsAndWeights) -> list[float]:
    """Signs of the module's components, fixed after initialisation, so that no later epoch flips one.

    Codes on a part of the line, and classes, keep their sign.
    """
    if not module.posterior:
        return [1.0] * module.n_components
    module, x, mask, w = inspected(module, columns, device, *rows)
    with torch.no_grad():
        step = evaluation.chunk_rows(module, 1)
        masks = [None] * len(x) if mask is None else mask.split(step)
        encoded = [module.encode(*part) for part in zip(x.split(step), masks, strict=False)]
        if {encoded[0].support, module.prior(module.encode).support} - {constraints.real, constraints.real_vector}:
            return [1.0] * module.n_components
        return evaluation.signs(torch.cat([module.posterior.center(q) for q in encoded]), x, w).tolist()
