"""From a trained model to `Fitted`: order, signs and information of its components, noise, density of its codes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.distributions import Distribution, constraints

from .._inference import evaluation
from .._inference.code_density import fit_code_density
from .._inference.decoded import InDataSpace
from .._inference.fitted import SCORE_STREAM, Fitted
from .._inference.summaries import LIVE, Inspected, information, inspected, weighted_mean
from .._utils.arrays import as_tensor, like, on_host
from .._utils.random import torch_generator
from .._utils.user_warnings import warn_user
from ..model import LatentVariableModel
from .plan import MIN_ROWS_FOR_VALIDATION, Plan
from .prepare import Prepared
from .start import Progress, Start, draw_rows

__all__ = ["describe", "live_components", "warn_of_collapse"]

MAX_CELLS_WITHOUT = 4_000_000
MAX_CODES = 5000  # that the density is fitted to


def describe(
    plan: Plan, prepared: Prepared, start: Start, progress: Progress, order: Any = None, signs: Any = None
) -> Fitted:
    """Describe a trained model by the sample of prepared rows.

    Parameters
    ----------
    plan : Plan
    prepared : Prepared
    start : Start
        The model, with its module trained.
    progress : Progress
    order, signs : array or None
        The output map of an earlier fit, where it is frozen.
    """
    seen = inspected(start.module, start.columns, start.device, *prepared.sample)
    importance = _importance(plan, seen, start)
    if order is None:
        descending = importance.argsort(descending=True, stable=True)
        order = like(descending, prepared.table)
        module_signs = torch.tensor(start.module_signs, dtype=seen.x.dtype, device=descending.device)
        signs = like(module_signs[descending], prepared.table)
    has_kl = not (plan.parts.lacks("codes") or plan.parts.lacks("score"))
    kl = like(importance[as_tensor(order).to(importance.device)], prepared.table) if has_kl else None
    return Fitted(
        schema=prepared.basis.schema,
        columns=start.columns,
        ordering=prepared.basis.ordering,
        seed=start.seed,
        config=start.config,
        made_of=start.made_of,
        device=start.device,
        score_noise=start.score_noise,
        module_signs=start.module_signs,
        training_state=progress.training_state,
        n_features_in=prepared.n_features_in,
        feature_names_in=prepared.feature_names_in,
        module=start.module,
        init=start.init,
        n_iter=progress.n_iter,
        best_iter=progress.best_iter,
        history=progress.history,
        order=order,
        signs=signs,
        kl_per_component=kl,
        noise_variance=like(_noise_variance(seen, start), prepared.table),
        likelihoods={start.columns.label(d): family for d, family in enumerate(start.columns.families)},
        code_density=_code_density(plan, seen, start, prepared.sample[1]),
    )


def _importance(plan: Plan, seen: Inspected, start: Start) -> torch.Tensor:
    """KL of each component where q has a density; else what log p(x given z) loses without it; 0 without an encoder."""
    module, x, mask, w = seen
    if plan.parts.lacks("codes"):
        return torch.zeros(module.n_components)
    if not plan.parts.lacks("score"):
        return information(module, x, mask, w, start.score_noise)
    n = max(1, MAX_CELLS_WITHOUT // (x.shape[1] * module.width))
    with torch.no_grad():
        mask = None if mask is None else mask[:n]
        return evaluation.reconstruction_loss_without_component(module, x[:n], mask).mean(0)


def _noise_variance(seen: Inspected, start: Start) -> torch.Tensor:
    """Variance of each column at the mean of the codes, in data space, (D,)."""
    module, x, mask, w = seen
    with torch.no_grad():
        center = x.new_zeros(1, module.width)
        if module.posterior:
            center = weighted_mean(_centers(module), module, x, mask, w, len(start.score_noise))[None]
        return InDataSpace(module.decode(center[None]), module.likelihood, start.columns).variance[0, 0]


def _centers(module: LatentVariableModel) -> Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]:
    def centers(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return module.posterior.center(module.encode(x, mask))

    return centers


def _code_density(plan: Plan, seen: Inspected, start: Start, weight: np.ndarray) -> Any:
    """A Gaussian mixture of one draw of each row's code, where it is asked for or the model has no prior; else None."""
    module, x, mask, _ = seen
    if not module.posterior or (plan.given.code_density == "prior" and plan.parts.objective.uses_prior):
        return None
    with torch.no_grad():
        z = _draws(plan, module, module.encode(x, mask), start.seed)
    return fit_code_density(z[draw_rows(weight[: len(z)], MAX_CODES, start.seed)], start.seed)


def _draws(plan: Plan, module: LatentVariableModel, q: Distribution, seed: int) -> np.ndarray:
    """One code of each row, (n, K)."""
    if q.support not in (constraints.real, constraints.real_vector):
        raise ValueError(
            "code_density='mixture' fits normals to the latent codes, which for posterior="
            f"{plan.parts.posterior!r} do not live on the whole line. Use code_density='prior'."
        )
    center = module.posterior.center(q)
    generator = torch_generator("cpu", seed, SCORE_STREAM)
    u = torch.randn(1, center.shape[0], module.n_noise, generator=generator, dtype=torch.float64)
    return module.posterior.push(q, u.to(center))[0].cpu().double().numpy()


def live_components(plan: Plan, prepared: Prepared, start: Start) -> int | None:
    """Count the components that carry information; None where that is not defined, or where losing some says little.

    It says little after a random initialisation, for few rows, and where the prior is trained, since it then moves
    towards the codes. Columns without structure give a component ln(1 + g) nats by chance, g = (D / n)^(1/2), since the
    largest eigenvalue of n rows of unit noise is near (1 + g)^2 (Marchenko & Pastur 1967). Such ones do not count.
    """
    X, weight = prepared.sample
    trained = list(start.module.prior.parameters())
    if start.init == "random" or X.shape[0] < MIN_ROWS_FOR_VALIDATION or trained:
        return None
    if plan.parts.lacks("codes") or plan.parts.lacks("score"):
        return None
    by_chance = np.log1p((X.shape[1] / X.shape[0]) ** 0.5)
    seen = inspected(start.module, start.columns, start.device, X, weight)
    return int((information(*seen, start.score_noise) > max(LIVE, by_chance)).sum())


def warn_of_collapse(before: int | None, fitted: Fitted) -> None:
    """Warn where components that carried information after initialisation have none any more."""
    if before is None:
        return
    after = int((on_host(fitted.kl_per_component) > LIVE).sum())
    if after < before:
        warn_user(
            f"{before - after} of the {before} components that were live after initialisation have collapsed: they "
            "have no information (kl_per_component_ below 0.05). If they are wanted, lower the weight of the KL, e.g. "
            "ELBO(beta=0.5) or ELBO(free_bits=0.1), or try schedule='aggressive'; else a smaller n_components "
            "gives the same model.",
        )
