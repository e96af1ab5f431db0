"""How much of its slope and noise a column keeps whose likelihood is not normal, and how far codes follow it.

The codes of a linear model of counts, or of heavy tails, lie as far out as its rows. Behind a log link, or in a density
that falls as the exponential of an exponential, one such row may cost more than all slopes gain. So each column's
slope, noise and centre are compared with others, on rows and draws of their codes; and so is what these columns tell
the encoder, down to nothing, which is the model of independent columns.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from .._tables.columns import Columns
from .._tables.selection import RowSelection
from .._utils.random import torch_generator
from ..distributions.latent import Implicit, PointMass, kl, summed
from ..families.discrete import Poisson
from ..families.inflated import InflatedFamily
from ..families.likelihood import observed_log_prob
from ..families.recipes import NoiseFamily
from ..model import LatentVariableModel

__all__ = ["AS_SOLVED", "Adjusted", "match"]

_MOST_ROWS, _MOST_CELLS = 2000, 1_000_000
_CHOICES = {
    "slopes": (1.0, 0.5, 0.25, 0.1, 0.0),
    "spreads": (1.0, 0.5, 0.25, 0.1, 0.03, 3.0, 10.0, 30.0, 100.0),
    "shifts": (0.0, -0.4, -0.2, -0.1, 0.1, 0.2, 0.4),
}
_TURNS = "slopes", "spreads", "shifts", "slopes", "spreads"
_DOUBTS = 1.0, 5.0, np.inf
_LEAST = 0.01  # nats per row, of a column: less is no reason to leave the linear model


@dataclass(frozen=True, eq=False)
class Adjusted:
    """What a start makes of a linear model, one number for all columns or one for each, (D,).

    Parameters
    ----------
    slopes : float or ndarray
        Shares of the loadings that the decoder keeps; the others are noise.
    spreads : float or ndarray
        Multiples of the decoder's noise.
    shifts : float or ndarray
        Of the decoder's means, in standard deviations of the noise; of columns on the line alone.
    doubts : float or ndarray
        Multiples of the noise that the encoder reckons with.
    """

    slopes: np.ndarray | float = 1.0
    spreads: np.ndarray | float = 1.0
    shifts: np.ndarray | float = 0.0
    doubts: np.ndarray | float = 1.0


AS_SOLVED = Adjusted()


def match(
    model: LatentVariableModel,
    columns: Columns,
    X: RowSelection,
    weight: np.ndarray,
    write: Callable[[Adjusted], None],
    seed: int,
) -> None:
    """Write the linear model with the best of a few adjustments, by the bound on some rows.

    Parameters
    ----------
    model : LatentVariableModel
    columns : Columns
    X : RowSelection (n, D)
        Rows in model space, NaN for missing, in a random order.
    weight : ndarray (n,)
    write : callable
        Puts an adjusted linear model into `model`.
    seed : int
    """
    free = np.array([isinstance(family, NoiseFamily | InflatedFamily | Poisson) for family in columns.families])
    if not free.any():
        return
    n_rows = max(1, min(_MOST_ROWS, _MOST_CELLS // X.shape[1]))
    x, mask = columns.filled(torch.from_numpy(X.take(slice(n_rows))).float())
    given = model.given(x, mask)
    w = torch.from_numpy(weight[:n_rows] / weight[:n_rows].sum()).float()
    u = torch.randn(2, len(x), model.n_noise, generator=torch_generator("cpu", seed, 1))
    bounds, found = [], []
    for doubt in _DOUBTS:
        first = Adjusted(slopes=np.where(free & np.isinf(doubt), 0.0, 1.0), doubts=np.where(free, doubt, 1.0))
        write(first)
        q = model.encode(x, mask)
        z = model.posterior.push(q, u)

        def log_px(adjusted: Adjusted, z: torch.Tensor = z) -> np.ndarray:
            """ln p of each column, (D,)."""
            write(adjusted)
            return np.nan_to_num((w @ observed_log_prob(model.decode(z, given), x, mask).mean(0)).numpy(), nan=-np.inf)

        found.append(_climbed(first, free, log_px))
        divergence = 0.0  # codes without a density cost nothing
        if not isinstance(q, PointMass | Implicit):
            divergence = float(w @ summed(kl(q, model.prior(model.encode), z)))
        bounds.append(log_px(found[-1]).sum() - divergence)
    write(found[int(np.argmax(np.nan_to_num(bounds, nan=-np.inf)))])


def _climbed(adjusted: Adjusted, free: np.ndarray, log_px: Callable[[Adjusted], np.ndarray]) -> Adjusted:
    """Improve one number of each free column after the other; the others keep theirs."""
    for name in _TURNS:
        now = np.broadcast_to(getattr(adjusted, name), free.shape)
        tried = [now, *(np.where(free, candidate, now) for candidate in _CHOICES[name])]
        values = np.stack([log_px(replace(adjusted, **{name: each})) for each in tried])
        values[0] += _LEAST
        adjusted = replace(adjusted, **{name: np.stack(tried)[values.argmax(0), np.arange(len(free))]})
    return adjusted
