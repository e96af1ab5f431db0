"""What codes mean: `ComponentDisplay`, each component by itself, and `ManifoldDisplay`, decoded codes of the prior."""

import numpy as np
import torch
from scipy.stats import norm
from torch.distributions import constraints

from ._arrays import on_host
from ._plotting import (
    COLORS,
    codes_of,
    columns_of,
    contrast,
    decoded_means,
    draw_mosaic,
    image_values,
    numbers_of,
    panels,
    pyplot,
    short,
    vae_behind,
)
from ._random import draw_seed, exclusive
from .estimator import LIVE

__all__ = ["ComponentDisplay", "ManifoldDisplay"]

_OFF = "#B0B0B0"
_MOST_WITH_NUMBERS = 12  # components; of more, the heat map does not write its values


class ComponentDisplay:
    r"""
    Information of each component, and what it does to the columns.

    Left, the mean KL of each component to the prior in nats; those below `threshold` are switched off and grey. Right,
    a heat map of latent traversals: each component goes from the low to the high end of its codes, the others stay at
    their mean, and the columns answer. For images, right is a strip of decoded images per component instead.

    Parameters
    ----------
    information : ndarray of shape (n_components,)
        KL to the prior in nats; without a KL, the variance of the codes.
    has_kl : bool, default=True
        Whether `information` is a KL.
    effects : ndarray of shape (n_rows, n_components) or None, default=None
        What each component does to each column or level.
    names : list of str, default=()
        Names of the rows of `effects`.
    traversals : ndarray of shape (n_components, n_steps, n_features) or None, default=None
        Decoded images.
    image_shape : tuple of int or None, default=None
        Shape of an image, (H, W) or (C, H, W).
    threshold : float, default=0.05
        Nats below which a component is switched off.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,)
        The bars, and the heat map or strips.
    figure_ : matplotlib Figure
        Figure that holds them.
    bars_ : matplotlib BarContainer
        One bar per component.
    image_ : matplotlib AxesImage
        The heat map, or the mosaic of images.

    See Also
    --------
    LatentSpaceDisplay : Rows in two components.
    ManifoldDisplay : Two components at a time, for images.

    Notes
    -----
    With the codes' quantiles :math:`a_k, b_k` at :math:`\Phi(-2)` and :math:`\Phi(2)`, which for normal codes are the
    mean plus and minus two standard deviations, the effect on a column of numbers is

    .. math:: (E[x_d | z_k = b_k] - E[x_d | z_k = a_k]) / sd(x_d)

    and that on a level of a category, where a fair coin has the standard deviation 1/2,

    .. math:: (P(x_d = c | z_k = b_k) - P(x_d = c | z_k = a_k)) / (1/2)

    so that it lies between -2 and 2 and rare levels are not blown up. Columns of two levels have one row, that of the
    second level.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.display import ComponentDisplay
    >>> X = load_wine(as_frame=True).data
    >>> vae = VAETransformer(n_components=3, max_iter=0).fit(X)
    >>> ComponentDisplay.from_estimator(vae, X).effects.shape
    (13, 3)
    """

    def __init__(
        self,
        information,
        *,
        has_kl=True,
        effects=None,
        names=(),
        traversals=None,
        image_shape=None,
        threshold=LIVE,
    ):
        self.information = information
        self.has_kl = has_kl
        self.effects = effects
        self.names = names
        self.traversals = traversals
        self.image_shape = image_shape
        self.threshold = threshold

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        image_shape=None,
        max_components=10,
        max_rows=30,
        n_steps=9,
        threshold=LIVE,
        ax=None,
    ):
        """
        Move every component over its codes, and draw what that does.

        Components are those with the most information; where rows are many, those that move most are kept, in the
        order of the table.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            Fitted.
        X : array-like, frame or CSR of shape (n_samples, n_features)
            The table whose codes span the traversals.
        image_shape : tuple of int or None, default=None
            For images, their shape (H, W) or (C, H, W).
        max_components : int, default=10
            Components to show.
        max_rows : int, default=30
            Columns and levels to show.
        n_steps : int, default=9
            Images per component.
        threshold : float, default=0.05
            Nats below which a component is switched off.
        ax : matplotlib Axes, array of 2 such or None, default=None
            Where to draw; a single one is divided, None makes a figure.

        Returns
        -------
        ComponentDisplay
            The drawn display.

        See Also
        --------
        ComponentDisplay.plot : Draw it again.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skvae import VAETransformer
        >>> from skvae.display import ComponentDisplay
        >>> X, _ = load_digits(return_X_y=True)
        >>> vae = VAETransformer(n_components=3, max_iter=0).fit(X)
        >>> ComponentDisplay.from_estimator(vae, X, image_shape=(8, 8)).traversals.shape
        (3, 9, 64)
        """
        caller = cls.__name__
        pyplot(caller)
        vae, X = vae_behind(estimator, X, "codes", caller=caller)
        Z = codes_of(vae, X)
        _refuse_codes_off_the_line(vae, X, caller)
        information, has_kl = _information(vae, Z)
        n = min(max_components, Z.shape[1])
        if image_shape is not None:
            steps = norm.cdf(np.linspace(-2, 2, n_steps))
            traversals = np.stack([decoded_means(vae, _traversal(Z, k, steps)) for k in range(n)])
            image_values(traversals, image_shape, caller)
            display = cls(
                information[:n],
                has_kl=has_kl,
                traversals=traversals,
                image_shape=image_shape,
                threshold=threshold,
            )
            return display.plot(ax)
        effects, names = _effects(vae, Z, numbers_of(vae, X), n)
        rows = np.sort(np.argsort(-np.abs(effects).max(1), kind="stable")[:max_rows])
        display = cls(
            information[:n],
            has_kl=has_kl,
            effects=effects[rows],
            names=[names[r] for r in rows],
            threshold=threshold,
        )
        return display.plot(ax)

    def plot(self, ax=None, *, cmap="RdBu_r"):
        """
        Draw the display.

        The heat map writes its values where components are few.

        Parameters
        ----------
        ax : matplotlib Axes, array of 2 such or None, default=None
            Where to draw; a single one is divided, None makes a figure.
        cmap : str, default="RdBu_r"
            Diverging colours of the heat map.

        Returns
        -------
        ComponentDisplay
            Itself.

        See Also
        --------
        ComponentDisplay.from_estimator : Compute and draw.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.display import ComponentDisplay
        >>> display = ComponentDisplay(np.array([1.2, 0.0]), effects=np.eye(2), names=["age", "height"])
        >>> display.plot().axes_[0].get_title()
        '1 of 2 live'
        """
        n = len(self.information)
        height = 1.4 + (0.27 * len(self.names) if self.traversals is None else 0.62 * n)
        ratios = (1, 2) if self.traversals is None else (1, 2.2)
        self.axes_ = panels(ax, (1, 2), (9.5, max(height, 2.8)), type(self).__name__, ratios)[0]
        self.figure_ = self.axes_[0].figure
        self._bars(self.axes_[0])
        self._heat_map(self.axes_[1], cmap) if self.traversals is None else self._strips(self.axes_[1])
        return self

    def _bars(self, ax):
        numbers = np.arange(len(self.information))
        live = self.information > self.threshold if self.has_kl else np.ones(len(numbers), bool)
        self.bars_ = ax.barh(numbers, self.information, color=np.where(live, COLORS[0], _OFF))
        ax.set_yticks(numbers, numbers)
        ax.invert_yaxis()
        ax.set(ylabel="Component", xlabel="KL to the prior (nats)" if self.has_kl else "Variance of codes")
        if self.has_kl:
            ax.axvline(self.threshold, color="#333333", linewidth=0.8, linestyle=":")
            ax.set_title(f"{live.sum()} of {len(live)} live", fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)

    def _heat_map(self, ax, cmap):
        n_rows, n = self.effects.shape
        largest = max(np.abs(self.effects).max(initial=0), 1e-9)
        self.image_ = ax.imshow(self.effects, cmap=cmap, vmin=-largest, vmax=largest, aspect="auto")
        ax.set_xticks(range(n), range(n))
        ax.set_yticks(range(n_rows), [short(name, 28) for name in self.names], fontsize="small")
        ax.set_xlabel("Component")
        ax.set_title("Effect of low to high, in standard deviations", fontsize="medium")
        self.figure_.colorbar(self.image_, ax=ax)
        if n <= _MOST_WITH_NUMBERS:
            for (r, k), effect in np.ndenumerate(self.effects):
                color = "white" if abs(effect) > 0.6 * largest else "#222222"
                ax.text(k, r, f"{effect:.1f}".replace("-0.0", "0.0"), ha="center", va="center", color=color, fontsize=7)

    def _strips(self, ax):
        images = image_values(self.traversals, self.image_shape, type(self).__name__)
        steps = [""] * images.shape[1]
        steps[0], steps[-1] = "low", "high"
        self.image_ = draw_mosaic(ax, images, contrast(images), range(len(images)), steps)


