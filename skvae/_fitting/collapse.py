"""Collapse: components without information, though they had some, or though the table holds some for them."""

from typing import TypeAlias

import numpy as np
import torch

from .._inference import evaluation
from .._inference.fitted import Fitted
from .._inference.summaries import LIVE, Inspected, by_row, information, inspected, mean_bound
from .._utils.arrays import on_host
from .._utils.user_warnings import warn_user
from ..distributions.normal_mixtures import clusters, fit_normals
from ..families.gaussian import ContaminatedGaussian, Gaussian
from .plan import MIN_ROWS_FOR_VALIDATION, Plan
from .prepare import Prepared
from .start import Start, solve

__all__ = ["IN_USE", "by_chance", "live_components", "warn_of_collapse", "what_is_missed"]

_TRAINED = 10  # epochs; after fewer, components that are not live have not collapsed
IN_USE = 0.25  # nats: a component that tells clusters apart has more
_MISSED_LINEAR, _MISSED_CLUSTERS = 0.1, 0.4  # nats per row: what chance and columns of another shape come to is less
_CLUSTERS, _TRIALS = (2, 4, 8), 4
_COPIES = 20  # of a distinct row, on average: with fewer, frequencies tell of the rows at hand alone
Found: TypeAlias = tuple[int, str, float, str]  # components in use, what is better, by how many nats, a remedy
_NORMAL = Gaussian, ContaminatedGaussian
_MOST_ROWS, _MOST_COLUMNS = 2000, 50  # that are searched for clusters


def live_components(plan: Plan, prepared: Prepared, start: Start) -> int | None:
    """Count the components that carry information; None where that is not defined, or where losing some says little.

    It says little for few rows, and where the prior is trained, since it then moves towards the codes.
    """
    trained = list(start.module.prior.parameters())
    if prepared.sample[0].shape[0] < MIN_ROWS_FOR_VALIDATION or trained:
        return None
    if plan.parts.lacks("codes") or plan.parts.lacks("score"):
        return None
    seen = inspected(start.module, start.columns, start.device, *prepared.sample)
    return int((information(*seen, start.score_noise) > by_chance(prepared)).sum())


def by_chance(prepared: Prepared) -> float:
    """Information of a component, in nats, that columns without structure give it.

    That is ln(1 + g), g = (D / n)^(1/2), since the largest eigenvalue of n rows of unit noise is near (1 + g)^2
    (Marchenko & Pastur 1967). Copies count, and normalised weights are no lack of rows.
    """
    X, weight = prepared.sample
    return max(LIVE, np.log1p((X.shape[1] / max(weight.sum(), len(weight))) ** 0.5))


def warn_of_collapse(before: int | None, fitted: Fitted) -> bool:
    """Warn where components that carried information after a closed-form initialisation have none any more.

    Nothing has collapsed where that initialisation was kept, solved again with the held-out rows.
    """
    if before is None or fitted.best_iter == 0:
        return False
    after = int((on_host(fitted.kl_per_component) > LIVE).sum())
    if after < before:
        warn_user(
            f"{before - after} of the {before} components that were live after initialisation have collapsed: they "
            "have no information (kl_per_component_ below 0.05). If they are wanted, lower the weight of the KL, e.g. "
            "ELBO(beta=0.5) or ELBO(free_bits=0.1), or try schedule='aggressive'; else a smaller n_components "
            "gives the same model.",
        )
    return after < before


def what_is_missed(plan: Plan, prepared: Prepared, start: Start, n_iter: int, covariance: str = "diag") -> str | None:
    """Say, for a warning, that a trained model does not use its components and a small model of the table is better.

    It is the linear model, of which a closed-form initialisation has all, and a mixture of a few normals: what a start
    without information does not show. A component that is not used for a reason leaves no such model better. Normals
    with a full `covariance` see more: also of tables such as iris, where no component has collapsed.
    """
    if n_iter < _TRAINED or plan.parts.lacks("codes") or plan.parts.lacks("score"):
        return None
    in_use = information(*inspected(start.module, start.columns, start.device, *prepared.sample), start.score_noise)
    n_in_use = int((in_use > IN_USE).sum())
    found, live = _by_frequencies(prepared, start, n_in_use), live_components(plan, prepared, start)
    if found is None and live is not None:
        found = _by_linear_model(plan, prepared, start, live) or _by_clusters(prepared, start, n_in_use, covariance)
    if found is None:
        return None
    used, model, gain, remedy = found
    return (
        f"{used} of {start.module.n_components} components carry information (kl_per_component_), and yet {model} "
        f"better by {gain:.2f} nats per row: the others have collapsed, or never began. {remedy}"
    )


