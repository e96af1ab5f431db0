"""Priors p(z): where codes live. A prior is a value; its module returns the distribution."""

from abc import ABC, abstractmethod

import torch
from sklearn.base import BaseEstimator
from torch import nn
from torch.distributions import Normal

__all__ = ["PRIORS", "Prior", "StandardNormal"]


class Prior(BaseEstimator, ABC):
    """Base class of priors; subclass it for one of your own."""

    @abstractmethod
    def build(self, n_components):
        """Make the module; `forward(encode)` returns p(z), handed the encode callable (a VampPrior uses it)."""


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
        return _StandardNormalModule(n_components)


class _StandardNormalModule(nn.Module):
    """p(z) with batch shape (K,)."""

    def __init__(self, n_components):
        super().__init__()
        self.register_buffer("loc", torch.zeros(n_components), persistent=False)
        self.register_buffer("scale", torch.ones(n_components), persistent=False)

    def forward(self, encode=None):
        """N(0, I)."""
        return Normal(self.loc, self.scale, validate_args=False)


PRIORS = {"normal": StandardNormal}