def _refuse_codes_off_the_line(vae, X, caller):
    """Classes and points of a simplex have no low and high end while the others stay."""
    module = vae.module_
    if module.width != module.n_components:
        raise ValueError(f"{caller} moves codes along a line, but {vae._fitted_parts()[0]!r} has classes.")
    if module.prior(module.encode).support is constraints.simplex:
        raise ValueError(
            f"{caller} moves one component while the others stay, which codes of {vae._fitted_parts()[0]!r} cannot."
        )


def _information(vae, Z):
    """(numbers (K,), whether they are a KL)."""
    if hasattr(vae, "kl_per_component_"):
        return np.asarray(on_host(vae.kl_per_component_), dtype=np.float64), True
    return Z.var(0), False


def _traversal(Z, k, shares):
    """Codes (n_steps, K): component k at quantiles of its codes, the others at their mean."""
    path = np.tile(Z.mean(0), (len(shares), 1))
    path[:, k] = np.quantile(Z[:, k], shares)
    return path


def _effects(vae, Z, X, n):
    """Effects (R, n) and names of the rows: one per column of numbers, one per level of the others."""
    ends = np.concatenate([_traversal(Z, k, norm.cdf([-2, 2])) for k in range(n)])
    p = vae.decode(ends)
    mean, probabilities = p.mean.numpy(), _level_probabilities(p)
    rows, names = [], []
    for d, column in enumerate(columns_of(vae)):
        if column.levels is None:
            sd = np.nanstd(X[:, d]) if not np.isnan(X[:, d]).all() else 0.0
            rows.append((mean[1::2, d] - mean[::2, d]) / (sd or 1.0))
            names.append(column.name)
        elif d in probabilities:
            change = 2 * (probabilities[d][1::2] - probabilities[d][::2])
            kept = [1] if len(column.levels) == 2 else range(len(column.levels))
            rows.extend(change[:, c] for c in kept)
            names.extend(f"{short(column.name, 14)} = {short(column.levels[c], 12)}" for c in kept)
    return np.stack(rows), names


