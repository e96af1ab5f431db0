"""Distributions over booleans, category indices and counts that torch.distributions lacks, in torch's method order."""

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import constraints
from torch.nn.functional import cross_entropy, logsigmoid, pad, softplus
from torch.types import _size

__all__ = ["Bernoulli", "CategoryIndex", "OrderedCategoryIndex", "ZeroInflated"]

_NO_SHAPE = torch.Size()


class Bernoulli(td.Bernoulli):
    """Torch's, with a mode at probability 1/2 too."""

    @property
    def mode(self) -> Tensor:
        """The more probable value, 0 where neither is."""
        return (self.logits > 0).to(self.logits)


class CategoryIndex(td.Distribution):
    """Category indices 0 .. C - 1 in floating point, one variable per batch element.

    Logits need not be normalised: the density is one fused cross entropy, which matters for a thousand levels.
    """

    arg_constraints = {}

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The category indices 0 .. C - 1."""
        return constraints.integer_interval(0, self.logits.shape[-1] - 1)

    @property
    def probs(self) -> Tensor:
        """pi, (..., C)."""
        return self.logits.softmax(-1)

    @property
    def mean(self) -> Tensor:
        """The mode: categories have no mean, and this is the value to decode to."""
        return self.mode

    @property
    def mode(self) -> Tensor:
        """The most probable category."""
        return self.logits.argmax(-1).to(self.logits)

    @property
    def variance(self) -> Tensor:
        """Variance of the indices about their own average."""
        numbers = torch.arange(self.logits.shape[-1]).to(self.logits)
        return (self.probs @ numbers.square() - (self.probs @ numbers).square()).clamp(min=0)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln pi at the indices."""
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        logits = self.logits.expand(*shape, -1).flatten(0, -2)
        return -cross_entropy(logits, value.long().expand(shape).flatten(), reduction="none").view(shape)

    def sample(self, sample_shape: _size = _NO_SHAPE) -> Tensor:
        """Category indices, in the type of the logits."""
        return td.Categorical(logits=self.logits, validate_args=False).sample(sample_shape).to(self.logits)


class OrderedCategoryIndex(CategoryIndex):
    r"""Category indices 0 .. C - 1 in their order: :math:`P(x \le c) = \sigma(\theta_c - \eta)`, theta rising.

    .. math:: \ln p(c) = \ln\sigma(\theta_c - \eta) + \ln\sigma(\eta - \theta_{c-1})
        + \ln(1 - e^{\theta_{c-1} - \theta_c})

    with :math:`\theta_{-1} = -\infty`, :math:`\theta_{C-1} = \infty`: two sigmoids' difference, uncancelled.

    Parameters
    ----------
    eta : Tensor (..., n)
    first : Tensor (n, 1)
        theta_0.
    gaps : Tensor (n, C - 2), positive
        theta_c - theta_(c - 1).
    """

    def __init__(self, eta: Tensor, first: Tensor, gaps: Tensor) -> None:
        distance = torch.cat([first, gaps], -1).cumsum(-1) - eta.unsqueeze(-1)
        between = torch.log(-torch.expm1(-gaps))
        log_p = pad(logsigmoid(distance), (0, 1)) + pad(logsigmoid(-distance), (1, 0)) + pad(between, (1, 1))
        super().__init__(log_p)


class PointMass(td.Distribution):
    """All mass at one value.

    Its density is left to who knows what a value elsewhere costs: `log_prob` is 0 everywhere.

    Parameters
    ----------
    value : Tensor
        Where; it gives the batch shape, dtype and device.
    """

    arg_constraints = {}
    support = constraints.real
    has_rsample = True

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The value."""
        return self.value

    @property
    def mode(self) -> Tensor:
        """The value."""
        return self.value

    @property
    def variance(self) -> Tensor:
        """0."""
        return torch.zeros_like(self.value)

    def log_prob(self, value: Tensor) -> Tensor:
        """0, of the broadcast shape."""
        return torch.zeros_like(self.value + value)

    def icdf(self, value: Tensor) -> Tensor:
        """The value, of the broadcast shape."""
        return self.value + torch.zeros_like(self.value + value)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """The value."""
        return self.value.expand(self._extended_shape(sample_shape))


class ZeroInflated(td.Distribution):
    r"""Counts of `base`, replaced by 0 with probability g = sigmoid(gate).

    :math:`p(x) = g [x = 0] + (1 - g) p_{base}(x)`.
    """

    arg_constraints = {}
    support = constraints.nonnegative_integer

    def __init__(self, base: td.Distribution, gate: Tensor) -> None:
        self.base = base
        self.gate = gate.expand(base.batch_shape)
        super().__init__(base.batch_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(1 - g) E[base]."""
        return torch.sigmoid(-self.gate) * self.base.mean

    @property
    def mode(self) -> Tensor:
        """0 or the mode of `base`, whichever is more probable."""
        mode = self.base.mode
        return torch.where(self.log_prob(torch.zeros_like(mode)) < self.log_prob(mode), mode, 0.0)

    @property
    def variance(self) -> Tensor:
        """(1 - g) (Var[base] + g E[base]^2)."""
        return torch.sigmoid(-self.gate) * (self.base.variance + torch.sigmoid(self.gate) * self.base.mean.square())

    def sample(self, sample_shape: _size = _NO_SHAPE) -> Tensor:
        """Draws of `base`, some of them zeroed."""
        counts = self.base.sample(sample_shape)
        return torch.where(torch.rand_like(counts) < torch.sigmoid(self.gate), 0.0, counts)

    def log_prob(self, value: Tensor) -> Tensor:
        """Both parts at 0, the second one elsewhere."""
        counted = self.base.log_prob(value) - softplus(self.gate)
        at_zero = torch.logaddexp(-softplus(-self.gate), counted)
        return torch.where(value == 0, at_zero, counted)
