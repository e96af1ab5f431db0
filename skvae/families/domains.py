"""Which families have the values of a column in their support."""

import numpy as np
import torch
from torch.distributions import constraints

from ..distributions.univariate import inside_unit_interval

__all__ = ["DOMAINS", "families_for"]

#: From the narrowest to the widest: the families that suit a column are those of the first domain that holds it.
DOMAINS: tuple[tuple[constraints.Constraint, tuple[str, ...]], ...] = (
    (constraints.boolean, ("bernoulli",)),
    (constraints.integer_interval(0, 19), ("ordinal", "categorical", "negative_binomial", "poisson")),
    (
        constraints.nonnegative_integer,
        ("negative_binomial", "poisson", "zero_inflated_negative_binomial", "zero_inflated_poisson"),
    ),
    (inside_unit_interval, ("beta", "continuous_bernoulli")),
    (constraints.unit_interval, ("zero_one_inflated_beta", "continuous_bernoulli")),
    (constraints.positive, ("gamma", "log_normal")),
    (constraints.nonnegative, ("zero_inflated_gamma", "zero_inflated_log_normal")),
    (constraints.real, ("student_t", "laplace")),
)


def families_for(values: np.ndarray) -> list[str]:
    """Give short names of likelihoods whose support holds all values (n,), NaN for missing; "gaussian" is the last.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.families.domains import families_for
    >>> families_for(np.array([0.0, 2.5, np.nan]))
    ['zero_inflated_gamma', 'zero_inflated_log_normal', 'gaussian']
    """
    observed = torch.from_numpy(values[~np.isnan(values)])
    names = next(names for domain, names in DOMAINS if bool(domain.check(observed).all()))
    return [*names, "gaussian"]
