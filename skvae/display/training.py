"""`TrainingCurveDisplay`: the bound over the epochs, against linear models."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._inference.fitted import fitted_of
from ..estimator import VAETransformer
from ..objectives.adversarial import VAEGAN
from ..objectives.base import Objective
from ..objectives.bounds import ELBO, IWAE
from ..objectives.decomposed import BetaTCVAE, FactorVAE, InfoVAE
from .live import LivePicture
from .plotting import COLORS, LITERAL, neutral, panels, place_legend, pyplot, vae_behind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TrainingCurveDisplay"]

_LABELS = {
    "reconstruction": "Reconstruction (nats per row)",
    "kl": "KL (nats per row)",
    "mmd": "Squared MMD to the prior",
    "size": "Half the squared length of codes",
    "slopes": "Squared slopes of the decoder",
    "adversarial": "Loss by the critic",
    "auxiliary_loss": "Loss of the critic",
    "mutual_information": "I(x; z) (nats)",
    "total_correlation": "Total correlation (nats)",
    "dimension_wise": "Single components against the prior (nats)",
}
_LEVELS = {"pca": "PCA", "early_factor_analysis": "early factor analysis", "factor_analysis": "factor analysis"}
_STYLES = {"train": (COLORS[5], "-"), "valid": (COLORS[0], "-")}
_NAMES = {"train": "training rows", "valid": "held-out rows"}


class TrainingCurveDisplay:
    """Course of the bound over the epochs, against the linear models that it is initialised with.

    The first panel shows the quantity that training optimises, the others show its parts: reconstruction and KL for
    bounds, and for other objectives the parts that they report. Horizontal lines show the initialised model
    ("initialisation") and, on request, PCA and factor analysis on the same held-out rows and in data space. All
    parameters are stored as attributes.

    Parameters
    ----------
    history : list of dict
        One record per epoch, as in ``VAETransformer.history_``.
    best_iter : int or None, default=None
        The epoch whose state was kept.
    kind : {"elbo", "bound", "loss"}, default="elbo"
        Quantity in the first panel: reconstruction minus KL, the negative loss, or the loss.
    label : str, default="ELBO (nats per row)"
        Axis label of the first panel.
    levels : dict of str to float or None, default=None
        Horizontal lines of the first panel.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        The panels.
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
        Figure that holds them.
    lines_ : dict of str to matplotlib Line2D
        The curves by their names in the history; the first panel's are "train" and "valid".
    level_lines_ : dict of str to matplotlib Line2D
        The horizontal lines.
    best_line_ : matplotlib Line2D or None
        The mark of the best epoch in the first panel.
    legend_ : matplotlib Legend
        Names of all lines of the first panel.

    See Also
    --------
    BoundDisplay : How far the bound is from the log-likelihood.

    Notes
    -----
    Training rows are measured during the epoch, with the draws of the training steps and with dropout; held-out rows
    are measured after the epoch, with the averaged weights that are kept. So the first curve may lie below the second.
    The ELBO has weight 1 on the KL, whatever the weight in training, and no free bits. Held-out numbers and levels come
    from one pair of draws per row, which is the same in every epoch and for every level, so that differences are more
    precise than the numbers themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skvae import VAETransformer
    >>> from skvae.display import TrainingCurveDisplay
    >>> X, _ = load_breast_cancer(return_X_y=True)
    >>> vae = VAETransformer(n_components=5, max_iter=5, random_state=0).fit(X)
    >>> display = TrainingCurveDisplay.from_estimator(vae, X)
    >>> list(display.levels)
    ['initialisation', 'PCA', 'factor analysis']
    """

    def __init__(
        self,
        history: list[dict[str, Any]],
        *,
        best_iter: int | None = None,
        kind: str = "elbo",
        label: str = "ELBO (nats per row)",
        levels: dict[str, float] | None = None,
    ) -> None:
        self.history = history
        self.best_iter = best_iter
        self.kind = kind
        self.label = label
        self.levels = levels

    @classmethod
    def live(cls, *, every: float = 1.0, parts: bool = False) -> Any:
        """Give a callback that draws the curve while a model trains, and redraws it in place.

        In a notebook the figure appears under the cell; elsewhere it is a window, if matplotlib's backend has windows,
        which closes when the training ends.

        Parameters
        ----------
        every : float, default=1.0
            Minimum number of seconds between two pictures; the last epoch is always drawn.
        parts : bool, default=False
            Whether to draw a panel for each part of the objective, too.

        Returns
        -------
        skorch.callbacks.Callback
            For `callbacks` of `VAETransformer`.

        See Also
        --------
        TrainingCurveDisplay.from_estimator : Draw it after the fit, against linear models.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> from skvae.display import TrainingCurveDisplay
        >>> X, _ = load_wine(return_X_y=True)
        >>> vae = VAETransformer(2, max_iter=3, callbacks=[TrainingCurveDisplay.live()], random_state=0).fit(X)
        """
        pyplot(f"{cls.__name__}.live")
        from .._training.watching import Watching  # imports skorch, which `import skvae` does not wait for

        return Watching(LivePicture(partial(_draw_epochs, cls, parts), every, (9.0, 3.5) if parts else (6.6, 3.5)))

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        X_val: Any = None,
        sample_weight: Any = None,
        parts: bool = True,
        ax: Any = None,
        line_kw: dict | None = None,
    ) -> "TrainingCurveDisplay":
        """Draw the history of a fit.

        With the table of the fit, the levels of PCA and of factor analysis are added. For each, a clone with the same
        seed, and so with the same held-out rows, is initialised by it, and the level is its bound before the first
        step, which is the log-likelihood of that linear model. A clone with the initialisation of the model itself
        checks that the table is the same.

        Parameters
        ----------
        estimator : VAETransformer, or Pipeline that ends in one
            A fitted model.
        X : array-like, frame or CSR of shape (n_samples, n_features), default=None
            The table that `fit` saw, for the levels of the linear models.
        X_val : array-like, frame or CSR of shape (n_val, n_features), default=None
            The held-out rows, if `fit` was given some.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights, if `fit` was given some.
        parts : bool, default=True
            Whether to draw a panel for each part of the objective.
        ax : matplotlib Axes, array of one per panel or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        line_kw : dict or None, default=None
            Further arguments of ``Axes.plot`` for the curves.

        Returns
        -------
        TrainingCurveDisplay
            The drawn display.

        See Also
        --------
        TrainingCurveDisplay.plot : Draw it again.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> from skvae.display import TrainingCurveDisplay
        >>> X, _ = load_wine(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=3, random_state=0).fit(X)
        >>> display = TrainingCurveDisplay.from_estimator(vae, parts=False)
        >>> len(display.lines_["valid"].get_xdata())  # the initialised model and three epochs
        4
        """
        caller = cls.__name__
        pyplot(caller)
        vae, X = vae_behind(estimator, X, caller=caller)
        if not vae.history_:
            raise ValueError(f"{caller}: no epoch was trained (max_iter={vae.max_iter}), so there is no history_.")
        if X_val is not None and isinstance(estimator, Pipeline) and len(estimator) > 1:
            X_val = estimator[:-1].transform(X_val)
        kind, label = _kind_of(fitted_of(vae).parts.objective, vae.column_weights is not None)
        levels = {"initialisation": _value(vae.history_[0], "valid", kind)} if _has_initialisation(vae) else {}
        if X is not None:
            levels |= _linear_levels(vae, X, X_val, sample_weight, kind, caller)
        display = cls(vae.history_, best_iter=_best(vae), kind=kind, label=label, levels=levels)
        return display.plot(ax, parts=parts, line_kw=line_kw)

    def plot(self, ax: Any = None, *, parts: bool = True, line_kw: dict | None = None) -> "TrainingCurveDisplay":
        """Draw the display.

        If the first epochs are much worse than the rest, the axis cuts them off at the bottom.

        Parameters
        ----------
        ax : matplotlib Axes, array of one per panel or None, default=None
            Axes to draw on; a single one is divided, and None makes a figure.
        parts : bool, default=True
            Whether to draw a panel for each part of the objective.
        line_kw : dict or None, default=None
            Further arguments of ``Axes.plot`` for the curves.

        Returns
        -------
        TrainingCurveDisplay
            Itself.

        See Also
        --------
        TrainingCurveDisplay.from_estimator : Take the numbers from a fit.

        Examples
        --------
        >>> from skvae.display import TrainingCurveDisplay
        >>> history = [{"epoch": i, "train_reconstruction": -5.0 + i, "train_kl": 1.0} for i in (1, 2, 3)]
        >>> TrainingCurveDisplay(history).plot(parts=False).lines_["train"].get_ydata()
        array([-5., -4., -3.])
        """
        names = _parts_of(self.history) if parts else []
        n = 1 + len(names)
        self.axes_ = panels(ax, (1, n), (6.6 if n == 1 else 5.6 + 3.1 * (n - 1), 3.5), type(self).__name__)[0]
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        self.lines_: dict[str, Any] = {}
        self.level_lines_: dict[str, Any] = {}
        for prefix in ("train", "valid"):
            main = [_value(record, prefix, self.kind) for record in self.history]
            self._curve(self.ax_, prefix, prefix, main, line_kw)
            for ax_i, name in zip(self.axes_[1:], names, strict=True):
                key = f"{prefix}_{name}"
                self._curve(ax_i, key, prefix, [record.get(key, np.nan) for record in self.history], line_kw)
        self._draw_levels()
        self._mark_best()
        self._label(names)
        return self

    def _curve(self, ax: "Axes", key: str, prefix: str, numbers: list[float], line_kw: dict | None) -> None:
        """Draw one number over the epochs that have it."""
        values = np.array(numbers, dtype=np.float64)
        seen = ~np.isnan(values)
        if not seen.any():
            return
        epochs = np.array([record["epoch"] for record in self.history])[seen]
        color, style = _STYLES[prefix]
        options = {"color": color, "linestyle": style, "linewidth": 1.6, "label": _NAMES[prefix], **(line_kw or {})}
        if len(epochs) < 8:
            options = {"marker": "o", "markersize": 4, **options}
        (self.lines_[key],) = ax.plot(epochs, values[seen], **options)

    def _draw_levels(self) -> None:
        for i, (name, value) in enumerate(_merged(self.levels or {}).items()):
            style, color = ("--", ":", "-.", (0, (1, 3)))[i % 4], (neutral(), COLORS[1], COLORS[2], COLORS[3])[i % 4]
            line = self.ax_.axhline(value, color=color, linestyle=style, linewidth=1.4, label=f"{name}: {value:.2f}")
            self.level_lines_[name] = line

    def _mark_best(self) -> None:
        self.best_line_ = None
        if self.best_iter is None:
            return
        for i, ax in enumerate(self.axes_):
            label = f"kept: epoch {self.best_iter}" if i == 0 else None
            line = ax.axvline(self.best_iter, color="#999999", linewidth=1.0, zorder=0, label=label)
            self.best_line_ = line if i == 0 else self.best_line_

    def _label(self, names: list[str]) -> None:
        for ax, label in zip(self.axes_, [self.label, *[_LABELS.get(name, name) for name in names]], strict=True):
            ax.set_xlabel("Epoch")
            ax.set_ylabel(label, **LITERAL)
            ax.spines[["top", "right"]].set_visible(False)
            ax.xaxis.get_major_locator().set_params(integer=True)
        if self.kind != "loss":
            self._leave_out_a_bad_beginning()
        curves = [line for key, line in self.lines_.items() if key in _STYLES]
        handles = [*curves, *self.level_lines_.values(), *([self.best_line_] if self.best_line_ else [])]
        self.legend_ = place_legend(self.axes_[-1], handles, self.ax_, fontsize="small")

    def _leave_out_a_bad_beginning(self) -> None:
        """Let the bottom of the axis follow the curves' lower twentieth, where their lowest point is far below it."""
        curves = [self.lines_[prefix].get_ydata() for prefix in ("train", "valid") if prefix in self.lines_]
        values = np.concatenate([*curves, list((self.levels or {}).values())])
        low, high = min(np.quantile(curve, 0.05) for curve in curves), values.max()
        low = min([low, *(self.levels or {}).values()])
        if high - values.min() > 3 * (high - low) > 0:
            self.ax_.set_ylim(low - 0.1 * (high - low), high + 0.05 * (high - low))


