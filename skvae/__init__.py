"""The variational autoencoder as a scikit-learn estimator."""

from . import metrics
from .annealing import Annealing, CyclicalAnnealing, LinearAnnealing
from .autoencoders import AAE, AE, AVB, GAN, WAEMMD
from .bounds import ELBO, IWAE
from .estimator import VAETransformer
from .families import Bernoulli, Gaussian
from .family import Family
from .objective import Objective
from .posteriors import CategoricalPosterior, FlowPosterior, FullCovariance, Head, Implicit, MeanField, Point, Posterior
from .priors import (
    FlowPrior,
    NormalMixture,
    Prior,
    Standard,
    StandardNormal,
    UniformCategorical,
    UniformPrior,
    VampPrior,
)
from .schedules import Aggressive, ExactEM, Joint, Schedule, VariationalEM

__version__ = "0.1.0"

__all__ = [
    "AAE",
    "AE",
    "AVB",
    "ELBO",
    "GAN",
    "IWAE",
    "WAEMMD",
    "Aggressive",
    "Annealing",
    "Bernoulli",
    "CategoricalPosterior",
    "CyclicalAnnealing",
    "ExactEM",
    "Family",
    "FlowPosterior",
    "FlowPrior",
    "FullCovariance",
    "Gaussian",
    "Head",
    "Implicit",
    "Joint",
    "LinearAnnealing",
    "MeanField",
    "NormalMixture",
    "Objective",
    "Point",
    "Posterior",
    "Prior",
    "Schedule",
    "Standard",
    "StandardNormal",
    "UniformCategorical",
    "UniformPrior",
    "VAETransformer",
    "VampPrior",
    "VariationalEM",
    "metrics",
]
