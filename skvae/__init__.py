"""The variational autoencoder as a scikit-learn estimator."""

from .estimator import VAETransformer
from .families import Bernoulli, Gaussian
from .family import Family
from .objectives import ELBO, Objective
from .posteriors import FullCovariance, Head, MeanField, Posterior
from .priors import Prior, Standard, StandardNormal
from .schedules import Joint, Schedule

__version__ = "0.1.0"

__all__ = [
    "ELBO",
    "Bernoulli",
    "Family",
    "FullCovariance",
    "Gaussian",
    "Head",
    "Joint",
    "MeanField",
    "Objective",
    "Posterior",
    "Prior",
    "Schedule",
    "Standard",
    "StandardNormal",
    "VAETransformer",
]
