"""The variational autoencoder as a scikit-learn estimator."""

from .bounded_families import Beta, ContinuousBernoulli, Triangular, Uniform
from .discrete_families import (
    Bernoulli,
    Categorical,
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from .estimator import VAETransformer
from .family import Family
from .joint_posteriors import DirichletPosterior, DirichletPrior, Elliptical, EllipticalPrior
from .objectives import ELBO, Objective
from .positive_families import (
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
from .posteriors import FullCovariance, Head, MeanField, Posterior
from .priors import Prior, Standard, StandardNormal
from .real_families import Cauchy, Gaussian, Gumbel, Laplace, Logistic, StudentT
from .schedules import Joint, Schedule

__version__ = "0.1.0"

__all__ = [
    "ELBO",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ContinuousBernoulli",
    "DirichletPosterior",
    "DirichletPrior",
    "Elliptical",
    "EllipticalPrior",
    "Erlang",
    "Exponential",
    "Family",
    "FisherSnedecor",
    "FullCovariance",
    "Gamma",
    "Gaussian",
    "Gompertz",
    "Gumbel",
    "Head",
    "Joint",
    "Laplace",
    "LogNormal",
    "Logistic",
    "MeanField",
    "NegativeBinomial",
    "Objective",
    "Pareto",
    "Poisson",
    "Posterior",
    "Prior",
    "Rayleigh",
    "Reciprocal",
    "Schedule",
    "Standard",
    "StandardNormal",
    "StudentT",
    "Triangular",
    "Uniform",
    "VAETransformer",
    "Weibull",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
]
