"""Posteriors of one value or of classes: latent codes without noise, and one-hot codes."""

from numbers import Integral
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from .._utils.checks import POSITIVE
from .._utils.compat import Interval
from ..distributions.latent import OneHots, PointMass
from ..families.base import uniform
from ..priors.base import Prior
from ..priors.fixed import FINITE, UniformCategorical
from .base import Head, HeadInit, Posterior
from .conditioning import condition_location

__all__ = ["CategoricalPosterior", "Point"]


class Point(Posterior):
    r"""One code for each row and no noise, the encoder of plain autoencoders: short name "point".

    .. math:: z = t(x), \qquad z = low + (high - low)\, \Phi(t(x)) \text{ in a box},

    with t the outputs of the encoder, which are nearly standard normal at the start, so that codes in a box are nearly
    uniform. It has no density, so no KL and no score, and is for objectives without a bound, such as AE, WAEMMD and
    AAE. Under a `UniformPrior`, ``posterior="auto"`` is a point in the prior's box.

    Parameters
    ----------
    low, high : float, optional
        Bounds of a box that codes cannot leave; without them codes are any real numbers.

    See Also
    --------
    AE : The objective that needs nothing else.
    Implicit : Another posterior without density, with noise.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import Point, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective="wae_mmd", posterior=Point(), max_iter=0).fit(X)
    >>> bool((vae.encode(X).sample().numpy() == vae.transform(X)).all())
    True
    >>> hasattr(vae, "score")
    False
    >>> Z = vae.set_params(posterior=Point(low=0.0, high=1.0)).fit_transform(X)
    >>> float(Z.min().round(3)), float(Z.max().round(3))
    (0.004, 0.996)
    """

    has_density = False
    _parameter_constraints = {"low": [FINITE, None], "high": [FINITE, None]}

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        self.low = low
        self.high = high

    def check(self) -> None:
        """Also that a box has two ends, `low` below `high`."""
        super().check()
        if len(self._box) == 1 or (self._box and self._box[0] >= self._box[1]):
            raise ValueError(f"Point takes low < high, or neither. Got low={self.low!r}, high={self.high!r} instead.")

    def build(self, n_components: int) -> Head:
        """The raw numbers are the code, or are taken into the box."""
        return _PointHead(n_components, self._box)

    @property
    def _box(self) -> tuple[float, ...]:
        """Its two ends; none without one."""
        return tuple(float(end) for end in (self.low, self.high) if end is not None)


class _PointHead(Head):
    """Raw numbers t (B, K) -> PointMass at t, or at low + (high - low) Phi(t)."""

    condition = staticmethod(condition_location)

    def __init__(self, n_components: int, box: tuple[float, ...] = ()) -> None:
        super().__init__(n_components, 0)
        self.box = box

    def forward(self, raw: Tensor) -> Distribution:
        """The raw numbers are the code, or its quantiles in the box."""
        if not self.box:
            return PointMass(raw)
        low, high = self.box
        inside = constraints.independent(constraints.interval(low, high), 1)
        return PointMass(low + (high - low) * uniform(raw), inside)

    def push(self, q: Any, u: Tensor) -> Tensor:
        """There is no noise to push."""
        return q.rsample(u.shape[:1])

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """The mean of the normal code is t; for t ~ N(0, 1), the line nearest to t is 6 (Phi(t) - 1/2) / sqrt(pi)."""
        if not self.box:
            return projection, mean, np.eye(len(mean)), np.zeros_like(mean)
        low, high = self.box
        slope = 6 / np.sqrt(np.pi) / (high - low)
        return projection, mean, slope * np.eye(len(mean)), np.full_like(mean, -slope * (low + high) / 2)


