"""What torch.distributions lacks: one `kl` for every pair, one `log_prob` per draw, missing closed forms, a point mass.

Shapes: a distribution over codes either factorises (batch_shape (B, K), no event) or is joint (batch_shape (B,),
event_shape (K,)); z is (S, B, K).
"""

import math
from collections.abc import Callable
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Uniform,
    constraints,
    kl_divergence,
    register_kl,
)
from torch.types import _size

__all__ = [
    "Flow",
    "Implicit",
    "MemberNormals",
    "OneHots",
    "PointMass",
    "SideBySide",
    "has_closed_form",
    "joint_log_prob",
    "kl",
    "log_aggregate",
    "log_aggregate_and_factors",
    "mixture",
    "monte_carlo_kl",
    "reordered",
    "summed",
]

_CELLS_PER_PART = 1 << 18  # of pairs of rows: 2 MB as float64, larger ones leave the cache


class PointMass(Distribution):
    """All mass on one code loc (B, K): the posterior of a plain autoencoder. It has no density."""

    arg_constraints = {}
    support: Any = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, support: Any = constraints.real_vector) -> None:
        self.loc = loc
        self.support = support  # of all codes that there can be
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The one code that has all mass."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The one code that has all mass."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Zero: every draw is the same."""
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """The point itself, S times."""
        return self.loc.expand(self._extended_shape(sample_shape))


class _Drawn(Distribution):
    """Codes (B, K) that are defined by how they are drawn, z = draw(u), with Monte-Carlo moments from frozen noise.

    Parameters
    ----------
    draw : callable, standard normal u (..., B, n_noise) -> z (..., B, K)
    batch_shape, event_shape : torch.Size
    frozen : Tensor (M, 1, n_noise)
    """

    arg_constraints = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, draw: Callable[[Tensor], Tensor], batch_shape: torch.Size, event_shape: torch.Size, frozen: Tensor
    ) -> None:
        self.draw = draw
        self.frozen = frozen
        self.drawn: Tensor | None = None
        super().__init__(batch_shape, event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Monte-Carlo mean over the frozen noise, (B, K)."""
        return self._frozen_draws().mean(0)

    @property
    def variance(self) -> Tensor:
        """Monte-Carlo variance over the frozen noise, (B, K)."""
        return self._frozen_draws().var(0)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Draws from new noise."""
        shape = torch.Size(sample_shape) + self.batch_shape + self.frozen.shape[-1:]
        return self.draw(torch.randn(shape, dtype=self.frozen.dtype, device=self.frozen.device))

    def _frozen_draws(self) -> Tensor:
        if self.drawn is None:  # once for both moments
            self.drawn = self.draw(self.frozen.reshape(-1, *[1] * len(self.batch_shape), self.frozen.shape[-1]))
        return self.drawn


class Implicit(_Drawn):
    """Draws without a density (Mescheder et al. 2017, section 3)."""


class Flow(_Drawn):
    r"""Normalizing flow: u = f(z) is standard normal.

    .. math:: \ln p(z) = \ln N(f(z); 0, I) + \ln |\det \partial f / \partial z|

    Parameters
    ----------
    transform : torch.distributions.Transform, z (..., K) -> u (..., K)
    batch_shape, event_shape : torch.Size
    frozen : Tensor (M, 1, K)
    """

    def __init__(
        self, transform: td.Transform, batch_shape: torch.Size, event_shape: torch.Size, frozen: Tensor
    ) -> None:
        self.transform = transform
        super().__init__(transform.inv, batch_shape, event_shape, frozen)

    def log_prob(self, value: Tensor) -> Tensor:
        """The density of u = f(z) times the Jacobian of f."""
        u = self.transform(value)
        log_pu = Normal(0.0, 1.0, validate_args=False).log_prob(u).sum(-1)
        return log_pu + self.transform.log_abs_det_jacobian(value, u)


class OneHots(Distribution):
    r"""n independent one-hot variables of C classes, side by side: event shape (n C,), multinomial codes.

    .. math:: \ln q(z) = \sum_{k, c} z_{kc} \ln \pi_{kc}

    Parameters
    ----------
    logits : Tensor (..., n, C)
    """

    arg_constraints = {}
    support = constraints.independent(constraints.unit_interval, 1)

    def __init__(self, logits: Tensor) -> None:
        self.log_probabilities = logits.log_softmax(-1)
        super().__init__(logits.shape[:-2], torch.Size([logits.shape[-2] * logits.shape[-1]]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The class probabilities, (..., n C)."""
        return self.log_probabilities.exp().flatten(-2)

    @property
    def variance(self) -> Tensor:
        """pi (1 - pi)."""
        return self.mean * (1 - self.mean)

    def entropy(self) -> Tensor:
        """-sum pi ln pi, of all variables together."""
        return -(self.log_probabilities.exp() * self.log_probabilities).sum((-2, -1))

    def log_prob(self, value: Tensor) -> Tensor:
        """sum z ln pi; linear in z, so that it also takes relaxed codes."""
        return (value * self.log_probabilities.flatten(-2)).sum(-1)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Draws of one-hot codes, exact ones."""
        classes = Categorical(logits=self.log_probabilities, validate_args=False).sample(sample_shape)
        C = self.log_probabilities.shape[-1]
        return torch.nn.functional.one_hot(classes, C).to(self.log_probabilities).flatten(-2)


class SideBySide(Distribution):
    r"""Independent codes of several kinds: event shape (K,), K the sum of their widths.

    .. math:: \ln q(z) = \sum_i \ln q_i(z_i)

    Parameters
    ----------
    parts : list of Distribution, each over (B, K_i) or with event shape (K_i,)
    """

    arg_constraints = {}

    def __init__(self, parts: list[Distribution]) -> None:
        self.parts = parts
        self.sizes = [(part.event_shape or part.batch_shape)[-1] for part in parts]
        batch_shape = parts[0].batch_shape if parts[0].event_shape else parts[0].batch_shape[:-1]
        super().__init__(batch_shape, torch.Size([sum(self.sizes)]), validate_args=False)

    @property
    def support(self) -> Any:
        """Those of the parts."""
        elementwise = [_elementwise(part.support) for part in self.parts]
        return constraints.independent(constraints.cat(elementwise, -1, self.sizes), 1)

    @property
    def mean(self) -> Tensor:
        """The means of the parts, (B, K)."""
        return torch.cat([part.mean for part in self.parts], -1)

    @property
    def variance(self) -> Tensor:
        """The variances of the parts, (B, K)."""
        return torch.cat([part.variance for part in self.parts], -1)

    def entropy(self) -> Tensor:
        """The sum over parts, (B,)."""
        entropies = [(part, part.entropy()) for part in self.parts]
        return torch.stack([h if part.event_shape else h.sum(-1) for part, h in entropies]).sum(0)

    def log_prob(self, value: Tensor) -> Tensor:
        """The sum over parts, (S, B)."""
        parts = zip(self.parts, value.split(self.sizes, -1), strict=True)
        return torch.stack([joint_log_prob(part, z) for part, z in parts]).sum(0)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Draws of each part."""
        return torch.cat([part.sample(sample_shape) for part in self.parts], -1)


