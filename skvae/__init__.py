"""The variational autoencoder as a scikit-learn estimator."""

from .estimator import VAETransformer
from .families import Bernoulli, Family, Gaussian
from .objectives import ELBO, Objective
from .posteriors import FullCovariance, MeanField, Posterior
from .priors import Prior, StandardNormal
from .schedules import Joint, Schedule

__version__ = "0.1.0"

__all__ = [
    "ELBO",
    "Bernoulli",
    "Family",
    "FullCovariance",
    "Gaussian",
    "Joint",
    "MeanField",
    "Objective",
    "Posterior",
    "Prior",
    "Schedule",
    "StandardNormal",
    "VAETransformer",
]