class CategoricalPosterior(Posterior):
    r"""One-hot variables of C classes each, multinomial codes: short name "categorical".

    .. math:: q(z | x) = \prod_k \prod_c \pi_{kc}(x)^{z_{kc}}, \qquad K = n_{components}\, C

    Draws are exact by the Gumbel-max trick; in training they are relaxed to softmax((ln pi + g) / temperature), whose
    gradient is pathwise but biased. With ``temperature=None`` they stay exact, for objectives with
    ``gradient="score_function"``. `transform` gives the class probabilities; the prior is uniform.

    Jang, Gu & Poole (2017), eqs. (1) and (2); Maddison et al. (2017). He's lecture, "VAE is a Generative Model".

    Parameters
    ----------
    n_classes : int, default=10
        C.
    temperature : float or None, default=0.5
        Of the relaxed draws: at a low one they are nearer to a class and their gradients have larger variance.

    See Also
    --------
    UniformCategorical : Its prior.
    Product : One class, and codes inside it.
    CategoricalPrior : A prior with trained shares, initialised at clusters.
    NormalMixture : A discrete variable in the prior, above a continuous code.

    Examples
    --------
    One variable of three classes is a soft clustering:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import CategoricalPosterior, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(1, posterior=CategoricalPosterior(n_classes=3), max_iter=0).fit(X)
    >>> vae.get_feature_names_out()
    array(['vaetransformer0_0', 'vaetransformer0_1', 'vaetransformer0_2'], dtype=object)
    >>> float(vae.transform(X).sum(axis=1).round(6).min())
    1.0
    """

    _parameter_constraints = {
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "temperature": [POSITIVE, None],
    }

    def __init__(self, n_classes: int = 10, temperature: float | None = 0.5) -> None:
        self.n_classes = n_classes
        self.temperature = temperature

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        """Relaxed draws have a gradient, exact ones have none."""
        return self.temperature is not None

    def prior(self) -> Prior:
        """All classes are equally probable."""
        return UniformCategorical(self.n_classes)

    def widths(self, n_components: int) -> list[int]:
        """C columns for each variable."""
        return [self.n_classes] * n_components

    def build(self, n_components: int) -> Head:
        """C logits per variable."""
        return _CategoricalHead(n_components, self.n_classes, self.temperature)


class _CategoricalHead(Head):
    """Raw numbers (B, n C) -> OneHots of n variables."""

    def __init__(self, n_components: int, n_classes: int, temperature: float | None) -> None:
        super().__init__(n_components * n_classes, n_components * n_classes)
        self.n_classes = n_classes
        self.temperature = temperature

    def forward(self, raw: Tensor) -> Distribution:
        """Raw numbers are logits."""
        return OneHots(raw.unflatten(-1, (-1, self.n_classes)))

    def push(self, q: Any, u: Tensor) -> Tensor:
        """One-hot at the largest ln pi + g, g = -ln -ln Phi(u)."""
        return nn.functional.one_hot(self._perturbed(q, u).argmax(-1), self.n_classes).to(u).flatten(-2)

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """The softmax in place of the largest."""
        if self.temperature is None:
            return self.push(q, u)
        return (self._perturbed(q, u) / self.temperature).softmax(-1).flatten(-2)

    def _perturbed(self, q: Any, u: Tensor) -> Tensor:
        gumbel = -torch.log(-torch.log(uniform(u)))
        return q.log_probabilities + gumbel.unflatten(-1, (-1, self.n_classes))

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """Each variable cuts its normal code into C equally probable parts; a class stands for the mean of its part."""
        C, n = self.n_classes, len(mean)
        edges = norm.ppf(np.arange(C + 1) / C)
        centers = -C * np.diff(norm.pdf(edges))
        within = 1 - np.square(centers).mean()
        variance = np.diag(covariance)
        weight = np.einsum("kd,c->kcd", projection / (within + variance)[:, None], centers)
        offset = np.outer(mean, centers) - 0.5 * np.outer(1 - variance, np.square(centers))
        bias = offset / (within + variance)[:, None]
        return weight.reshape(n * C, -1), bias.ravel(), np.kron(np.eye(n), centers), np.zeros(n)
