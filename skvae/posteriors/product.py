"""Codes of two kinds side by side: one class, and other codes."""

from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor
from torch.distributions import Distribution

from ..distributions.latent import SideBySide
from ..priors.base import Prior
from ..priors.learned import CategoricalPrior
from ..priors.product import ProductPrior
from .base import Head, HeadInit, Posterior
from .discrete import CategoricalPosterior
from .normal import FullCovariance, MeanField

__all__ = ["Product", "ProductHead"]


class Product(Posterior):
    r"""One class and codes beside it, both of which the decoder reads: short name "product", M2 without labels.

    .. math:: q(y, z | x) = q(y | x)\, q(z | x), \qquad p(x) = \sum_y \pi_y \int p(x | y, z)\, p(z)\, dz

    Of `n_components` variables the first is the class y and the others are z. So `transform` gives the C probabilities
    of classes and then ``n_components - 1`` means, and `VAETransformer.predict` the most probable class. The decoder
    reads both: a linear decoder gives a mixture of factor analysers that share their loadings, and networks bend each
    class in its own way. Under a `ProductPrior` with a `CategoricalPrior`, to which "auto" resolves, classes begin at
    clusters of the codes of a linear model, and z at the directions inside them.

    The class is relaxed in training, or exact with the score function; see `CategoricalPosterior`.

    Kingma et al. (2014), eq. (2), M2; there q(z | x, y) also reads the class. It is not the Gaussian-mixture VAE, whose
    class enters p(z | y) alone: that is `NormalMixture`.

    Parameters
    ----------
    classes : CategoricalPosterior, optional
        Of y, by default ``CategoricalPosterior()``.
    codes : MeanField or FullCovariance, optional
        Of z, by default ``MeanField()``.

    See Also
    --------
    ProductPrior : Its prior.
    CategoricalPosterior : Classes without codes inside them.
    NormalMixture : Groups of codes, whose decoder does not depend on the group.

    Examples
    --------
    Two groups of rows on lines that cross the same range:

    >>> import numpy as np
    >>> from skvae import CategoricalPosterior, MeanField, Product, VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> group, t = rng.integers(2, size=400), rng.normal(size=(400, 1))
    >>> X = 6 * np.outer(group, [1, -1, 0]) + 2 * t * [[1, 1, 1]] + 0.3 * rng.normal(size=(400, 3))
    >>> posterior = Product(CategoricalPosterior(n_classes=2), MeanField())
    >>> vae = VAETransformer(2, posterior=posterior, max_iter=0, random_state=0).fit(X)
    >>> Z = vae.transform(X)  # two probabilities and a mean
    >>> float(max(np.mean(vae.predict(X) == group), np.mean(vae.predict(X) != group)))
    1.0
    >>> float(np.corrcoef(Z[:, 2], t[:, 0])[0, 1].round(2))
    0.99
    """

    _parameter_constraints = {"classes": [CategoricalPosterior, None], "codes": [MeanField, FullCovariance, None]}

    def __init__(self, classes: CategoricalPosterior | None = None, codes: Posterior | None = None) -> None:
        self.classes = classes
        self.codes = codes

    @property
    def _parts(self) -> tuple[CategoricalPosterior, Posterior]:
        """The two factors, with defaults for those that are left out."""
        return self.classes or CategoricalPosterior(), self.codes or MeanField()

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        """As far as the class is."""
        return self._parts[0].reparameterized

    def prior(self) -> Prior:
        """Shares of classes that are trained, and the prior of the codes."""
        classes, codes = self._parts
        return ProductPrior(CategoricalPrior(classes.n_classes), codes.prior())

    def widths(self, n_components: int) -> list[int]:
        """C columns for the class, and one for each of the others."""
        return [self._parts[0].n_classes] + [1] * (n_components - 1)

    def build(self, n_components: int) -> Head:
        """The heads of both, one after the other."""
        if n_components < 2:
            raise ValueError(
                "A Product has one class and n_components - 1 codes, so it needs n_components >= 2. Got "
                f"n_components={n_components} instead. Use CategoricalPosterior for a class alone."
            )
        classes, codes = self._parts
        return ProductHead(classes.build(1), codes.build(n_components - 1))


class ProductHead(Head):
    """Raw numbers (B, C + those of the codes) -> OneHots and codes, side by side."""

    def __init__(self, classes: Head, codes: Head) -> None:
        super().__init__(classes.n_raw + codes.n_raw, classes.n_noise + codes.n_noise)
        self.classes = classes
        self.codes = codes

    def forward(self, raw: Tensor) -> Distribution:
        """Each head reads its own numbers."""
        of_class, of_codes = raw.split([self.classes.n_raw, self.codes.n_raw], -1)
        return SideBySide([self.classes(of_class), self.codes(of_codes)])

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Each head draws from its own noise."""
        return torch.cat([head.push(*part) for head, part in zip(self.heads, self.split(q, u), strict=True)], -1)

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """The relaxed class, and differentiable codes."""
        return torch.cat([head.rsample(*part) for head, part in zip(self.heads, self.split(q, u), strict=True)], -1)

    def center(self, q: Any) -> Tensor:
        """Class probabilities, and the centres of the codes."""
        return torch.cat([head.center(part) for head, part in zip(self.heads, q.parts, strict=True)], -1)

    def marginals(self, q: Any) -> Distribution:
        """The class, and the codes one by one."""
        return SideBySide([head.marginals(part) for head, part in zip(self.heads, q.parts, strict=True)])

    @property
    def heads(self) -> tuple[Head, Head]:
        """That of the class, and that of the codes."""
        return self.classes, self.codes

    def split(self, q: Any, u: Tensor) -> list[tuple[Distribution, Tensor]]:
        """The distribution of each head with its noise."""
        return list(zip(q.parts, u.split([head.n_noise for head in self.heads], -1), strict=True))

    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """The first normal code is cut into classes, the others are the codes."""
        of_class = self.classes.start(mean[:1], projection[:1], covariance[:1, :1])
        of_codes = self.codes.start(mean[1:], projection[1:], covariance[1:, 1:])
        weight, bias, basis, offset = zip(of_class, of_codes, strict=True)
        return np.concatenate(weight), np.concatenate(bias), scipy.linalg.block_diag(*basis), np.concatenate(offset)