def _level_probabilities(p):
    """Column number -> P(level given z) (n, C), of categories and of zeros and ones."""
    found = {}
    for family, columns, part in p.likelihood.parts(p.p):
        for i, d in enumerate(columns):
            C = getattr(p.columns.families[d], "n_classes", 2 if family.units is None else None)
            if C is None:
                continue
            of_level = [part.log_prob(torch.full_like(part.mean, c))[..., i].exp() for c in range(C)]
            found[d] = torch.stack(of_level, -1).double().cpu().numpy()
    return found


class ManifoldDisplay:
    r"""
    Images that the decoder makes of codes of the prior.

    Of one model with two components, the picture of Kingma & Welling (2014, figure 4): a regular grid in the unit
    square goes through the quantile function of the prior, and each point is decoded. Of several models, decoded draws
    of their priors side by side (their figure 5).

    Parameters
    ----------
    values : list of ndarray of shape (n_rows, n_columns, n_features)
        Decoded means of each panel.
    image_shape : tuple of int
        Shape of an image, (H, W) or (C, H, W).
    titles : list of str, default=()
        Of the panels.
    coordinates : ndarray of shape (n, 2) or None, default=None
        Of a grid, the codes in its columns and rows.

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
    skvae.VAETransformer.decode : Codes to distributions over the columns.

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
    >>> ManifoldDisplay.from_estimator(vae, (8, 8), n=5).values[0].shape
    (5, 5, 64)
    """

    def __init__(self, values, image_shape, *, titles=(), coordinates=None):
        self.values = values
        self.image_shape = image_shape
        self.titles = titles
        self.coordinates = coordinates

    @classmethod
    def from_estimator(cls, estimator, image_shape, *, n=15, ax=None, cmap="gray"):
        """
        Decode a grid of quantiles of the prior, and draw it.

        The prior must have independent components with a quantile function: normal, uniform, Laplace and the like.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            Fitted, with two components. Of a Pipeline, images are what the last step sees.
        image_shape : tuple of int
            Shape of an image, (H, W) or (C, H, W).
        n : int, default=15
            Images a side.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        cmap : str, default="gray"
            Colours of images without colours.

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
        quantiles = _prior_quantiles(vae, n, caller)
        grid = np.stack(np.meshgrid(*quantiles.T), -1)[::-1]  # the second component rises upwards
        values = decoded_means(vae, grid.reshape(-1, 2)).reshape(n, n, -1)
        image_values(values, image_shape, caller)
        return cls([values], image_shape, coordinates=quantiles).plot(ax, cmap=cmap)

    @classmethod
    def from_estimators(cls, estimators, image_shape, *, n=8, labels=None, random_state=0, ax=None, cmap="gray"):
        """
        Decode draws of the priors of several models, and draw them side by side.

        Each image is the mean of :math:`p(x | z)` for one draw of z; the prior is the one that ``sample`` draws from.

        Parameters
        ----------
        estimators : list of VAETransformer, or of Pipelines that end in one
            Fitted, of any number of components.
        image_shape : tuple of int
            Shape of an image, (H, W) or (C, H, W).
        n : int, default=8
            Images a side.
        labels : list of str or None, default=None
            Titles; None tells the number of components.
        random_state : int, RandomState instance or None, default=0
            Of the draws.
        ax : matplotlib Axes, array of one per estimator or None, default=None
            Where to draw; a single one is divided, None makes a figure.
        cmap : str, default="gray"
            Colours of images without colours.

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
        values = [decoded_means(vae, _prior_draws(vae, n * n, seed)).reshape(n, n, -1) for vae in vaes]
        for panel in values:
            image_values(panel, image_shape, caller)
        titles = [f"{vae.n_components} components" for vae in vaes] if labels is None else list(labels)
        return cls(values, image_shape, titles=titles).plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """
        Draw the display.

        Black and white are the smallest and largest value of each panel, but for a hundredth of the pixels.

        Parameters
        ----------
        ax : matplotlib Axes, array of one per panel or None, default=None
            Where to draw; a single one is divided, None makes a figure.
        cmap : str, default="gray"
            Colours of images without colours.

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
        n = len(self.values)
        self.axes_ = panels(ax, (1, n), (5.6, 5.6) if n == 1 else (3.6 * n, 3.8), type(self).__name__)[0]
        self.ax_, self.figure_, self.images_ = self.axes_[0], self.axes_[0].figure, []
        gap = None if self.coordinates is None else 0  # neighbours in the plane flow into each other
        for i, (ax_i, values) in enumerate(zip(self.axes_, self.values, strict=True)):
            images = image_values(values, self.image_shape, type(self).__name__)
            self.images_.append(draw_mosaic(ax_i, images, contrast(images), cmap=cmap, gap=gap))
            if len(self.titles):
                ax_i.set_title(self.titles[i])
        if self.coordinates is not None:
            self._label_grid()
        return self

    def _label_grid(self):
        n = len(self.coordinates)
        gapped = np.linspace(0, 1, 2 * n + 1)[1::2]  # middles of the images, as shares of the side
        shown = np.unique(np.linspace(0, n - 1, min(n, 5)).round().astype(int))
        (left, right), (bottom, top) = self.ax_.get_xlim(), self.ax_.get_ylim()
        first, second = self.coordinates[shown].T
        self.ax_.set_xticks(left + gapped[shown] * (right - left), [f"{z:.1f}" for z in first])
        self.ax_.set_yticks(bottom + gapped[shown] * (top - bottom), [f"{z:.1f}" for z in second])
        self.ax_.xaxis.set_ticks_position("bottom")
        self.ax_.set(xlabel="Component 0", ylabel="Component 1")


def _prior_quantiles(vae, n, caller):
    """Quantiles (n, 2) of the prior's two components in the order of `transform`."""
    module = vae.module_
    if module.width != 2:
        raise ValueError(
            f"{caller} draws a plane of codes: it takes n_components=2, but the model has {module.width}. For others "
            "see ManifoldDisplay.from_estimators and ComponentDisplay."
        )
    _, prior, objective = vae._fitted_parts()
    if not objective.uses_prior:
        raise ValueError(f"{caller} takes quantiles of the prior, to which objective={objective!r} draws no code.")
    u = (np.arange(n) + 0.5) / n
    with torch.no_grad():
        p = module.prior(module.encode)
        try:
            if p.event_shape:
                raise NotImplementedError
            z = p.icdf(torch.from_numpy(u)[:, None].expand(-1, 2).to(next(module.parameters())))
        except NotImplementedError:
            raise ValueError(
                f"{caller} needs a prior with independent components and quantiles, as prior='normal' or 'uniform'. "
                f"prior={prior!r} has none; ManifoldDisplay.from_estimators([vae], ...) shows draws of it."
            ) from None
    order, signs = vae._output_map(z)
    return np.sort((z[:, order] * signs).double().cpu().numpy(), axis=0)


def _prior_draws(vae, n, seed):
    """Codes (n, K) in the order of `transform`, from where `sample` takes them."""
    module = vae.module_
    with exclusive(seed, device=vae._device), torch.no_grad():
        z = vae._code_prior(module).sample((n,))
    order, signs = vae._output_map(z)
    return (z[:, order] * signs).double().cpu().numpy()