def _by_frequencies(prepared: Prepared, start: Start, n_in_use: int) -> Found | None:
    """What the frequencies of a few distinct rows have more, less Akaike's correction: in small discrete tables.

    That is what no pair of columns shows, such as x3 = x1 xor x2, and too few epochs or components have not found.
    """
    X, weight = prepared.sample
    n_rows, share = max(weight.sum(), len(weight)), weight / weight.sum()
    is_small = n_rows >= _COPIES * len(weight) and all(family.support.is_discrete for family in start.columns.families)
    if not is_small:
        return None
    bound = mean_bound(*inspected(start.module, start.columns, start.device, X, weight), start.score_noise)
    gain = float(share @ np.log(np.maximum(share, 1e-300))) - (len(weight) - 1) / n_rows - bound
    if gain < _MISSED_CLUSTERS:
        return None
    remedy = (
        "Try another n_components, a larger learning_rate, e.g. 0.01, or more epochs, e.g. early_stopping=False with "
        "max_iter=300."
    )
    return n_in_use, f"the mere frequencies of the {len(weight)} distinct rows are", gain, remedy


def _by_linear_model(plan: Plan, prepared: Prepared, start: Start, live: int) -> Found | None:
    """What probabilistic PCA has more, less Akaike's correction for its D K loadings."""
    if start.init != "random" or live == start.module.n_components:
        return None
    linear = solve(plan, prepared.basis, start.columns, "pca", prepared.sample, start.device)
    own = live_components(plan, prepared, linear)
    if own is None or own <= live:
        return None
    n_rows, n_columns = prepared.sample[0].shape
    own_bound, bound = (
        mean_bound(*inspected(s.module, s.columns, s.device, *prepared.sample), s.score_noise) for s in (linear, start)
    )
    gain = own_bound - bound - own * n_columns / n_rows
    if gain < _MISSED_LINEAR:
        return None
    remedy = "Use init='auto', more epochs, or a lower weight of the KL, e.g. ELBO(beta=0.5)."
    return live, f"PCA, which uses {own}, is", gain, remedy


def _by_clusters(prepared: Prepared, start: Start, n_in_use: int, covariance: str) -> Found | None:
    """What a mixture of normals has more in columns with a Gaussian likelihood, on rows that it was not fitted to."""
    if n_in_use == start.module.n_components:
        return None
    X, weight = prepared.sample
    seen = inspected(start.module, start.columns, start.device, X[:_MOST_ROWS], weight[:_MOST_ROWS])
    chosen = _searched(start, seen)
    if seen.mask is not None:
        seen = _taken(seen, seen.mask[:, chosen].all(1))
    if not chosen or len(seen.x) < MIN_ROWS_FOR_VALIDATION or min(seen.w[::2].sum(), seen.w[1::2].sum()) <= 0:
        return None
    x, w = seen.x[:, chosen].cpu().double().numpy(), seen.w.cpu().double().numpy()
    ours = _log_density(start, _taken(seen, slice(1, None, 2)), chosen)
    best = None
    for n_clusters in _CLUSTERS:
        member = clusters(x[::2], w[::2], n_clusters, start.seed, n_trials=_TRIALS)
        weight = w[::2] * len(member) / w[::2].sum()
        normals = fit_normals(x[::2], weight, member, covariance, strength=len(chosen) + 1)
        gains = normals.log_prob(x[1::2]) - ours
        gain = float(np.average(gains, weights=w[1::2]))
        error = float(np.sqrt(np.average(np.square(gains - gain), weights=w[1::2]) / len(gains)))
        if gain > max(_MISSED_CLUSTERS, 3 * error) and (best is None or gain > best[1]):
            best = n_clusters, gain
    if best is None:
        return None
    remedy = "Try scaling='quantile', which takes each column's own shape."
    return n_in_use, f"a mixture of {best[0]} normals is", best[1], remedy


def _searched(start: Start, seen: Inspected) -> list[int]:
    """Columns with a Gaussian likelihood, with or without a background, of noise that is not fixed, that vary."""
    families = enumerate(start.columns.families)
    gaussian = [d for d, f in families if isinstance(f, _NORMAL) and isinstance(f.noise, str)]
    return [d for d in gaussian if seen.x[:, d].std() > 1e-3][:_MOST_COLUMNS]


def _taken(seen: Inspected, rows: torch.Tensor | slice) -> Inspected:
    """Some of the rows; their weights need not sum to one."""
    return Inspected(seen.module, seen.x[rows], None if seen.mask is None else seen.mask[rows], seen.w[rows])


def _log_density(start: Start, seen: Inspected, chosen: list[int]) -> np.ndarray:
    """The bound of each row, (n,); where it has other columns, ln p of the chosen ones given the code."""
    module, x, mask, _ = seen
    u = start.score_noise.to(x)

    def log_density(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if len(chosen) == x.shape[1]:
            return evaluation.elbo(module, x, mask, u)
        z = module.posterior.push(module.encode(x, mask), u)
        return module.decode(z, module.given(x, mask)).log_prob(x)[..., chosen].sum(-1).mean(0)

    return by_row(log_density, module, x, mask, len(u))