def _draw_epochs(
    display: type[TrainingCurveDisplay],
    parts: bool,
    figure: Any,
    history: list[dict[str, Any]],
    objective: Objective,
    is_weighted: bool,
) -> None:
    """Draw the epochs so far on an empty figure."""
    best = [record["epoch"] for record in history if record.get("event_best")]
    kind, label = _kind_of(objective, is_weighted)
    drawn = display(history, best_iter=best[-1] if best else None, kind=kind, label=label)
    drawn.plot(figure.subplots(), parts=parts)


def _kind_of(objective: Objective, is_weighted: bool) -> tuple[str, str]:
    """Give kind and axis label of what a model is trained for."""
    weighted = ", columns weighted" if is_weighted else ""
    if isinstance(objective, ELBO | VAEGAN | BetaTCVAE | FactorVAE | InfoVAE):  # of the others the bound alone
        return "elbo", f"ELBO (nats per row{weighted})"
    if isinstance(objective, IWAE):
        return "bound", f"Bound of {objective.n_samples} draws (nats per row{weighted})"
    if objective.needs_density or objective.estimates_kl:
        return "bound", f"Bound of {type(objective).__name__} (nats per row{weighted})"
    return "loss", f"Loss of {type(objective).__name__}{weighted}"


def _value(record: Mapping[str, Any], prefix: str, kind: str) -> float:
    """The number of the first panel; NaN where the record has none."""
    if kind == "elbo":
        return record.get(f"{prefix}_reconstruction", np.nan) - record.get(f"{prefix}_kl", np.nan)
    return (1 if kind == "loss" else -1) * record.get(f"{prefix}_loss", np.nan)


