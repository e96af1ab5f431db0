"""A density fitted to latent codes after training."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn import config_context
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

__all__ = ["as_normal_mixture", "fit_code_density"]


def fit_code_density(codes: np.ndarray, seed: int) -> "GaussianMixture":
    """Fit a Gaussian mixture with full covariances to codes (n, K): 1 to 24 members by the Bayesian criterion (BIC).

    Ghosh et al. (2020), "ex-post density estimation": a density for codes that have no prior, or do not fill it.
    """
    from sklearn.mixture import GaussianMixture  # takes a tenth of a second

    most = 1 + len(np.unique(codes, axis=0)) // 50
    counts = [n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24) if n <= most]
    with config_context(array_api_dispatch=False):  # these codes are numpy's; k-means inside takes no other
        fits = [GaussianMixture(n, reg_covar=1e-6, random_state=seed % 2**32).fit(codes) for n in counts]
    return min(fits, key=lambda fit: fit.bic(codes))


def as_normal_mixture(density: "GaussianMixture", tensor: Tensor) -> MixtureSameFamily:
    """Give a fitted GaussianMixture as a torch distribution over codes, of the type and device of `tensor`."""
    weights, means, factors = (
        torch.from_numpy(a).to(tensor) for a in (density.weights_, density.means_, density.precisions_cholesky_)
    )
    # scikit-learn's factor U is upper triangular with precision U U'.
    members = MultivariateNormal(means, precision_matrix=factors @ factors.mT, validate_args=False)
    return MixtureSameFamily(Categorical(weights, validate_args=False), members, validate_args=False)
