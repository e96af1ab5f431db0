"""Priors p(z): where codes live. A prior is a value; its module returns the distribution."""

from abc import ABC, abstractmethod

import torch
from sklearn.base import BaseEstimator
from torch import nn

from .families import Gaussian
from .family import Family

__all__ = ["PRIORS", "Prior", "Standard", "StandardNormal"]


class Prior(BaseEstimator, ABC):
    """Base class of priors; subclass it for one of your own."""

    @abstractmethod
    def build(self, n_components):
        """Make the module; `forward(encode)` returns p(z), handed the encode callable (a VampPrior uses it)."""

    def check(self):
        """Raise a ValueError for a bad parameter; called before training."""


class StandardNormal(Prior):
    """p(z) = N(0, I): short name "normal".

    Examples
    --------
    >>> from skvae import StandardNormal, VAETransformer
    >>> VAETransformer(prior=StandardNormal())
    VAETransformer(prior=StandardNormal())
    """

    def build(self, n_components):
        """A module without weights."""
        return _StandardModule(Gaussian(), n_components)


class Standard(Prior):
    r"""Independent standard members of a family, :math:`p(z) = \prod_k p_0(z_k)`: what "auto" is for a mean-field q.

    Parameters
    ----------
    family : Family

    Examples
    --------
    >>> from skvae import Gaussian, Standard, VAETransformer
    >>> VAETransformer(prior=Standard(Gaussian()))
    VAETransformer(prior=Standard(family=Gaussian()))
    """

    def __init__(self, family: Family):
        self.family = family

    def check(self):
        """`family` is one that can be reparameterised, as codes are."""
        if not (isinstance(self.family, Family) and self.family.reparameterized):
            must = "must be an instance of Family that can be reparameterised"
            raise ValueError(f"The 'family' parameter of Standard {must}. Got {self.family!r} instead.")

    def build(self, n_components):
        """A module without weights."""
        self.check()
        return _StandardModule(self.family.amortized(), n_components)


class _StandardModule(nn.Module):
    """p(z) with batch shape (K,)."""

    def __init__(self, family, n_components):
        super().__init__()
        self.family = family
        self.register_buffer("zero", torch.zeros(n_components), persistent=False)

    def forward(self, encode=None):
        """The standard member, K times."""
        return self.family.standard(self.zero)


PRIORS = {"normal": StandardNormal}
