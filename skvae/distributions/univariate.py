"""Densities that torch.distributions lacks, in torch's own method order."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import constraints
from torch.distributions.transforms import AffineTransform, ExpTransform
from torch.distributions.utils import broadcast_all
from torch.nn.functional import softplus
from torch.types import _size

from .smooth import soft_clamp

__all__ = [
    "LARGEST_EXPONENT",
    "Beta",
    "Between",
    "ContinuousBernoulli",
    "Gompertz",
    "Gumbel",
    "LogUniform",
    "Logistic",
    "MultivariateStudentT",
    "Normal",
    "Pareto",
    "StandardNormal",
    "StudentT",
    "Triangular",
    "Weibull",
    "inside_unit_interval",
]

_NO_SHAPE = torch.Size()
LARGEST_EXPONENT = 60.0  #: Of e: in float32 there is room for the gradient to be e^28 times as large.

_NEAR_ZERO = 0.2  # a logit below which the formulas of the continuous Bernoulli cancel, and their series are exact
_TINY = 1e-6


class _InsideUnitInterval(constraints.Constraint):
    """0 < x < 1, both ends excluded."""

    def check(self, value: Tensor) -> Tensor:
        """Whether each value lies strictly between 0 and 1."""
        return (value > 0) & (value < 1)


inside_unit_interval = _InsideUnitInterval()


class Normal(td.Normal):
    """td.Normal with a scale that is broadcast last: one noise per column does not become a logarithm per cell."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.own_scale = scale
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        td.Distribution.__init__(self, self.loc.shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: Any | None = None) -> td.Distribution:
        """The same distribution with its parameters broadcast to another batch shape."""
        return Normal(self.loc.expand(batch_shape), self.own_scale)

    def log_prob(self, value: Tensor) -> Tensor:
        """-u^2 / 2 - ln s - ln(2 pi) / 2, u = (x - loc) / s."""
        u = (value - self.loc) * self.own_scale.reciprocal()
        return torch.sub(-self.own_scale.log() - math.log(2 * math.pi) / 2, u.square(), alpha=0.5)


class StandardNormal(Normal):
    """N(0, 1), of the shape, type and device of `zero`."""

    def __init__(self, zero: Tensor) -> None:
        super().__init__(zero, torch.ones_like(zero))

    def expand(self, batch_shape: _size, _instance: Any | None = None) -> td.Distribution:
        """The same distribution with its parameters broadcast to another batch shape."""
        return StandardNormal(self.loc.expand(batch_shape))


