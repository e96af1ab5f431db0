"""Families of distributions, for columns and for latent codes, and their short names."""

from .base import Family
from .bounded import Beta, ContinuousBernoulli, Triangular, Uniform
from .discrete import (
    Bernoulli,
    Categorical,
    Constant,
    NegativeBinomial,
    Ordinal,
    Poisson,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from .gaussian import ContaminatedGaussian, Gaussian
from .given import Given
from .inflated import ZeroInflatedGamma, ZeroInflatedLogNormal, ZeroOneInflatedBeta
from .positive import (
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
from .real import Cauchy, Gumbel, Laplace, Logistic, StudentT

__all__ = [
    "FAMILIES",
    "LIKELIHOODS",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Cauchy",
    "Chi2",
    "Constant",
    "ContaminatedGaussian",
    "ContinuousBernoulli",
    "Erlang",
    "Exponential",
    "Family",
    "FisherSnedecor",
    "Gamma",
    "Gaussian",
    "Given",
    "Gompertz",
    "Gumbel",
    "Laplace",
    "LogNormal",
    "Logistic",
    "NegativeBinomial",
    "Ordinal",
    "Pareto",
    "Poisson",
    "Rayleigh",
    "Reciprocal",
    "StudentT",
    "Triangular",
    "Uniform",
    "Weibull",
    "ZeroInflatedGamma",
    "ZeroInflatedLogNormal",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
    "ZeroOneInflatedBeta",
]

FAMILIES: dict[str, type[Family]] = {
    "gaussian": Gaussian,
    "contaminated_gaussian": ContaminatedGaussian,
    "laplace": Laplace,
    "student_t": StudentT,
    "logistic": Logistic,
    "gumbel": Gumbel,
    "cauchy": Cauchy,
    "log_normal": LogNormal,
    "gamma": Gamma,
    "exponential": Exponential,
    "weibull": Weibull,
    "rayleigh": Rayleigh,
    "gompertz": Gompertz,
    "pareto": Pareto,
    "reciprocal": Reciprocal,
    "erlang": Erlang,
    "chi2": Chi2,
    "fisher_snedecor": FisherSnedecor,
    "uniform": Uniform,
    "triangular": Triangular,
    "beta": Beta,
    "continuous_bernoulli": ContinuousBernoulli,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "ordinal": Ordinal,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "zero_inflated_poisson": ZeroInflatedPoisson,
    "zero_inflated_negative_binomial": ZeroInflatedNegativeBinomial,
    "zero_inflated_gamma": ZeroInflatedGamma,
    "zero_inflated_log_normal": ZeroInflatedLogNormal,
    "zero_one_inflated_beta": ZeroOneInflatedBeta,
}

#: Those that a column can be of.
LIKELIHOODS = {name: family for name, family in FAMILIES.items() if family.observable}
