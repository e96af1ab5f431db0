"""Posteriors q(z given x) = network + head: raw numbers -> distribution over the code.

`Posterior` is the value, its `build` gives the head. A head offers

- `forward(raw)`: raw (B, n_raw) -> q,
- `push(q, u)`: base noise u (S, 1 or B, K) -> z (S, B, K), differentiable in q (Kingma & Welling 2014, section 2.4),
- `center(q)`: what transform returns, (B, K).
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from .families import FamilyHead, Gaussian

__all__ = ["POSTERIORS", "FullCovariance", "MeanField", "Posterior"]


class Posterior(BaseEstimator, ABC):
    """Base class of posteriors; subclass it for one of your own."""

    @abstractmethod
    def build(self, n_components):
        """Make the head, an `nn.Module` with `n_raw`, `forward`, `push`, `center`, `marginals` and `start`."""


class MeanField(Posterior):
    r"""Independent components, :math:`q(z | x) = \prod_k q_k(z_k | x)`: short name "diag".

    Examples
    --------
    >>> from skvae import MeanField, VAETransformer
    >>> VAETransformer(posterior=MeanField())
    VAETransformer(posterior=MeanField())
    """

    def build(self, n_components):
        """One normal per component, location and variance from the network."""
        return _MeanFieldHead(Gaussian(noise="row", floor=1e-9), n_components)


class _MeanFieldHead(FamilyHead):
    """Raw numbers (B, 2 K) -> Normal with batch shape (B, K)."""

    def push(self, q, u):
        """z = loc + scale * u."""
        return q.loc + q.scale * u

    def center(self, q):
        """E[z given x], (B, K)."""
        return q.mean

    def marginals(self, q):
        """q is its own marginals."""
        return q

    def start(self, mean, projection, covariance):
        """Raw affine map (weight, bias) that gives q = N(projection x + mean, diag(covariance))."""
        weight, bias, _ = self.family.start(mean, projection, np.diag(covariance))
        return weight, bias


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


class _FullCovarianceHead(nn.Module):
    """Raw numbers (B, K + K (K + 1) / 2) -> MultivariateNormal with batch shape (B,) and event shape (K,)."""

    def __init__(self, n_components):
        super().__init__()
        self.n_components = n_components
        rows, columns = np.tril_indices(n_components)
        self.n_raw = n_components + len(rows)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)
        self.register_buffer("columns", torch.from_numpy(columns), persistent=False)

    def forward(self, raw):
        """Fill L from the raw numbers."""
        K = self.n_components
        lower = raw.new_zeros(*raw.shape[:-1], K, K)
        lower[..., self.rows, self.columns] = raw[..., K:]
        log_diagonal = lower.diagonal(dim1=-2, dim2=-1).clamp(-10.0, 10.0)
        scale_tril = lower.tril(-1) + torch.diag_embed(log_diagonal.exp())
        return MultivariateNormal(raw[..., :K], scale_tril=scale_tril, validate_args=False)

    def push(self, q, u):
        """z = m + L u."""
        return q.loc + torch.einsum("bij,sbj->sbi", q.scale_tril, u.expand(-1, len(q.loc), -1))

    def center(self, q):
        """E[z given x], (B, K)."""
        return q.mean

    def marginals(self, q):
        """q_k(z_k given x), for the information of single components."""
        return Normal(q.loc, q.stddev, validate_args=False)

    def start(self, mean, projection, covariance):
        """Raw affine map (weight, bias) that gives q = N(projection x + mean, covariance)."""
        lower = np.linalg.cholesky(covariance)
        np.fill_diagonal(lower, np.log(np.diag(lower)))
        raw = lower[np.tril_indices(self.n_components)]
        weight = np.concatenate([projection, np.zeros((len(raw), projection.shape[1]))])
        return weight, np.concatenate([mean, raw])


POSTERIORS = {"diag": MeanField, "full": FullCovariance}
