"""`ManifoldDisplay`: images decoded from latent codes of the prior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from .._inference.fitted import Fitted, fitted_of
from .._utils.random import draw_seed, exclusive
from ..priors.fixed import StandardNormal
from .plotting import LITERAL, contrast, decoded_means, draw_mosaic, image_values, panels, pyplot, vae_behind

__all__ = ["ManifoldDisplay"]

_BISECTIONS = 50
_LARGE = 16  # pixels; smaller images run together without a gap
_FEW = 10  # images in a row, each with the value of its component


class ManifoldDisplay:
    r"""Images decoded from latent codes of the prior.

    For one model with two components this is the picture of Kingma & Welling (2014, figure 4): a regular grid in the
    unit square goes through the quantile functions of the prior's components, and each point is decoded. For several
    models it shows decoded draws of their priors side by side (their figure 5).

    Parameters
    ----------
    means : list of ndarray of shape (n_rows, n_columns, n_features)
        Decoded means of each panel.
    image_shape : tuple of int
        Shape of an image, (H, W) or (C, H, W).
    titles : list of str, default=()
        Titles of the panels.
    coordinates : ndarray of shape (n, 2) or None, default=None
        For a grid, the latent codes of its columns and rows.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        The panels.
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
        Figure that holds them.
    images_ : list of matplotlib AxesImage
        The mosaics.

    See Also
    --------
    ComponentDisplay : One component at a time, for any number of them.
    skvae.VAETransformer.decode : Latent codes to distributions over the columns.

    Notes
    -----
    With n images a side, the code of column j and row i is :math:`(F_1^{-1}((j + 1/2) / n), F_2^{-1}((i + 1/2) / n))`,
    F the distribution function of the prior's component; its second one rises from bottom to top.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.display import ManifoldDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
    >>> ManifoldDisplay.from_estimator(vae, (8, 8), n=5).means[0].shape
    (5, 5, 64)
    """

    def __init__(
        self,
        means: list[np.ndarray],
        image_shape: Sequence[int],
        *,
        titles: Sequence[str] = (),
        coordinates: np.ndarray | None = None,
    ) -> None:
        self.means = means
        self.image_shape = image_shape
        self.titles = titles
        self.coordinates = coordinates

    @classmethod
    def from_estimator(
        cls, estimator: Any, image_shape: Sequence[int], *, n: int = 15, ax: Any = None, cmap: str = "gray"
    ) -> "ManifoldDisplay":
        """Decode a grid of quantiles of the prior, and draw it.

        Its components must have quantile functions: normal, uniform, Laplace and the like, and mixtures of normals,
        whose quantiles are those of each component's marginal distribution. With `conditions`, codes are decoded under
        the most frequent ones of the fitted rows, and the conditions are not pixels.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            A fitted model with two components. In a Pipeline, images are the rows that its last step sees.
        image_shape : tuple of int
            Shape of an image, (H, W) or (C, H, W).
        n : int, default=15
            Images a side.
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None makes a figure.
        cmap : str, default="gray"
            Colour map of images with one channel.

        Returns
        -------
        ManifoldDisplay
            The drawn display.

        See Also
        --------
        ManifoldDisplay.from_estimators : Draws of several models.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skvae import VAETransformer
        >>> from skvae.display import ManifoldDisplay
        >>> X, _ = load_digits(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> ManifoldDisplay.from_estimator(vae, (8, 8), n=3).coordinates[:, 0].round(2)
        array([-0.97,  0.  ,  0.97])
        """
        caller = cls.__name__
        pyplot(caller)
        vae, _ = vae_behind(estimator, caller=caller)
        quantiles = _prior_quantiles(fitted_of(vae), n, caller)
        grid = np.stack(np.meshgrid(*quantiles.T), -1)[::-1]  # the second component rises upwards
        means = decoded_means(vae, grid.reshape(-1, 2)).reshape(n, n, -1)
        image_values(means, image_shape, caller)
        return cls([means], image_shape, coordinates=quantiles).plot(ax, cmap=cmap)

    @classmethod
    def from_estimators(
        cls,
        estimators: Sequence,
        image_shape: Sequence[int],
        *,
        n: int = 8,
        labels: Sequence[str] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
        cmap: str = "gray",
    ) -> "ManifoldDisplay":
        """Decode draws of the priors of several models, and draw them side by side.

        Each image is the mean of :math:`p(x | z)` for one draw of z; the prior is the one that ``sample`` draws from.

        Parameters
        ----------
        estimators : list of VAETransformer, or of Pipelines that end in one
            Fitted models with any number of components.
        image_shape : tuple of int
            Shape of an image, (H, W) or (C, H, W).
        n : int, default=8
            Images a side.
        labels : list of str or None, default=None
            Titles; with None the numbers of components.
        random_state : int, RandomState instance or None, default=0
            Seed of the draws.
        ax : matplotlib Axes, array of one per estimator or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        cmap : str, default="gray"
            Colour map of images with one channel.

        Returns
        -------
        ManifoldDisplay
            The drawn display.

        See Also
        --------
        ManifoldDisplay.from_estimator : The grid of one model with two components.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skvae import VAETransformer
        >>> from skvae.display import ManifoldDisplay
        >>> X, _ = load_digits(return_X_y=True)
        >>> vaes = [VAETransformer(n_components=k, max_iter=0).fit(X) for k in (2, 5)]
        >>> ManifoldDisplay.from_estimators(vaes, (8, 8), n=4).titles
        ['2 components', '5 components']
        """
        caller = cls.__name__
        pyplot(caller)
        vaes = [vae_behind(estimator, caller=caller)[0] for estimator in estimators]
        if labels is not None and len(labels) != len(vaes):
            raise ValueError(f"'labels' has {len(labels)} entries for {len(vaes)} estimators.")
        seed = draw_seed(random_state)
        means = [decoded_means(vae, _prior_draws(fitted_of(vae), n * n, seed)).reshape(n, n, -1) for vae in vaes]
        for panel in means:
            image_values(panel, image_shape, caller)
        titles = [f"{vae.n_components_} components" for vae in vaes] if labels is None else list(labels)
        return cls(means, image_shape, titles=titles).plot(ax, cmap=cmap)

    def plot(self, ax: Any = None, *, cmap: str = "gray") -> "ManifoldDisplay":
        """Draw the display.

        Black and white are the smallest and the largest value of each panel, except for a hundredth of the pixels at
        each end.

        Parameters
        ----------
        ax : matplotlib Axes, array of one per panel or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        cmap : str, default="gray"
            Colour map of images with one channel.

        Returns
        -------
        ManifoldDisplay
            Itself.

        See Also
        --------
        ManifoldDisplay.from_estimator : Compute and draw.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import ManifoldDisplay
        >>> display = ManifoldDisplay([np.zeros((2, 3, 4)), np.ones((2, 3, 4))], (2, 2), titles=["a", "b"])
        >>> display.plot().axes_[1].get_title()
        'b'
        """
        n = len(self.means)
        self.axes_ = panels(ax, (1, n), (5.6, 5.6) if n == 1 else (3.6 * n, 3.8), type(self).__name__)[0]
        self.ax_, self.figure_, self.images_ = self.axes_[0], self.axes_[0].figure, []
        is_plane = self.coordinates is not None and self.image_shape[-1] >= _LARGE
        gap = 0 if is_plane else None  # neighbours in the plane flow into each other
        for i, (ax_i, panel) in enumerate(zip(self.axes_, self.means, strict=True)):
            images = image_values(panel, self.image_shape, type(self).__name__)
            self.images_.append(draw_mosaic(ax_i, images, contrast(images), cmap=cmap, gap=gap))
            if len(self.titles):
                ax_i.set_title(self.titles[i], **LITERAL)
        if self.coordinates is not None:
            self._label_grid(self.coordinates)
        return self

    def _label_grid(self, coordinates: np.ndarray) -> None:
        n = len(coordinates)
        gapped = np.linspace(0, 1, 2 * n + 1)[1::2]  # middles of the images, as shares of the side
        shown = np.arange(n) if n <= _FEW else np.linspace(0, n - 1, 5).round().astype(int)
        (left, right), (bottom, top) = self.ax_.get_xlim(), self.ax_.get_ylim()
        first, second = coordinates[shown].T
        self.ax_.set_xticks(left + gapped[shown] * (right - left), [f"{z:.1f}" for z in first])
        self.ax_.set_yticks(bottom + gapped[shown] * (top - bottom), [f"{z:.1f}" for z in second])
        self.ax_.xaxis.set_ticks_position("bottom")
        self.ax_.set(xlabel="Component 0", ylabel="Component 1")


def _prior_quantiles(fitted: Fitted, n: int, caller: str) -> np.ndarray:
    """Quantiles (n, 2) of the prior's two components in the order of `transform`."""
    module, prior, objective = fitted.module, fitted.parts.prior, fitted.parts.objective
    if module.width != 2:
        raise ValueError(
            f"{caller} draws a plane of codes: it takes n_components=2, but the model has {module.width}. For others "
            "see ManifoldDisplay.from_estimators and ComponentDisplay."
        )
    if not objective.uses_prior and isinstance(prior, StandardNormal):
        raise ValueError(f"{caller} takes quantiles of the prior, to which objective={objective!r} draws no code.")
    u = (np.arange(n) + 0.5) / n
    with torch.no_grad():
        try:
            z = _quantiles(module.prior(module.encode), torch.from_numpy(u).to(next(module.parameters())))
        except NotImplementedError:
            raise ValueError(
                f"{caller} needs a prior whose components have quantiles, as prior='normal' or 'uniform'. "
                f"prior={prior!r} has none; ManifoldDisplay.from_estimators([vae], ...) shows draws of it."
            ) from None
    return np.sort(_in_order(fitted, z), axis=0)


def _quantiles(p: Distribution, u: Tensor) -> Tensor:
    """Quantiles (n, K) of each component at u (n,); of mixtures of normals by bisection."""
    if not p.event_shape:
        return p.icdf(u[:, None].expand(-1, 2))
    if not isinstance(p, MixtureSameFamily) or not _are_normal(p.component_distribution):
        raise NotImplementedError
    members = Normal(p.component_distribution.mean, p.component_distribution.stddev, validate_args=False)
    reach = 10 * members.stddev
    low, high = ((members.mean + sign * reach).mul(sign).amax(0).mul(sign).expand(len(u), -1) for sign in (-1, 1))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = (members.cdf(middle[:, None]) * p.mixture_distribution.probs[:, None]).sum(1) < u[:, None]
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def _are_normal(members: Distribution) -> bool:
    base = members.base_dist if isinstance(members, Independent) else members
    return isinstance(base, (Normal, MultivariateNormal))


def _prior_draws(fitted: Fitted, n: int, seed: int) -> np.ndarray:
    """Latent codes (n, K) in the order of `transform`, from where `sample` takes them."""
    with exclusive(seed, device=fitted.device), torch.no_grad():
        z = fitted.module.prior(fitted.module.encode).sample((n,))
    return _in_order(fitted, z)


def _in_order(fitted: Fitted, z: Tensor) -> np.ndarray:
    """Latent codes (n, K) of the module in the order and the signs of `transform`."""
    order, signs = fitted.output_map(z)
    return (z[:, order] * signs).double().cpu().numpy()