def _parts_of(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the objective's parts in their order, without the loss."""
    prefixed = [key.partition("_") for key in history[-1] if key.startswith(("train_", "valid_"))]
    return list(dict.fromkeys(name for _, _, name in prefixed if name != "loss" and not name.startswith("loss_")))


def _has_initialisation(vae: VAETransformer) -> bool:
    """Whether the history opens with the initialised model on held-out rows."""
    return vae.history_[0]["epoch"] == 0 and "valid_loss" in vae.history_[0]


def _best(vae: VAETransformer) -> int | None:
    """The epoch that was kept; None where nothing was there to choose by."""
    return vae.best_iter_ if "event_best" in vae.history_[-1] else None


def _linear_levels(
    vae: VAETransformer, X: Any, X_val: Any, sample_weight: Any, kind: str, caller: str
) -> dict[str, float]:
    """The value of each closed-form linear model on the held-out rows."""
    if not _has_initialisation(vae):
        raise ValueError(
            f"{caller}: this fit held no rows out (early_stopping={vae.early_stopping!r}; 'auto' needs 100 distinct "
            "rows and an objective that can be watched), so there are none on which PCA and factor analysis could be "
            "compared. Leave X away."
        )
    own, first = vae.history_[0], _first_record(vae, vae.init_, X, X_val, sample_weight)
    if not np.isclose(first["valid_loss"], own["valid_loss"], rtol=1e-4, atol=1e-4):
        raise ValueError(
            f"{caller}: the model that this table initialises has the held-out loss {first['valid_loss']:.4f}, that of "
            f"the fit {own['valid_loss']:.4f}: X, X_val or sample_weight are not those that fit saw."
        )
    linear = {"hidden_layer_sizes": (), "encoder": None, "decoder": None}  # whose noise has no background
    records = {i: _first_record(vae, i, X, X_val, sample_weight, **linear) for i in ("pca", "factor_analysis")}
    return {_LEVELS[init]: _value(record, "valid", kind) for init, record in records.items()}


def _first_record(
    vae: VAETransformer, init: str, X: Any, X_val: Any, sample_weight: Any, **parameters: Any
) -> dict[str, Any]:
    """What the model initialised by `init` is worth on the rows that the fit of `vae` held out.

    The fitted seed is the int that the fit's `random_state` became, also where that is None: it decides which rows are
    held out. The initialised model enters the history with the first epoch, whose steps are made too small to move it.
    """
    twin = clone(vae).set_params(
        n_components=vae.n_components_,
        init=init,
        random_state=fitted_of(vae).seed,
        max_iter=1,
        learning_rate=1e-12,
        warm_start=False,
        callbacks=None,
        verbose=0,
        compile=False,
        **parameters,
    )
    return twin.fit(X, sample_weight=sample_weight, X_val=X_val).history_[0]


def _merged(levels: Mapping[str, float]) -> dict[str, float]:
    """Put levels of one value under one name: where the model is initialised by PCA, "initialisation, PCA"."""
    merged: dict[str, float] = {}
    for name, value in levels.items():
        same = next((other for other, number in merged.items() if np.isclose(number, value, rtol=1e-6)), None)
        if same is not None:
            merged = {f"{other}, {name}" if other == same else other: number for other, number in merged.items()}
        else:
            merged[name] = value
    return merged
