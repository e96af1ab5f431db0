"""Closed-form initialisation of posteriors whose codes are not normal: one routine for every family.

The closed-form initialisation gives a normal code t ~ N(m(x), v). A family with standard member p has codes z instead,
and z stands for the t with Phi(t) = F_p(z), z = T(t): so z has the distribution p where t is standard normal. Then the
quantiles of q(z given x) at u = -1 and 1 should be T(m - sqrt(v)) and T(m + sqrt(v)). Raw numbers with that property
are found by least squares at two values of m, and the affine map through both is the initialisation. It is exact for
families that T maps into each other (log-normal), and as near as the family comes otherwise: one with a single number
cannot have every median and every spread.
"""

from typing import Any

import numpy as np
import torch

__all__ = ["quantile_start"]

_GRID = torch.linspace(-9, 9, 4001, dtype=torch.float64)
_STEPS = 60
_RIDGE = 0.02  # keeps numbers that the quantiles do not determine, such as those of a saturated link, near zero
_LARGEST = 12.0


def quantile_start(
    family: Any, mean: np.ndarray, projection: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Raw affine map (weight, bias) and decoder map (slope, offset) of a `Family`, see its `code_start`."""
    n = len(mean)
    spread = np.sqrt(np.clip(variance, 1e-6, 1.0))
    reach = np.sqrt(np.clip(1 - variance, 0.01, 1.0))  # the standard deviation of m over the rows
    codes_of = _code_map(family)
    numbers = _least_squares(family, codes_of, np.stack([-reach, reach]), spread)  # (n_raw, 2, n)
    slopes, middles = (numbers[:, 1] - numbers[:, 0]) / (2 * reach), numbers.mean(1)
    weight = (slopes[:, :, None] * projection).reshape(family.n_raw * n, -1)
    bias = (middles + slopes * mean).reshape(-1)
    slope, offset = _decoder_map(*codes_of)
    return weight, bias, np.full(n, slope), np.full(n, offset)


def _code_map(family: Any) -> tuple[np.ndarray, np.ndarray]:
    """T on a grid: (z, t), both (n,)."""
    p = family.standard(torch.zeros(1, dtype=torch.float64))
    return family.push(p, _GRID[:, None, None])[:, 0, 0].numpy(), _GRID.numpy()


def _decoder_map(z: np.ndarray, t: np.ndarray) -> tuple[float, float]:
    """Least-squares regression of t on z under p, within the middle 98 % of it: tails may have no variance."""
    weight = np.exp(-np.square(t) / 2) * (np.abs(t) < 2.33)
    centred = z - np.average(z, weights=weight)
    slope = (weight * centred) @ t / ((weight * centred) @ centred)
    return slope, -slope * np.average(z, weights=weight)


def _least_squares(
    family: Any, codes_of: tuple[np.ndarray, np.ndarray], m: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """Levenberg-Marquardt for all variables at once: numbers (n_raw, 2, n) for the codes N(m (2, n), spread^2)."""
    k, shape = family.n_raw, m.shape
    m, spread = m.ravel(), np.broadcast_to(spread, shape).ravel()

    def residuals(numbers: np.ndarray) -> np.ndarray:
        t = np.interp(_one_sigma_codes(family, numbers), *codes_of)  # (2, n)
        return np.concatenate([(t - m) / spread - np.array([[-1.0], [1.0]]), _RIDGE * numbers])

    numbers, damping = np.zeros((k, m.size)), np.ones(m.size)
    errors = residuals(numbers)
    for _ in range(_STEPS):
        steps = 1e-5 * np.eye(k)[:, :, None]
        J = np.stack([(residuals(numbers + step) - errors) / 1e-5 for step in steps], axis=1)  # (2 + k, k, n)
        normal = np.einsum("ran,rbn->nab", J, J) + damping[:, None, None] * np.eye(k)
        move = np.linalg.solve(normal, np.einsum("ran,rn->na", J, errors)[..., None])[..., 0].T
        proposal = np.clip(numbers - np.clip(move, -2, 2), -_LARGEST, _LARGEST)
        after = residuals(proposal)
        better = np.square(after).sum(0) < np.square(errors).sum(0)
        numbers, errors = np.where(better, proposal, numbers), np.where(better, after, errors)
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-9, 1e9)
    return numbers.reshape(k, *shape)


def _one_sigma_codes(family: Any, numbers: np.ndarray) -> np.ndarray:
    """Quantiles of q at u = -1 and 1, (2, n), for raw numbers (n_raw, n)."""
    own = [torch.from_numpy(number) for number, _ in family.own_numbers(numbers.shape[1])]
    q = family.distribution(*torch.from_numpy(numbers)[:, None], *own)
    return family.push(q, torch.tensor([-1.0, 1.0], dtype=torch.float64)[:, None, None])[:, 0].numpy()
