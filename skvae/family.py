"""The contract of a one-dimensional family: numbers -> distribution. Likelihoods and posteriors share it.

A family of n variables reads `n_raw * n` numbers from a network, laid out number by number (all first numbers, then
all second numbers), and may own further numbers that do not depend on the row, trained or fixed, such as the noise of
a Gaussian decoder. It is a value without weights; `FamilyHead` is the module that it builds.

As a likelihood it also says where its columns live (`support`, `units`) and how it starts from a linear-Gaussian
solution. As a mean-field posterior every number comes from the network (`amortized`), and it says how base noise
becomes draws (`push`, `rsample`), what is reported (`center`), which member is the prior (`standard`) and how it starts
(`code_start`). Not every family is for both: `observable` and `reparameterized` say which.
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
from sklearn.base import clone
from torch import nn
from torch.distributions import Distribution, constraints

from ._documented import Documented
from .code_starts import quantile_start
from .quantiles import tail

__all__ = ["Family", "FamilyHead", "uniform"]


class Family(Documented, ABC):
    """Base class of one-dimensional families; subclass it for a family of your own.

    Attributes
    ----------
    support : torch.distributions.constraints.Constraint
        Where the density lives; for columns that are not standardized, data outside it are an error in fit and score.
    units : {"standard", "scale", None}
        What happens to a column before the model sees it: shifted and scaled (the whole line), divided by its scale
        (positive values), or nothing (counts, booleans, fractions).
    interior : float
        A point inside the support, in the model's units, that stands in for missing cells.
    n_raw : int
        Numbers per variable that the network gives.
    observable : bool
        Whether a column can be of this family: its support does not move with the numbers, and mean and variance are
        finite.
    nominal : bool
        Whether a column holds codes of categories: the encoder then looks them up, and the linear model of the start
        has one indicator column for each of the `n_raw` levels.
    location_scale : bool
        Whether the first two numbers, all from the network, are a location and a log squared scale.
    reparameterized : bool
        Whether draws are differentiable in the numbers, so that a posterior can be of this family.
    """

    support: constraints.Constraint = constraints.real
    units: str | None = "standard"
    interior = 0.0
    n_raw = 1
    observable = True
    nominal = False
    location_scale = False
    reparameterized = True

    @abstractmethod
    def distribution(self, *numbers):
        """Map `n_raw` tensors (..., n) from the network, and then the family's own numbers, to a distribution."""

    @abstractmethod
    def start(self, mean, loadings, noise, resolution=None):
        """Give the raw numbers that imitate x = mean + loadings z + sqrt(noise) e, with z and e standard normal.

        Parameters
        ----------
        mean, noise : ndarray (n,)
        loadings : ndarray (n, m)
            Of a nominal family n counts indicators, the C of each column next to each other.
        resolution : ndarray (n,), optional
            The smallest noise variance of each column that its rows can vouch for.

        Returns
        -------
        weight : ndarray (n_raw * n, m)
        bias : ndarray (n_raw * n,)
        own : list of ndarray, as `own_numbers` gives them
        """

    def split(self, raw, n):
        """Raw numbers (..., n_raw * n) as the tensors that `distribution` takes first."""
        return raw.chunk(self.n_raw, -1)

    def own_numbers(self, n):
        """Numbers the family owns for n variables, as a list of (ndarray, whether it is trained)."""
        return []

    def for_column(self, values):
        """This family for one column with the given observed values (n,); another one where it depends on them."""
        return self

    def tie_noise(self, noise):
        """Project per-variable noise variances (n,) on those the family can have; used by the closed-form start."""
        return np.maximum(noise, 1e-3)

    def information_noise(self, mean, noise):
        """Noise variances (n,) of a normal column that would tell as much of z as one of this family with these means.

        For a canonical link that is the variance at the mean: the Fisher information of x about its natural parameter.
        """
        return noise

    def amortized(self):
        """The same family with every number from the network, as a mean-field posterior needs it."""
        family = clone(self)
        return family.set_params(noise="row") if isinstance(getattr(family, "noise", None), str) else family

    def push(self, q, u):
        """Base noise u (S, B or 1, n), standard normal, to exact draws (S, B, n): the inverse CDF of Phi(u)."""
        return q.icdf(uniform(u))

    def rsample(self, q, u):
        """Draws (S, B, n) that are differentiable in the numbers of q; `push` where that is."""
        return self.push(q, u)

    def center(self, q):
        """What transform reports, (B, n): the mean where it is finite, else the median or location."""
        return q.mean

    def standard(self, zero) -> Distribution:
        """The family's own standard member, the default prior of a posterior of this family: all raw numbers zero.

        Parameters
        ----------
        zero : Tensor (n,) of zeros; the member takes its batch shape, type and device.
        """
        own = (torch.as_tensor(number).to(zero) for number, _ in self.own_numbers(len(zero)))
        return self.distribution(*[zero] * self.n_raw, *own)

    def code_start(self, mean, projection, variance):
        """Give raw numbers that imitate the normal code t = projection x + mean with the given variances.

        The draws z of the family live where its standard member p does, so z_k stands for the t_k with
        Phi(t_k) = F_p(z_k). On the line families say t_k = (z_k - location) / scale; this is the affine imitation for
        all others, see `quantile_start`.

        Parameters
        ----------
        mean, variance : ndarray (n,)
        projection : ndarray (n, D)

        Returns
        -------
        weight : ndarray (n_raw * n, D)
        bias : ndarray (n_raw * n,)
        slope, offset : ndarray (n,)
            t is imitated by slope * z + offset.
        """
        return quantile_start(self, mean, projection, variance)


class FamilyHead(nn.Module):
    """n variables of one family: raw numbers (..., n_raw * n) -> distribution with batch shape (..., n)."""

    def __init__(self, family, n):
        super().__init__()
        self.family = family
        self.n = n
        self.n_raw = family.n_raw * n
        self.own = nn.ParameterList(
            nn.Parameter(torch.from_numpy(number).to(torch.get_default_dtype()), requires_grad=trained)
            for number, trained in family.own_numbers(n)
        )

    def forward(self, raw):
        """Split the raw numbers, append the family's own, and build the distribution."""
        own = self.own._parameters.values()  # iterating over a ParameterList looks each up by its name, at 10 us
        return self.family.distribution(*self.family.split(raw, self.n), *own)


def uniform(u):
    """Phi(u) of standard normal noise, kept inside (0, 1): what an inverse CDF takes."""
    eps = torch.finfo(u.dtype).eps
    return tail(u).clamp(eps, 1 - eps)
