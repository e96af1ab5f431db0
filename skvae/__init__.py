"""The variational autoencoder as a scikit-learn estimator."""

from . import display, metrics
from ._tables.statistics import TableStatistics
from ._training.checkpoints import Checkpoint
from .estimator import VAETransformer
from .families.base import Family
from .families.bounded import Beta, ContinuousBernoulli, Triangular, Uniform
from .families.discrete import (
    Bernoulli,
    Categorical,
    NegativeBinomial,
    Ordinal,
    Poisson,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from .families.positive import (
    Chi2,
    Erlang,
    Exponential,
    FisherSnedecor,
    Gamma,
    Gompertz,
    LogNormal,
    Pareto,
    Rayleigh,
    Reciprocal,
    Weibull,
)
from .families.real import Cauchy, Gaussian, Gumbel, Laplace, Logistic, StudentT
from .networks.architectures import MLP, ConvNet
from .networks.base import Network
from .networks.perceptual import FeatureLoss
from .objectives.adversarial import AAE, AVB, GAN
from .objectives.annealing import Annealing, CyclicalAnnealing, LinearAnnealing
from .objectives.autoencoders import AE, WAEMMD
from .objectives.base import Objective
from .objectives.bounds import ELBO, IWAE
from .posteriors.base import Head, Posterior
from .posteriors.discrete import CategoricalPosterior, Point
from .posteriors.flexible import FlowPosterior, Implicit
from .posteriors.joint import DirichletPosterior, Elliptical
from .posteriors.normal import FullCovariance, MeanField
from .priors.base import Prior
from .priors.fixed import Standard, StandardNormal, UniformCategorical, UniformPrior
from .priors.joint import DirichletPrior, EllipticalPrior
from .priors.learned import FlowPrior, NormalMixture, VampPrior
from .schedules import Aggressive, ExactEM, Joint, Schedule, VariationalEM

__version__ = "0.1.0"

__all__ = [
    "AAE",
    "AE",
    "AVB",
    "ELBO",
    "GAN",
    "IWAE",
    "MLP",
    "WAEMMD",
    "Aggressive",
    "Annealing",
    "Bernoulli",
    "Beta",
    "Categorical",
    "CategoricalPosterior",
    "Cauchy",
    "Checkpoint",
    "Chi2",
    "ContinuousBernoulli",
    "ConvNet",
    "CyclicalAnnealing",
    "DirichletPosterior",
    "DirichletPrior",
    "Elliptical",
    "EllipticalPrior",
    "Erlang",
    "ExactEM",
    "Exponential",
    "Family",
    "FeatureLoss",
    "FisherSnedecor",
    "FlowPosterior",
    "FlowPrior",
    "FullCovariance",
    "Gamma",
    "Gaussian",
    "Gompertz",
    "Gumbel",
    "Head",
    "Implicit",
    "Joint",
    "Laplace",
    "LinearAnnealing",
    "LogNormal",
    "Logistic",
    "MeanField",
    "NegativeBinomial",
    "Network",
    "NormalMixture",
    "Objective",
    "Ordinal",
    "Pareto",
    "Point",
    "Poisson",
    "Posterior",
    "Prior",
    "Rayleigh",
    "Reciprocal",
    "Schedule",
    "Standard",
    "StandardNormal",
    "StudentT",
    "TableStatistics",
    "Triangular",
    "Uniform",
    "UniformCategorical",
    "UniformPrior",
    "VAETransformer",
    "VampPrior",
    "VariationalEM",
    "Weibull",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
    "display",
    "metrics",
]


def __dir__() -> list[str]:
    """The public names only: folders of the machinery begin with an underscore, and submodules are no names to take."""
    return __all__
