"""Posteriors q(z given x) = network + head: raw numbers -> distribution over the code.

`Posterior` is the value, its `build` gives the head. A head reads `n_raw` numbers per row and offers

- `forward(raw)`: raw (B, n_raw) -> q,
- `push(q, u)`: base noise u (S, 1 or B, n_noise), standard normal, -> exact draws z (S, B, K) (Kingma & Welling 2014,
  section 2.4); row-wise and deterministic, so that a row's score does not depend on its neighbours,
- `rsample(q, u)`: draws that are differentiable in the raw numbers, for training; `push` where that is,
- `center(q)`: what transform returns, (B, K),
- `marginals(q)`: q_k(z_k given x), for the information of single components,
- `start(mean, projection, covariance)`: the raw affine map that imitates the normal code of the closed-form start.
"""

from abc import ABC, abstractmethod
from functools import partial

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from .families import FAMILIES, Gaussian
from .family import Family, FamilyHead
from .priors import Standard, StandardNormal

__all__ = ["POSTERIORS", "FullCovariance", "Head", "MeanField", "Posterior"]


class Posterior(BaseEstimator, ABC):
    """Base class of posteriors; subclass it for one of your own.

    Attributes
    ----------
    has_density : bool
        Whether log q(z given x) can be computed; without it there is no score.
    reparameterized : bool
        Whether draws are differentiable in the numbers from the network.
    """

    has_density = True
    reparameterized = True

    @abstractmethod
    def build(self, n_components) -> "Head":
        """Make the head for a code of `n_components` variables."""

    def prior(self):
        """The prior that ``prior="auto"`` means."""
        return StandardNormal()

    def width(self, n_components):
        """K, the width of z."""
        return n_components

    def check(self):
        """Raise a ValueError for a bad parameter; called before training."""


class Head(nn.Module, ABC):
    """Base class of the modules that posteriors build; see the module's docstring for what each method is."""

    def __init__(self, n_raw, n_noise):
        super().__init__()
        self.n_raw = n_raw
        self.n_noise = n_noise

    @abstractmethod
    def forward(self, raw):
        """Raw numbers (B, n_raw) -> q."""

    @abstractmethod
    def push(self, q, u):
        """Base noise u (S, 1 or B, n_noise) -> exact draws z (S, B, K)."""

    def rsample(self, q, u):
        """Draws z (S, B, K), differentiable in the raw numbers."""
        return self.push(q, u)

    def center(self, q):
        """E[z given x], (B, K)."""
        return q.mean

    def marginals(self, q):
        """q itself, where it factorises."""
        return q

    @abstractmethod
    def start(self, mean, projection, covariance):
        """Imitate q = N(projection x + mean, covariance).

        Parameters
        ----------
        mean : ndarray (n_components,)
        projection : ndarray (n_components, D)
        covariance : ndarray (n_components, n_components)

        Returns
        -------
        weight : ndarray (n_raw, D)
        bias : ndarray (n_raw,)
        basis : ndarray (n_components, K)
        offset : ndarray (n_components,)
            The normal code is imitated by basis z + offset, which the decoder's start reads.
        """


class MeanField(Posterior):
    r"""Independent components of one family, :math:`q(z | x) = \prod_k q_k(z_k | x)`: short name "diag" if normal.

    Kingma & Welling (2014), section 2.4, for which families can be reparameterised.

    Parameters
    ----------
    family : str or Family, default="gaussian"
        A family or its short name; every number of it comes from the encoder.

    Examples
    --------
    >>> from skvae import MeanField, VAETransformer
    >>> VAETransformer(posterior=MeanField())
    VAETransformer(posterior=MeanField())
    """

    def __init__(self, family: str | Family = "gaussian"):
        self.family = family

    def check(self):
        """`family` is one that can be reparameterised."""
        family = FAMILIES[self.family]() if self.family in FAMILIES else self.family
        if not (isinstance(family, Family) and family.reparameterized):
            known = sorted(name for name, make in FAMILIES.items() if make.reparameterized)
            must = f"must be one of {known} or an instance of Family that can be reparameterised"
            raise ValueError(f"The 'family' parameter of MeanField {must}. Got {self.family!r} instead.")
        return family.amortized()

    def prior(self):
        """The family's own standard member."""
        family = self.check()
        return StandardNormal() if isinstance(family, Gaussian) else Standard(family)

    def build(self, n_components):
        """One head for all components."""
        return _MeanFieldHead(self.check(), n_components)


