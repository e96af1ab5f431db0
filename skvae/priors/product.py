"""The prior of codes of two kinds: one class, and codes that do not depend on it."""

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.distributions import Distribution

from ..distributions.latent import SideBySide
from .base import Encode, Prior
from .fixed import StandardNormal, UniformCategorical
from .learned import CategoricalPrior

__all__ = ["ProductPrior"]


class ProductPrior(Prior):
    r"""One class and codes that do not depend on it: short name "product".

    .. math:: p(y, z) = \pi_y\, p(z)

    The class affects a row only through the decoder p(x | y, z).

    Kingma et al. (2014), eq. (2), M2. In the Gaussian-mixture VAE (Dilokthanakul et al. 2016) p(z | y) depends on the
    class and the decoder does not; that is `NormalMixture`.

    Parameters
    ----------
    classes : CategoricalPrior or UniformCategorical, optional
        Of y, by default ``CategoricalPrior()``; as many classes as the posterior has.
    codes : Prior, optional
        Of z, by default ``StandardNormal()``.

    See Also
    --------
    Product : The posterior over both.

    Examples
    --------
    >>> import torch
    >>> from skvae import CategoricalPrior, ProductPrior, StandardNormal
    >>> p = ProductPrior(CategoricalPrior(n_classes=2), StandardNormal()).build(3)()
    >>> round(p.log_prob(torch.tensor([1.0, 0.0, 0.0])).item(), 4)  # -ln 2 - ln(2 pi) / 2
    -1.6121
    """

    _parameter_constraints = {"classes": [CategoricalPrior, UniformCategorical, None], "codes": [Prior, None]}

    def __init__(
        self, classes: CategoricalPrior | UniformCategorical | None = None, codes: Prior | None = None
    ) -> None:
        self.classes = classes
        self.codes = codes

    @property
    def _parts(self) -> tuple[CategoricalPrior | UniformCategorical, Prior]:
        """The two factors, with defaults for those that are left out."""
        return self.classes or CategoricalPrior(), self.codes or StandardNormal()

    @property
    def seeks_groups(self) -> bool:  # type: ignore[override]
        """Where the shares of classes are learned."""
        return self._parts[0].seeks_groups

    def check(self) -> None:
        """Also that codes are of one kind, which do not read rows."""
        super().check()
        if isinstance(self.codes, (ProductPrior, CategoricalPrior, UniformCategorical)) or (
            self.codes is not None and self.codes.reads_rows
        ):
            raise ValueError(
                "The 'codes' parameter of ProductPrior must be a prior of continuous codes that reads no rows, such as "
                f"StandardNormal() or NormalMixture(). Got {self.codes!r} instead."
            )

    def build(self, n_components: int) -> nn.Module:
        """The modules of both; `n_components` is the width of z."""
        classes, codes = self._parts
        C = classes.n_classes
        if n_components <= C:
            raise ValueError(
                f"Codes of width {n_components} are not {C} classes and others: give CategoricalPrior the 'n_classes' "
                "of the posterior, or leave prior='auto'."
            )
        return _ProductModule(classes.build(C), codes.build(n_components - C))

    def sized(self, z: np.ndarray, row: np.ndarray, seed: int) -> Prior:
        """A number of members in place of "auto"."""
        classes, codes = self._parts
        sized = codes.sized(z[:, classes.n_classes :], row, seed)
        return self if sized is codes else ProductPrior(classes, sized)

    def start(self, module: Any, z: np.ndarray, x: Tensor, seed: int) -> None:
        """Each by its own codes."""
        classes, codes = self._parts
        classes.start(module.classes, z[:, : classes.n_classes], x, seed)
        codes.start(module.codes, z[:, classes.n_classes :], x, seed)


class _ProductModule(nn.Module):
    """SideBySide of a class and codes, without batch shape."""

    def __init__(self, classes: nn.Module, codes: nn.Module) -> None:
        super().__init__()
        self.classes = classes
        self.codes = codes

    def forward(self, encode: Encode | None = None) -> Distribution:
        """p(y) p(z)."""
        return SideBySide([self.classes(encode), self.codes(encode)])