def _elementwise(support: Any) -> Any:
    """The constraint of single numbers behind one of vectors."""
    return _elementwise(support.base_constraint) if hasattr(support, "base_constraint") else support


class Reordered(Distribution):
    """A distribution over codes whose components are given as signs[k] * z[order[k]].

    Parameters
    ----------
    q : Distribution, over (B, K) or with event shape (K,)
    order : LongTensor (K,)
    signs : Tensor (K,) of -1 and 1
    """

    arg_constraints = {}

    def __init__(self, q: Distribution, order: Tensor, signs: Tensor) -> None:
        self.q = q
        self.order = order
        self.signs = signs
        self.inverse = order.argsort()
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[z given x]."""
        return self.q.mean[..., self.order] * self.signs

    @property
    def variance(self) -> Tensor:
        """Var[z given x]."""
        return self.q.variance[..., self.order]

    def entropy(self) -> Tensor:
        """That of the component behind each; of a joint code the same in every order."""
        entropy = self.q.entropy()
        return entropy if self.event_shape else entropy[..., self.order]

    def log_prob(self, value: Tensor) -> Tensor:
        """That of the component behind each."""
        log_qz = self.q.log_prob((value * self.signs)[..., self.inverse])
        return log_qz if self.event_shape else log_qz[..., self.order]

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Draws of q in the other order, with the signs."""
        return self.q.sample(sample_shape)[..., self.order] * self.signs