class _MeanFieldHead(Head):
    """Raw numbers (B, n_raw of the family * K) -> the family's distribution with batch shape (B, K)."""

    def __init__(self, family, n_components):
        head = FamilyHead(family, n_components)
        super().__init__(head.n_raw, n_components)
        self.family = family
        self.head = head

    def forward(self, raw):
        """Every component at once."""
        return self.head(raw)

    def push(self, q, u):
        """The family's inverse CDF or location-scale map."""
        return self.family.push(q, u)

    def rsample(self, q, u):
        """The family's differentiable draws."""
        return self.family.rsample(q, u)

    def center(self, q):
        """E[z given x] where it is finite, (B, K)."""
        return self.family.center(q)

    def start(self, mean, projection, covariance):
        """Component by component."""
        weight, bias, slope, offset = self.family.code_start(mean, projection, np.diag(covariance))
        return weight, bias, np.diag(slope), offset


class FullCovariance(Posterior):
    r"""Correlated components, :math:`q(z | x) = N(m(x), L(x) L(x)^T)`, L lower triangular: short name "full".

    The diagonal of L is exp(raw), the part below it is raw. With a linear decoder it loses nothing against the exact
    posterior even where the loadings are rotated.

    Examples
    --------
    >>> from skvae import FullCovariance, VAETransformer
    >>> VAETransformer(posterior=FullCovariance())
    VAETransformer(posterior=FullCovariance())
    """

    def build(self, n_components):
        """One joint normal over the code."""
        return _FullCovarianceHead(n_components)


class _FullCovarianceHead(Head):
    """Raw numbers (B, K + K (K + 1) / 2) -> MultivariateNormal with batch shape (B,) and event shape (K,)."""

    def __init__(self, n_components):
        rows, columns = np.tril_indices(n_components)
        super().__init__(n_components + len(rows), n_components)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)
        self.register_buffer("columns", torch.from_numpy(columns), persistent=False)

    def forward(self, raw):
        """Fill L from the raw numbers."""
        K = self.n_noise
        lower = raw.new_zeros(*raw.shape[:-1], K, K)
        lower[..., self.rows, self.columns] = raw[..., K:]
        log_diagonal = lower.diagonal(dim1=-2, dim2=-1).clamp(-10.0, 10.0)
        scale_tril = lower.tril(-1) + torch.diag_embed(log_diagonal.exp())
        return MultivariateNormal(raw[..., :K], scale_tril=scale_tril, validate_args=False)

    def push(self, q, u):
        """z = m + L u."""
        return q.loc + torch.einsum("bij,sbj->sbi", q.scale_tril, u.expand(-1, len(q.loc), -1))

    def marginals(self, q):
        """Normal with the diagonal of the covariance."""
        return Normal(q.loc, q.stddev, validate_args=False)

    def start(self, mean, projection, covariance):
        """The normal code itself."""
        lower = np.linalg.cholesky(covariance)
        np.fill_diagonal(lower, np.log(np.diag(lower)))
        raw = lower[np.tril_indices(len(mean))]
        weight = np.concatenate([projection, np.zeros((len(raw), projection.shape[1]))])
        return weight, np.concatenate([mean, raw]), np.eye(len(mean)), np.zeros_like(mean)


POSTERIORS = {
    "diag": MeanField,
    "full": FullCovariance,
    **{name: partial(MeanField, name) for name, family in FAMILIES.items() if family.reparameterized},
}
