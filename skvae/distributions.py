"""What torch.distributions lacks: one `kl` for every pair, one `log_prob` per draw, missing closed forms.

Shapes: a distribution over codes either factorises (batch_shape (B, K), no event) or is joint (batch_shape (B,),
event_shape (K,)); z is (S, B, K).
"""

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, Normal, kl_divergence, register_kl

__all__ = ["joint_kl", "joint_log_prob", "kl"]


def joint_log_prob(p: Distribution, z: Tensor) -> Tensor:
    """log p(z) summed over the code: z (S, B, K) -> (S, B)."""
    log_pz = p.log_prob(z)
    return log_pz if p.event_shape else log_pz.sum(-1)


def kl(q: Distribution, p: Distribution, z: Tensor | None = None) -> Tensor:
    """KL(q || p) in nats: the closed form where torch has one registered, else its Monte-Carlo estimate from z ~ q.

    Parameters
    ----------
    q, p : torch.distributions.Distribution
        q(z given x) and p(z).
    z : Tensor (S, B, K), optional
        Draws from q; needed only where no closed form is registered.

    Returns
    -------
    Tensor (B, K) where both factorise, else (B,)

    Examples
    --------
    >>> import torch
    >>> from torch.distributions import Normal
    >>> kl(Normal(torch.tensor([[1.0]]), 1.0), Normal(0.0, 1.0))
    tensor([[0.5000]])
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        if z is None:
            raise
    if q.event_shape or p.event_shape:
        return (joint_log_prob(q, z) - joint_log_prob(p, z)).mean(0)
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


def joint_kl(q: Distribution, p: Distribution, z: Tensor | None = None) -> Tensor:
    """`kl` summed over the code, (B,)."""
    divergence = kl(q, p, z)
    return divergence.sum(-1) if divergence.ndim == 2 else divergence


@register_kl(MultivariateNormal, Normal)
def _kl_multivariate_normal_normal(q, p):
    """1/2 sum_k [(S_kk + (m_k - mu_k)^2) / s_k^2 - 1 + ln s_k^2] - 1/2 ln det S, for q = N(m, S), p = N(mu, diag(s^2)).

    Ghojogh, "Variational Autoencoder" lecture, lemma of eq. (28), with a diagonal p.
    """
    variance = q.scale_tril.square().sum(-1)
    quadratic = (variance + (q.loc - p.loc).square()) / p.scale.square()
    half_log_det_q = q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = torch.log(p.scale.square()) - 1
    return 0.5 * (quadratic + constant).sum(-1) - half_log_det_q
