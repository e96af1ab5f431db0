"""`Given`: columns that are given and not modelled."""

import numpy as np
from torch import Tensor
from torch.distributions import Distribution

from ..distributions import discrete as densities
from .base import Family, Init

__all__ = ["Given"]


class Given(Family):
    """A column of `conditions`: p(x | z, c) and q(z | x, c) are conditional on it, and its cell has probability 1.

    `fit` chooses it for the columns that the `conditions` parameter names. Such a column adds 0 nats to a score, enters
    encoder and decoder, and every method returns it unchanged. Numbers are standardised whatever `scaling` is, since
    the networks read them.

    Parameters
    ----------
    n_levels : int, optional
        C, the number of levels of a category, and 2 for a column of bools; None for numbers.

    See Also
    --------
    Constant : A column of one value, which no network sees.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> year = rng.integers(0, 20, size=300)
    >>> X = np.column_stack([rng.normal(size=(300, 2)) + year[:, None], year])
    >>> vae = VAETransformer(1, conditions=[2], max_iter=0).fit(X)
    >>> vae.likelihoods_["x2"]
    Given()
    >>> vae.sample(500, random_state=0, given={2: 7.0}).mean(axis=0).round()
    array([7., 7., 7.])
    """

    n_raw = 0
    observable = False

    def __init__(self, n_levels: int | None = None) -> None:
        self.n_levels = n_levels

    def distribution(self, value: Tensor) -> Distribution:
        """PointMass at the value that is given, standardised or a category index; NaN where a category is missing."""
        return densities.PointMass(value)

    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """No numbers, since the network gives none."""
        return np.zeros((0, loadings.shape[1])), np.zeros(0), []

    def tie_noise(self, noise: np.ndarray) -> np.ndarray:
        """1: no linear model is solved for the column."""
        return np.ones_like(noise)
