"""What missing cells do to the raw numbers of a row: Gaussian conditioning in the space of the latent code.

A row with all cells has the linear part t = P_0^-1 h of its code's mean, and the precision P_0. With some cells only,
h and P are sums over those (`networks.Encoder`), and the code is N(P^-1 h, P^-1). Each function takes the deviation of
the raw numbers from those of an average row, in which t stands as if P were P_0, and puts N(P^-1 h, P^-1) in.

Shapes: deviation (B, R), P (B, K, K), P_0 (K, K).
"""

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

__all__ = ["condition_covariance", "condition_location", "condition_spread", "joint_normal", "push_joint"]


def condition_location(deviation: Tensor, P: Tensor, P_0: Tensor) -> Tensor:
    """K locations first, and nothing else that depends on the spread."""
    K = P_0.shape[-1]
    h = deviation[..., :K] @ P_0
    t = torch.cholesky_solve(h[..., None], torch.linalg.cholesky(P))[..., 0]
    return torch.cat([t, deviation[..., K:]], -1)


def condition_spread(deviation: Tensor, P: Tensor, P_0: Tensor) -> Tensor:
    """K locations, then K log variances of independent components: the best of these are 1 / P_kk."""
    K = P_0.shape[-1]
    located = condition_location(deviation, P, P_0)
    wider = P_0.diagonal().log() - P.diagonal(dim1=-2, dim2=-1).log()
    return torch.cat([located[..., :K], located[..., K : 2 * K] + wider, located[..., 2 * K :]], -1)


def condition_covariance(deviation: Tensor, P: Tensor, P_0: Tensor) -> Tensor:
    """K locations, then the lower triangle of the Cholesky factor of P^-1 with a logarithmic diagonal."""
    K = P_0.shape[-1]
    located = condition_location(deviation, P, P_0)
    return torch.cat([located[..., :K], located[..., K:] + _raw_factor(P) - _raw_factor(P_0)], -1)


def joint_normal(q: Normal, P: Tensor) -> MultivariateNormal:
    """The joint normal of which q is the best mean-field approximation, its correlations those of P^-1.

    Among independent components those nearest in KL(q || N(m, Q^-1)) have variances 1 / Q_kk: so Q = R / (s s'), with s
    the standard deviations of q and R = P scaled to a unit diagonal. Where cells are missing P is not diagonal, and q
    alone is too narrow in the directions that they leave open.

    Parameters
    ----------
    q : Normal, batch shape (B, K)
    P : Tensor (B, K, K)
    """
    root = P.diagonal(dim1=-2, dim2=-1).sqrt()
    R = P / (root[..., :, None] * root[..., None, :])
    standard = MultivariateNormal(torch.zeros_like(root), precision_matrix=R, validate_args=False)
    scale_tril = q.stddev[..., None] * standard.scale_tril.to(q.stddev)
    return MultivariateNormal(q.loc, scale_tril=scale_tril, validate_args=False)


def push_joint(q: MultivariateNormal, u: Tensor) -> Tensor:
    """z = m + L u, (S, B, K) from u (S, 1 or B, K)."""
    return q.loc + torch.einsum("bij,sbj->sbi", q.scale_tril, u.expand(-1, q.loc.shape[0], -1))


def _raw_factor(P: Tensor) -> Tensor:
    """The lower triangle of chol(P^-1), row by row, its diagonal as logarithms: (..., K (K + 1) / 2)."""
    K = P.shape[-1]
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(P)))
    factor = factor.tril(-1) + torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1).log())
    rows, columns = torch.tril_indices(K, K, device=P.device)
    return factor[..., rows, columns]
