"""Short names of the families. Their contract stands in `family.py`, what several share in `recipes.py`."""

from .bounded_families import Beta, ContinuousBernoulli, Triangular, Uniform
from .discrete_families import (
    Bernoulli,
    Categorical,
    NegativeBinomial,
    Ordinal,
    Poisson,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
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
from .real_families import Cauchy, Gaussian, Gumbel, Laplace, Logistic, StudentT

__all__ = ["FAMILIES", "LIKELIHOODS"]

FAMILIES = {
    "gaussian": Gaussian,
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
}

#: Those that a column can be of.
LIKELIHOODS = {name: family for name, family in FAMILIES.items() if family.observable}