@singledispatch
def reordered(q: Distribution, order: Tensor, signs: Tensor) -> Distribution:
    """q with components signs[k] * z[order[k]]: of the same class where that has it."""
    return Reordered(q, order, signs)


@reordered.register
def _(q: Normal, order: Tensor, signs: Tensor) -> Distribution:
    return Normal(q.loc[..., order] * signs, q.scale[..., order], validate_args=False)


@reordered.register
def _(q: MultivariateNormal, order: Tensor, signs: Tensor) -> Distribution:
    covariance = q.covariance_matrix[..., order, :][..., order] * signs[:, None] * signs
    return MultivariateNormal(q.loc[..., order] * signs, covariance, validate_args=False)


@reordered.register
def _(q: Independent, order: Tensor, signs: Tensor) -> Distribution:
    return Independent(reordered(q.base_dist, order, signs), q.reinterpreted_batch_ndims, validate_args=False)


@reordered.register
def _(q: MixtureSameFamily, order: Tensor, signs: Tensor) -> Distribution:
    members = reordered(q.component_distribution, order, signs)
    return MixtureSameFamily(q.mixture_distribution, members, validate_args=False)


@reordered.register
def _(q: PointMass, order: Tensor, signs: Tensor) -> Distribution:
    return PointMass(q.loc[..., order] * signs, q.support)


@reordered.register
def _(q: OneHots, order: Tensor, signs: Tensor) -> Distribution:
    C = q.log_probabilities.shape[-1]
    return OneHots(q.log_probabilities.flatten(-2)[..., order].unflatten(-1, (-1, C)))


def mixture(logits: Tensor, q: Distribution) -> MixtureSameFamily:
    """sum_m softmax(logits)_m q_m(z) for the rows m of q: event shape (K,)."""
    members = q if q.event_shape else Independent(q, 1, validate_args=False)
    weights = Categorical(logits=logits, validate_args=False)
    return MixtureSameFamily(weights, members, validate_args=False)


class MemberNormals(MultivariateNormal):
    """Normals that are the members of a mixture, batch shape (M,): densities of all at a point by one matrix product.

    torch solves a K x K system for each pair of point and member; so does this where members have points of their own.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """ln N(z; m, L L^T) of points z (..., 1, K), or one for each member (..., M, K): (..., M)."""
        if self.loc.ndim != 2 or value.ndim < 2 or value.shape[-2] != 1:
            return super().log_prob(value)
        M, K = self.loc.shape
        inverse = torch.linalg.solve_triangular(self.scale_tril, torch.eye(K).to(value).expand(M, K, K), upper=False)
        centre = torch.einsum("mij,mj->mi", inverse, self.loc)
        whitened = (value[..., 0, :] @ inverse.flatten(0, 1).T).unflatten(-1, (M, K)) - centre
        log_volume = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (K * math.log(2 * math.pi) + whitened.square().sum(-1)) - log_volume


def joint_log_prob(p: Distribution, z: Tensor) -> Tensor:
    """log p(z) summed over the code: z (S, B, K) -> (S, B)."""
    log_pz = p.log_prob(z)
    return log_pz if p.event_shape else log_pz.sum(-1)


def log_aggregate(q: Distribution, z: Tensor) -> Tensor:
    """ln q(z_i), q(z) = 1/B sum_j q(z | x_j), for draws z (S, B, K) of every row: (S, B)."""
    return _over_pairs(lambda part: joint_log_prob(q, part).logsumexp(-1), z) - math.log(z.shape[1])


def log_aggregate_and_factors(q: Distribution, z: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and sum_k ln q(z_ik), q(z_k) = 1/B sum_j q_k(z_k | x_j), of a q that factorises: (S, B) each."""
    _, B, K = z.shape

    def both(part: Tensor) -> Tensor:
        log_q = q.log_prob(part)
        return torch.stack([log_q.sum(-1).logsumexp(-1), log_q.logsumexp(-2).sum(-1)])

    log_qz, log_factors = _over_pairs(both, z)
    return log_qz - math.log(B), log_factors - K * math.log(B)


