"""Collapse: components without information, though they had some, or though the table holds some for them."""

import numpy as np
import torch

from .._inference import evaluation
from .._inference.fitted import Fitted
from .._inference.summaries import LIVE, Inspected, by_row, information, inspected, mean_bound
from .._starts.clusters import clusters_log_density
from .._utils.arrays import on_host
from .._utils.user_warnings import warn_user
from ..families.gaussian import ContaminatedGaussian, Gaussian
from .plan import MIN_ROWS_FOR_VALIDATION, Plan
from .prepare import Prepared
from .start import Start, solve

__all__ = ["by_chance", "live_components", "warn_of_collapse", "warn_of_what_is_missed"]

_TRAINED = 10  # epochs; after fewer, components that are not live have not collapsed
_IN_USE = 0.25  # nats: a component that tells clusters apart has more
_MISSED_LINEAR, _MISSED_CLUSTERS = 0.1, 0.4  # nats per row: what chance and columns of another shape come to is less
_CLUSTERS = 2, 4, 8
_COPIES = 20  # of a distinct row, on average: with fewer, frequencies tell of the rows at hand alone
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


def warn_of_what_is_missed(plan: Plan, prepared: Prepared, start: Start, fitted: Fitted) -> None:
    """Warn where components are not used, and a small model of the table is better.

    It is the linear model, of which a closed-form initialisation has all, and a mixture of a few normals: what a start
    without information does not show. A component that is not used for a reason leaves no such model better.
    """
    if fitted.n_iter < _TRAINED:
        return
    if _by_frequencies(plan, prepared, start, fitted):
        return
    live = live_components(plan, prepared, start)
    if live is None:
        return
    found = _by_linear_model(plan, prepared, start, live) or _by_clusters(prepared, start, fitted)
    if found:
        used, model, gain, remedy = found
        warn_user(
            f"{used} of {start.module.n_components} components carry information (kl_per_component_), and yet {model} "
            f"is better by {gain:.2f} nats per row: the others have collapsed, or never began. {remedy}"
        )


def _by_frequencies(plan: Plan, prepared: Prepared, start: Start, fitted: Fitted) -> bool:
    """Warn where the frequencies of a few distinct rows are better, less Akaike's correction: in small discrete tables.

    That is what no pair of columns shows, such as x3 = x1 xor x2, and too few epochs or components have not found.
    """
    X, weight = prepared.sample
    n_rows, share = max(weight.sum(), len(weight)), weight / weight.sum()
    is_small = n_rows >= _COPIES * len(weight) and all(family.support.is_discrete for family in start.columns.families)
    if not is_small or plan.parts.lacks("codes") or plan.parts.lacks("score"):
        return False
    bound = mean_bound(*inspected(start.module, start.columns, start.device, X, weight), start.score_noise)
    gain = float(share @ np.log(np.maximum(share, 1e-300))) - (len(weight) - 1) / n_rows - bound
    if gain < _MISSED_CLUSTERS:
        return False
    n_in_use = int((on_host(fitted.kl_per_component) > _IN_USE).sum())
    warn_user(
        f"{n_in_use} of {start.module.n_components} components carry information (kl_per_component_), and yet the mere "
        f"frequencies of the {len(weight)} distinct rows are better by {gain:.2f} nats per row: components have "
        "collapsed, or hold too little of how columns depend on each other. Try another n_components, a larger "
        "learning_rate, e.g. 4e-3, or more epochs, e.g. early_stopping=False with max_iter=300."
    )
    return True


def _by_linear_model(plan: Plan, prepared: Prepared, start: Start, live: int) -> tuple[int, str, float, str] | None:
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
    return (
        live,
        f"PCA, which uses {own},",
        gain,
        "Use init='auto', more epochs, or a lower weight of the KL, e.g. ELBO(beta=0.5).",
    )


def _by_clusters(prepared: Prepared, start: Start, fitted: Fitted) -> tuple[int, str, float, str] | None:
    """What a mixture of normals has more in columns with a Gaussian likelihood, on rows that it was not fitted to."""
    in_use = on_host(fitted.kl_per_component) > _IN_USE
    if in_use.all():
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
        gains = clusters_log_density(x[::2], w[::2], x[1::2], n_clusters, start.seed) - ours
        gain = float(np.average(gains, weights=w[1::2]))
        error = float(np.sqrt(np.average(np.square(gains - gain), weights=w[1::2]) / len(gains)))
        if gain > max(_MISSED_CLUSTERS, 3 * error) and (best is None or gain > best[1]):
            best = n_clusters, gain
    if best is None:
        return None
    return (
        int(in_use.sum()),
        f"a mixture of {best[0]} normals",
        best[1],
        "Try scaling='quantile', which takes each column's own shape.",
    )


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