class StudentT(td.StudentT):
    """td.StudentT without the checks that it makes of its own chi-squared part, for which a GPU is waited for."""

    def __init__(self, df: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        td.Distribution.__init__(self, self.loc.shape, validate_args=False)

    @cached_property
    def _chi2(self) -> td.Chi2:  # type: ignore[override]  # for draws alone: no step of training builds it
        return td.Chi2(self.df, validate_args=False)


class Logistic(td.Distribution):
    r"""Logistic distribution, :math:`\ln p(x) = -y - 2 \ln(1 + e^{-y}) - \ln s`, y = (x - loc) / s."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The location, about which the density is symmetric."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The location, where the density is highest."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """pi^2 s^2 / 3."""
        return math.pi**2 / 3 * self.scale.square()

    def rsample(self, sample_shape: _size = _NO_SHAPE) -> Tensor:
        """Draws by the inverse CDF of uniform noise, differentiable in the parameters."""
        info = torch.finfo(self.loc.dtype)
        shape = self._extended_shape(sample_shape)
        return self.icdf(torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(info.tiny, 1 - info.eps))

    def log_prob(self, value: Tensor) -> Tensor:
        """Shape of value and batch together. Even in y: written for abs(y), which never overflows."""
        y = ((value - self.loc) / self.scale).abs()
        return -y - 2 * softplus(-y) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        """sigmoid(y)."""
        return torch.sigmoid((value - self.loc) / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        """loc + s logit(value)."""
        return self.loc + self.scale * (value.log() - torch.log1p(-value))


class Gumbel(td.Gumbel):
    """Torch's, with a density that stays finite far out on the left, where it is e^(-e^-y): up to -y = 60."""

    def log_prob(self, value: Tensor) -> Tensor:
        """-y - exp(-y) - ln s."""
        y = (value - self.loc) / self.scale
        return -y - soft_clamp(-y, high=LARGEST_EXPONENT).exp() - self.scale.log()


class Between(td.Uniform):
    """Uniform on [low, high], ends included: a draw that rounding puts there or a hair beyond has density."""

    @property
    def mode(self) -> Tensor:
        """The middle of the interval; every other point is a mode as well."""
        return self.mean

    def log_prob(self, value: Tensor) -> Tensor:
        """-ln(high - low) inside, -inf outside."""
        slack = 4 * torch.finfo(self.low.dtype).eps * (1 + self.low.abs() + self.high.abs())
        inside = (value >= self.low - slack) & (value <= self.high + slack)
        return torch.where(inside, -torch.log(self.high - self.low), -torch.inf)


class LogUniform(td.TransformedDistribution):
    r"""Reciprocal distribution, ln x uniform on [log_low, log_high]: :math:`p(x) \propto 1 / x`."""

    base_dist: Between

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval, widened by the rounding of a logarithm."""
        low, high = (end.exp() for end in (self.base_dist.low, self.base_dist.high))
        return constraints.interval(low * (1 - 1e-6), high * (1 + 1e-6))

    def __init__(self, log_low: Tensor, log_high: Tensor) -> None:
        super().__init__(Between(log_low, log_high, validate_args=False), [ExpTransform()], validate_args=False)

    @property
    def _log_ratio(self) -> Tensor:
        return self.base_dist.high - self.base_dist.low

    @property
    def mean(self) -> Tensor:
        """(high - low) / ln(high / low)."""
        return self.base_dist.low.exp() * self._log_ratio.expm1() / self._log_ratio

    @property
    def mode(self) -> Tensor:
        """The lower end of the interval, where the density 1 / x is largest."""
        return self.base_dist.low.exp()

    @property
    def variance(self) -> Tensor:
        """(high^2 - low^2) / (2 ln(high / low)) - mean^2."""
        second = (2 * self.base_dist.low).exp() * (2 * self._log_ratio).expm1() / (2 * self._log_ratio)
        return (second - self.mean.square()).clamp(min=0)


class Triangular(td.Distribution):
    r"""Symmetric triangular distribution on (low, high), the mean of two uniform variables.

    :math:`\ln p(x) = \ln(4 r / w)`, w = high - low, r = the distance to the nearer end over w.
    """

    arg_constraints = {}
    has_rsample = True

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval [low, high]."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        """(low + high) / 2."""
        return (self.low + self.high) / 2

    @property
    def mode(self) -> Tensor:
        """(low + high) / 2, where the density is highest."""
        return self.mean

    @property
    def variance(self) -> Tensor:
        """w^2 / 24."""
        return (self.high - self.low).square() / 24

    def rsample(self, sample_shape: _size = _NO_SHAPE) -> Tensor:
        """Draws by the inverse CDF of uniform noise, differentiable in the parameters."""
        shape = self._extended_shape(sample_shape)
        return self.icdf(torch.rand(shape, dtype=self.low.dtype, device=self.low.device))

    def log_prob(self, value: Tensor) -> Tensor:
        """-inf outside; at the very ends, where only rounding leads, that of the next number."""
        width = self.high - self.low
        distance = torch.minimum(value - self.low, self.high - value) / width
        eps = torch.finfo(width.dtype).eps
        return torch.where(distance >= -8 * eps, torch.log(4 * distance.clamp(min=eps) / width), -torch.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """2 r^2 left of the middle, 1 - 2 (1 - r)^2 right of it."""
        r = ((value - self.low) / (self.high - self.low)).clamp(0, 1)
        return torch.where(r < 0.5, 2 * r.square(), 1 - 2 * (1 - r).square())

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`, from the nearer end."""
        r = torch.sqrt(torch.minimum(value, 1 - value) / 2)
        return torch.where(value < 0.5, self.low + (self.high - self.low) * r, self.high - (self.high - self.low) * r)


class Weibull(td.Weibull):
    """Torch's, with a density that stays finite where (x / s)^k overflows: other rows' draws lie there."""

    def log_prob(self, value: Tensor) -> Tensor:
        """ln k - ln x + ln y - y, y = (x / s)^k; y counts up to e^60."""
        log_y = self.concentration * (value.log() - self.scale.log())
        return self.concentration.log() - value.log() + log_y - soft_clamp(log_y, high=LARGEST_EXPONENT).exp()


class Pareto(td.Pareto):
    """Torch's, with no density below the scale, where torch's goes on."""

    def log_prob(self, value: Tensor) -> Tensor:
        """-inf below the scale."""
        return torch.where(value >= self.scale, super().log_prob(value), -torch.inf)


class Gompertz(td.TransformedDistribution):
    r"""Gompertz distribution, :math:`p(x) = \eta e^{x/s} \exp(-\eta (e^{x/s} - 1)) / s` for x >= 0.

    x = s ln(1 + e) of an exponential variable e with rate eta.
    """

    support = constraints.nonnegative

    def __init__(self, scale: Tensor, concentration: Tensor) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = td.Exponential(self.concentration, validate_args=False)
        transforms = [AffineTransform(1.0, 1.0), ExpTransform().inv, AffineTransform(0.0, self.scale)]
        super().__init__(base, transforms, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln(eta / s) + x / s - eta (e^(x / s) - 1); x / s counts up to 60 in the exponent."""
        y, eta = value / self.scale, self.concentration
        return eta.log() - self.scale.log() + y - eta * soft_clamp(y, high=LARGEST_EXPONENT).expm1()

    @property
    def mean(self) -> Tensor:
        """By quadrature: e^eta E_1(eta) s, for which torch has no function."""
        return self._expectation(lambda x: x) * self.scale

    @property
    def mode(self) -> Tensor:
        """-s ln eta, or 0."""
        return -self.scale * self.concentration.log().clamp(max=0)

    @property
    def variance(self) -> Tensor:
        """The variance, by quadrature as the mean."""
        mean = self.mean.unsqueeze(-1) / self.scale.unsqueeze(-1)
        return self._expectation(lambda x: (x - mean).square()) * self.scale.square()

    def _expectation(self, f: Callable[[Tensor], Tensor]) -> Tensor:
        """E[f(x / s)], the trapezoid rule in the normal noise of the inverse CDF, exact to ten digits."""
        u = torch.linspace(-8, 8, 129, dtype=self.scale.dtype, device=self.scale.device)
        weight = torch.softmax(-0.5 * u.square(), 0)
        x = torch.log1p(-torch.special.log_ndtr(-u) / self.concentration.unsqueeze(-1))
        return f(x) @ weight


class Beta(td.Beta):
    """Torch's beta distribution, its values a rounding error inside (0, 1) and its mode defined everywhere."""

    @property
    def mode(self) -> Tensor:
        """(a - 1) / (a + b - 2) where both exceed 1, else the higher end (the middle of a uniform density)."""
        a, b = self.concentration1, self.concentration0
        inner = (a - 1) / (a + b - 2).clamp(min=torch.finfo(a.dtype).eps)
        return torch.where((a > 1) & (b > 1), inner, 0.5 * (1 + (a - b).sign()))

    def log_prob(self, value: Tensor) -> Tensor:
        """As torch, but at the next number inside (0, 1) where rounding has led to an end."""
        info = torch.finfo(self.concentration1.dtype)
        return super().log_prob(value.clamp(info.tiny, 1 - info.eps / 2))


class ContinuousBernoulli(td.Distribution):
    r"""Continuous Bernoulli distribution on [0, 1], :math:`\ln p(x) = x l - \ln\frac{e^l - 1}{l}`, l the logit.

    Torch's clamps the probability sigmoid(l): from a logit of 16 on, in float32, its density does not integrate to one
    and its mean stays at 0.94. This one is written in l, for -abs(l) and its mirror image.
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """1 / a - 1 / (e^a - 1) for l = -a."""
        near, a = self._parts()
        exact = 1 / a + torch.exp(-a) / torch.expm1(-a)
        mean = torch.where(near < _NEAR_ZERO, 0.5 - near / 12 + near**3 / 720 - near**5 / 30240, exact)
        return torch.where(self.logits < 0, mean, 1 - mean)

    @property
    def mode(self) -> Tensor:
        """The end of [0, 1] that the density rises to."""
        return (self.logits > 0).to(self.logits)

    @property
    def variance(self) -> Tensor:
        """1 / a^2 - e^a / (e^a - 1)^2."""
        near, a = self._parts()
        exact = a.square().reciprocal() - torch.exp(-a) / torch.expm1(-a).square()
        return torch.where(near < _NEAR_ZERO, 1 / 12 - near**2 / 240 + near**4 / 6048 - near**6 / 172800, exact)

    def sample(self, sample_shape: _size = _NO_SHAPE) -> Tensor:
        """Draws by the inverse CDF of uniform noise."""
        with torch.no_grad():
            return self.icdf(torch.rand(self._extended_shape(sample_shape)).to(self.logits))

    def log_prob(self, value: Tensor) -> Tensor:
        """x l - max(l, 0) - ln((1 - e^-a) / a), a = abs(l)."""
        near, a = self._parts()
        series = -near / 2 + near**2 / 24 - near**4 / 2880 + near**6 / 181440
        log_norm = torch.where(near < _NEAR_ZERO, series, torch.log(-torch.expm1(-a)) - a.log())
        return value * self.logits - self.logits.clamp(min=0) - log_norm

    def cdf(self, value: Tensor) -> Tensor:
        """(1 - e^(-a x)) / (1 - e^-a) for l = -a."""
        a = self.logits.abs().clamp(min=_TINY)
        below = torch.expm1(-a * torch.where(self.logits < 0, value, 1 - value)) / torch.expm1(-a)
        return torch.where(self.logits < 0, below, 1 - below)

    def icdf(self, value: Tensor) -> Tensor:
        """-ln(1 - v (1 - e^-a)) / a for l = -a."""
        a = self.logits.abs().clamp(min=_TINY)
        tail = torch.where(self.logits < 0, value, 1 - value)
        x = (-torch.log1p(tail * torch.expm1(-a)) / a).clamp(max=1)
        return torch.where(self.logits < 0, x, 1 - x)

    def _parts(self) -> tuple[Tensor, Tensor]:
        """abs(l) where it is near 0, which the series take, and where it is not; elsewhere points that do no harm."""
        a = self.logits.abs()
        return a.clamp(max=_NEAR_ZERO), a.clamp(min=_NEAR_ZERO)


class MultivariateStudentT(td.Distribution):
    r"""Multivariate Student t: z = loc + L e / sqrt(w / df), e standard normal in K dimensions, w chi2 with df.

    .. math:: \ln p(z) = \ln\Gamma(\tfrac{\nu + K}2) - \ln\Gamma(\tfrac\nu2) - \tfrac K2 \ln(\nu\pi) - \ln\det L
        - \tfrac{\nu + K}2 \ln(1 + |L^{-1}(z - m)|^2 / \nu)
    """

    arg_constraints = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, df: float, loc: Tensor, scale_tril: Tensor) -> None:
        self.df, self.loc, self.scale_tril = df, loc, scale_tril
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The location, the mean where df > 1."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The location, where the density is highest."""
        return self.loc

    @property
    def covariance_matrix(self) -> Tensor:
        """L L' df / (df - 2); df > 2."""
        return self.scale_tril @ self.scale_tril.mT * (self.df / (self.df - 2))

    @property
    def variance(self) -> Tensor:
        """The diagonal of the covariance, L L' df / (df - 2)."""
        return self.scale_tril.square().sum(-1).expand(self.loc.shape) * (self.df / (self.df - 2))

    def rsample(self, sample_shape: _size = _NO_SHAPE) -> Tensor:
        """loc + L e / sqrt(w / df), with one draw of w for all K dimensions."""
        e = torch.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        w = td.Chi2(torch.as_tensor(self.df).to(self.loc)).sample(e.shape[:-1])
        return self.loc + (self.scale_tril @ e.unsqueeze(-1)).squeeze(-1) * (self.df / w).sqrt().unsqueeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """The joint log-density by the formula of the class, (..., K) -> (...)."""
        df, K = self.df, self.loc.shape[-1]
        e = torch.linalg.solve_triangular(self.scale_tril, (value - self.loc).unsqueeze(-1), upper=False).squeeze(-1)
        constant = math.lgamma((df + K) / 2) - math.lgamma(df / 2) - K / 2 * math.log(df * math.pi)
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return constant - log_det - (df + K) / 2 * torch.log1p(e.square().sum(-1) / df)