def _over_pairs(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """function of codes (S, b, 1, K), for every row of q to see, some rows of z (S, B, K) at a time: (..., B)."""
    _, B, K = z.shape
    parts = z.unsqueeze(-2).split(max(1, _CELLS_PER_PART // (B * K)), dim=1)
    return torch.cat([function(part) for part in parts], -1)


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
    Tensor (B, K) where both factorise, (B, n) for one-hot variables, else (B,)

    Examples
    --------
    >>> import torch
    >>> from torch.distributions import Normal
    >>> kl(Normal(torch.tensor([[1.0]]), 1.0), Normal(0.0, 1.0))
    tensor([[0.5000]])
    """
    if isinstance(p, Uniform) and not q.event_shape:
        p = p.expand(q.batch_shape)  # torch's own formula indexes the result by a mask of p's shape
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        if z is None:
            raise
    return monte_carlo_kl(q, p, z)


def has_closed_form(q: Distribution, p: Distribution) -> bool:
    """Whether a closed form of KL(q || p) is registered."""
    try:
        kl(q, p)
    except NotImplementedError:
        return False
    return True


def monte_carlo_kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """mean_s ln q(z_s) - ln p(z_s) for draws z (S, B, K) from q: (B, K) where both factorise, else (B,).

    Ghojogh's lecture, eq. (27).
    """
    if q.event_shape or p.event_shape:
        return (joint_log_prob(q, z) - joint_log_prob(p, z)).mean(0)
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


def summed(divergence: Tensor) -> Tensor:
    """A divergence per component (B, K), or a joint one (B,), as (B,)."""
    return divergence.sum(-1) if divergence.ndim == 2 else divergence


@register_kl(MultivariateNormal, Normal)
def _kl_multivariate_normal_normal(q: Any, p: Any) -> Tensor:
    """1/2 sum_k [(S_kk + (m_k - mu_k)^2) / s_k^2 - 1 + ln s_k^2] - 1/2 ln det S, for q = N(m, S), p = N(mu, diag(s^2)).

    Ghojogh, "Variational Autoencoder" lecture, eq. (29), with a diagonal p.
    """
    variance = q.scale_tril.square().sum(-1)
    quadratic = (variance + (q.loc - p.loc).square()) / p.scale.square()
    half_log_det_q = q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = torch.log(p.scale.square()) - 1
    return 0.5 * (quadratic + constant).sum(-1) - half_log_det_q


@register_kl(SideBySide, SideBySide)
def _kl_side_by_side(q: Any, p: Any) -> Tensor:
    """The KL of each part: of each variable, (B, n), where all of them factorise, else their sum, (B,)."""
    parts = [kl(*pair) for pair in zip(q.parts, p.parts, strict=True)]
    if all(part.ndim == 2 for part in parts):
        return torch.cat(parts, -1)
    return torch.stack([summed(part) for part in parts]).sum(0)


@register_kl(OneHots, OneHots)
def _kl_one_hots_one_hots(q: Any, p: Any) -> Tensor:
    """sum_c pi_c ln (pi_c / rho_c) for each variable, (B, n)."""
    return (q.log_probabilities.exp() * (q.log_probabilities - p.log_probabilities)).sum(-1)
