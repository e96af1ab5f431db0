"""Numbers about a fitted VAETransformer on a table: reconstruction, information, distance of latent codes to the prior.

Every function but one takes (estimator, X), where the estimator may also be a Pipeline whose last step is a
VAETransformer. `neg_reconstruction_error` has the signature of a scorer, for GridSearchCV where the model has no
`score`. `synthesis_report` takes tables: synthetic rows from any generator, and real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._inference import evaluation, summaries
from ._inference.effects import explained_shares
from ._inference.fitted import Fitted, fitted_of
from ._inference.last_step import last_step
from ._inference.made_tables import LEAST_ROWS, SynthesisReport, report_on
from ._inference.reading import per_row, read
from ._inference.row_noise import own_noise
from ._inference.summaries import LIVE
from ._utils.arrays import on_host
from ._utils.checks import check_parameters
from ._utils.compat import Interval
from ._utils.random import draw_seed, exclusive, torch_generator
from .distributions.mmd import mmd
from .estimator import VAETransformer
from .model import LatentVariableModel

__all__ = [
    "SynthesisReport",
    "active_units",
    "aggregate_posterior_kl",
    "effective_sample_size",
    "explained_variance_ratio",
    "live_components",
    "marginal_log_likelihood",
    "mmd_to_prior",
    "mutual_information",
    "neg_reconstruction_error",
    "reconstruction_error",
    "synthesis_report",
]

_ROWS_PER_PAIRING = 2000  # quantities over pairs of rows take a random subset
_DRAWS = 3  # second key of the generator behind draws of codes


def reconstruction_error(estimator: Any, X: Any, y: Any = None) -> float:
    r"""Mean squared error of X against its reconstruction through the centre, per observed cell.

    .. math:: \frac{1}{N} \sum_{i, d} \left( \frac{X_{id} - \hat X_{id}}{scale_d} \right)^2

    The scales are those of the fit: for real columns under ``scaling="standard"`` this is the share of variance that
    is not explained. Counts and booleans have scale 1, and a category counts 1 where it is wrong. Transformed columns
    (``scaling="power"`` or "quantile") are compared in model space, where their variance is 1. Columns of `conditions`
    are left out.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    y : Ignored
        Not used; present for API consistency.

    Returns
    -------
    float
        Mean square relative to the squared scales; lower is better.

    See Also
    --------
    neg_reconstruction_error : A scorer.
    skvae.VAETransformer.reconstruct : The reconstruction itself.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, objective="ae", max_iter=5, random_state=0).fit(X)
    >>> round(metrics.reconstruction_error(vae, X), 2)
    0.04
    """
    vae, X = _model(estimator, X, caller="reconstruction_error")
    fitted, module, x, mask = read(vae, X, method="transform")
    with torch.no_grad():
        z = module.center(x, mask)[None]
        mean = module.decode(z, module.given(x, mask)).mean[0]
    if given := fitted.columns.given:  # they are no part of what is reconstructed
        modelled = [d for d in range(x.shape[1]) if d not in given]
        x, mean, mask = x[:, modelled], mean[:, modelled], None if mask is None else mask[:, modelled]
    if mask is not None and not bool(mask.any()):
        raise ValueError("X has no observed cell, so there is nothing to compare with its reconstruction.")
    families = [family for d, family in enumerate(fitted.columns.families) if d not in given]
    is_category = [family.n_categories is not None for family in families]
    squares = torch.where(torch.tensor(is_category, device=x.device), (x != mean).to(x), (x - mean).square())
    return float(squares.mean() if mask is None else squares[mask].mean())


def explained_variance_ratio(estimator: Any, X: Any) -> np.ndarray:
    r"""Share of the variance of the columns that each component explains, in the order of `transform`.

    The reconstruction of a row is built up component by component: part k is the change of the decoder's mean when
    component k is set to the row's code, with the components before it at the row's code and those after it at the mean
    of the codes. The share is what this part adds to :math:`R^2` in a regression of the cells on the parts. So the
    shares are not negative, and their sum is at most 1. In the linear model of PCA they equal
    ``PCA.explained_variance_ratio_`` on the same table. The share of the *information* of a component is
    ``kl_per_component_ / kl_per_component_.sum()``.

    Only columns of numbers and booleans count, each with the same weight, or under ``scaling="global"`` and None in
    their common unit, as in PCA. Categories and `conditions` are left out.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; missing cells are left out.

    Returns
    -------
    ndarray of shape (n_components,)
        Shares of the variance of these rows, between 0 and 1.

    Raises
    ------
    ValueError
        If codes are not coordinates on the real line, such as classes, or no column of numbers has two observed values.

    See Also
    --------
    reconstruction_error : The error that all components together leave.
    live_components : Count those that carry information.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.preprocessing import scale
    >>> from skvae import Gaussian, VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> vae = VAETransformer(3, likelihood=Gaussian(noise="shared"), init="pca", max_iter=0).fit(X)
    >>> metrics.explained_variance_ratio(vae, X).round(3)
    array([0.362, 0.192, 0.111])
    >>> PCA(3).fit(scale(X)).explained_variance_ratio_.round(3)
    array([0.362, 0.192, 0.111])
    """
    vae, X = _model(estimator, X, "codes", caller="explained_variance_ratio")
    if reason := fitted_of(vae).off_the_line:
        raise ValueError(f"explained_variance_ratio adds one component at a time, but {reason}.")
    return explained_shares(vae, X)


def neg_reconstruction_error(estimator: Any, X: Any, y: Any = None) -> float:
    """Give minus `reconstruction_error`, as a scorer.

    It is for searches over models without a `score`, such as autoencoders. Unless a model overfits, more components
    always reconstruct better: compare models with the same number of components, or look for the point where the gain
    ends.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    y : Ignored
        Not used; present for API consistency.

    Returns
    -------
    float
        Minus the error; higher is better.

    See Also
    --------
    reconstruction_error : The error that this negates.
    skvae.VAETransformer.score : The scorer for models with a density.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_iris(return_X_y=True)
    >>> ae = VAETransformer(objective="ae", max_iter=3, random_state=0)
    >>> search = GridSearchCV(ae, {"n_components": [1, 2]}, scoring=metrics.neg_reconstruction_error, cv=2)
    >>> search.fit(X).best_params_
    {'n_components': 2}
    """
    return -reconstruction_error(estimator, X)


def live_components(estimator: Any, X: Any, threshold: float = LIVE) -> int:
    """Count the components whose mean KL to the prior is above a threshold: those that carry information.

    It is the number of entries of `kl_per_component_` above the threshold, computed for the rows of any table.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    threshold : float, default=0.05
        Mean KL in nats above which a component counts.

    Returns
    -------
    int
        Number of live components, at most n_components.

    See Also
    --------
    active_units : Counts components whose centre varies.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> metrics.live_components(VAETransformer(5, max_iter=0).fit(X), X)
    5
    """
    vae, X = _model(estimator, X, "score", caller="live_components")
    fitted, module, x, mask = read(vae, X, method="transform")
    w = torch.full((len(x),), 1 / len(x)).to(x)
    return int((summaries.information(module, x, mask, w, fitted.score_noise.to(x)) > threshold).sum())


def active_units(estimator: Any, X: Any, threshold: float = 0.01) -> int:
    """Count the components whose centre varies over the rows, Var_x E[z given x] > threshold: Burda's active units.

    A component whose centre varies does not have to carry information: see `live_components`. The definition is that of
    Burda et al. (2016), section 5.2.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    threshold : float, default=0.01
        Variance above which a component counts; a standard normal prior has 1.

    Returns
    -------
    int
        Number of active components, at most the width of the latent code.

    See Also
    --------
    live_components : Counts components that carry information.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> metrics.active_units(VAETransformer(5, max_iter=0).fit(X), X)
    5
    """
    vae, X = _model(estimator, X, caller="active_units")
    return int((np.var(on_host(vae.transform(X)), axis=0) > threshold).sum())


def mutual_information(estimator: Any, X: Any, random_state: int = 0) -> float:
    r"""Estimate the information of latent codes about rows, :math:`I(x; z) = E_x KL(q(z|x) \| q(z))`, in nats.

    The mean KL to the prior is the sum of this and `aggregate_posterior_kl`. q(z) is the mixture over the given rows,
    so the estimate is at most the logarithm of their number, even if the latent codes could distinguish more rows. It
    uses a random subset of at most 2000 rows. See Hoffman & Johnson (2016) and He et al. (2019), section 4.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    random_state : int, default=0
        Seed of the draws and of the subset.

    Returns
    -------
    float
        Information in nats, at most ln n, and at least 0 up to the noise of one draw per row.

    See Also
    --------
    aggregate_posterior_kl : The other part of the KL to the prior.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> round(metrics.mutual_information(VAETransformer(2, max_iter=0).fit(X), X), 1)
    2.1
    """
    return _over_pairs(evaluation.mutual_information, estimator, X, random_state, "mutual_information")


def aggregate_posterior_kl(estimator: Any, X: Any, random_state: int = 0) -> float:
    r"""Estimate the KL of the aggregate posterior to the prior, :math:`KL(q(z) \| p(z))`, in nats.

    .. math:: KL(q(z) \| p(z)) = E_x KL(q(z|x) \| p(z)) - I(x; z)

    If it is large, `sample` draws latent codes unlike those of any row. ``prior="auto"`` keeps it small by a prior that
    is fitted to the codes. The estimate uses a random subset of at most 2000 rows. See Hoffman & Johnson (2016).

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    random_state : int, default=0
        Seed of the draws and of the subset.

    Returns
    -------
    float
        Divergence in nats, 0 where the latent codes are distributed like the prior.

    See Also
    --------
    mutual_information : The other part of the KL to the prior.
    mmd_to_prior : A distance that needs no density.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> round(metrics.aggregate_posterior_kl(VAETransformer(2, max_iter=0).fit(X), X), 1)
    0.4
    """
    return _over_pairs(evaluation.aggregate_kl, estimator, X, random_state, "aggregate_posterior_kl")


def mmd_to_prior(estimator: Any, X: Any, kernel: str = "imq", random_state: int = 0) -> float:
    """Estimate the squared maximum mean discrepancy between latent codes and draws of the prior.

    The estimate is unbiased, so it can be below 0. It takes one draw of z for each of at most 2000 rows, by Gretton et
    al. (2012), lemma 6.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    kernel : {"imq", "rbf"}, default="imq"
        The inverse multiquadratic or the Gaussian kernel, each averaged over seven widths.
    random_state : int, default=0
        Seed of the draws and of the subset.

    Returns
    -------
    float
        At most 2, and near 0 where the latent codes are distributed like the prior.

    See Also
    --------
    aggregate_posterior_kl : The same question in nats, for posteriors with a density.
    skvae.WAEMMD : The objective that keeps it small.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> round(metrics.mmd_to_prior(VAETransformer(2, objective="wae_mmd", max_iter=0).fit(X), X), 2)
    0.01
    """
    seed = draw_seed(random_state)
    drawn = _DrawnCodes.of(*_model(estimator, X, caller="mmd_to_prior"), seed)
    module = drawn.module
    with torch.no_grad(), exclusive(seed, _DRAWS, device=drawn.fitted.device):
        z = module.posterior.push(module.encode(drawn.x, drawn.mask), drawn.u)[0]
        return float(mmd(z, module.prior(module.encode).sample((len(z),)), kernel).mean())


def effective_sample_size(estimator: Any, X: Any, n_importance_samples: int = 100, random_state: int = 0) -> np.ndarray:
    """Count the independent draws that the importance weights of each row are worth, (sum w)^2 / sum w^2.

    The number lies between 1 and S, and is S where q is the exact posterior. Where it is near 1, the
    importance-weighted bound of that row depends on a single draw. See Kong (1992).

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    n_importance_samples : int, default=100
        Draws of z per row, S.
    random_state : int, default=0
        Seed of the draws.

    Returns
    -------
    ndarray of shape (n_samples,)
        Effective number of draws of each row.

    See Also
    --------
    marginal_log_likelihood : The estimate that depends on these weights.

    Examples
    --------
    The initialised model is linear, and its posterior is exact:

    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> n_effective = metrics.effective_sample_size(VAETransformer(2, max_iter=0).fit(X), X)
    >>> float(n_effective.min().round())
    100.0
    """
    seed = draw_seed(random_state)
    vae, X = _model(estimator, X, "score", caller="effective_sample_size")
    fitted = fitted_of(vae)

    def size(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: Any) -> Tensor:
        u = own_noise(fitted, rows, x, n_importance_samples, seed, _DRAWS)
        return evaluation.effective_sample_size(module, x, mask, u)

    return on_host(per_row(vae, X, size, "score_samples", n_importance_samples, check_support=True, with_rows=True))


def marginal_log_likelihood(estimator: Any, X: Any, n_importance_samples: int = 100) -> float:
    """Estimate the mean of ln p(x) by importance sampling, in nats and in data space.

    In expectation the estimate is a lower bound, which rises to ln p(x) with the number of draws. The farther q is from
    the exact posterior, the more draws are needed: see `effective_sample_size`. The method is that of Burda et al.
    (2016), section 3; see also Yang's lecture, "Estimation of marginal likelihood".

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows, which may have missing values.
    n_importance_samples : int, default=100
        Draws of z per row.

    Returns
    -------
    float
        Mean log-likelihood of the rows.

    See Also
    --------
    effective_sample_size : How reliable the importance weights are.
    skvae.VAETransformer.score : The evidence lower bound.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> vae = VAETransformer(2, max_iter=5, random_state=0).fit(X)
    >>> round(metrics.marginal_log_likelihood(vae, X) - vae.score(X), 1)  # what the bound lacks, in nats
    0.3
    """
    vae, X = _model(estimator, X, "score", caller="marginal_log_likelihood")
    return float(np.mean(on_host(vae.score_samples(X, n_importance_samples=n_importance_samples))))


def synthesis_report(
    real_train: Any,
    real_test: Any,
    made: Any,
    target: Any = None,
    *,
    max_rows: int = 10_000,
    verbose: int = 0,
    random_state: int | np.random.RandomState | None = 0,
) -> SynthesisReport:
    """Compare synthetic rows with real ones: whether they can be told apart, are useful, or are copies.

    Every number is given beside its value for real rows in place of the synthetic ones: the training rows, or the
    held-out rows where closeness to the training rows is measured. Gradient boosting classifies rows as synthetic or
    held-out in five folds, and predicts the target; neighbours are searched among equally many training and held-out
    rows, for up to 2000 rows, with standardised numbers and a distance of 1 between levels. Missing cells count as
    values of their own throughout, and dates as numbers.

    Parameters
    ----------
    real_train : array-like or frame of shape (n_samples, n_features)
        The rows that the model was fitted to.
    real_test : array-like or frame of shape (n_test, n_features)
        Other rows from the same source, about as many.
    made : array-like or frame of shape (n_made, n_features)
        The synthetic rows, about as many.
    target : str or int, optional
        A column to be predicted from the others, by its name or number.
    max_rows : int, default=10_000
        The largest number of rows used from each table, a random subset; at least 20.
    verbose : int, default=0
        1 prints a line per number, 2 draws a bar.
    random_state : int, RandomState instance or None, default=0
        Seed of subsets and folds.

    Returns
    -------
    SynthesisReport
        The numbers, for synthetic and for real rows.

    Raises
    ------
    ValueError
        Tables with different columns or kinds of cells, a table of fewer than 20 rows, a target that is not a column or
        has only one value.

    See Also
    --------
    skvae.VAETransformer.sample : Draw rows; use ``missing=True`` if the real table has missing cells.
    skvae.display.SynthesisDisplay : Draw the report.

    References
    ----------
    D. Lopez-Paz, M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    C. Esteban, S. L. Hyland, G. Raetsch, "Real-valued (Medical) Time Series Generation with Recurrent Conditional
    GANs", 2017, section 4.1.2 (train on synthetic, test on real).

    Examples
    --------
    Rows of a table whose columns are shuffled have its margins and nothing else:

    >>> import numpy as np
    >>> from skvae.metrics import synthesis_report
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=1500)
    >>> X = np.column_stack([x, x + rng.normal(size=1500) / 5])
    >>> found = synthesis_report(X[:500], X[500:1000], rng.permuted(X[1000:], axis=0), target=1)
    >>> found.made["margins"] < 0.1, found.made["pairs"] > 2 * found.real["pairs"]
    (True, True)
    >>> round(found.made["utility"]), round(found.real["utility"])
    (0, 1)
    """
    numbers = {"max_rows": max_rows, "verbose": verbose}
    at_least = Interval(Integral, LEAST_ROWS, None, closed="left")
    check_parameters({"max_rows": [at_least], "verbose": ["verbose"]}, numbers, "synthesis_report")
    return report_on(real_train, real_test, made, target, max_rows, draw_seed(random_state), int(verbose))


def _model(estimator: Any, X: Any, *needs: str, caller: str) -> tuple[VAETransformer, Any]:
    """Give a snapshot of the VAETransformer and the table as it sees it; every number needs an encoder."""
    return last_step(VAETransformer, estimator, X, "codes", *needs, caller=caller)


@dataclass(frozen=True)
class _DrawnCodes:
    """At most 2000 rows, a random subset, and the noise of one latent code for each."""

    fitted: Fitted
    module: LatentVariableModel
    x: Tensor
    mask: Tensor | None
    u: Tensor

    @classmethod
    def of(cls, vae: VAETransformer, X: Any, seed: int) -> "_DrawnCodes":
        fitted, module, x, mask = read(vae, X, method="transform")
        generator = torch_generator("cpu", seed, _DRAWS)
        rows = torch.randperm(len(x), generator=generator)[:_ROWS_PER_PAIRING].to(x.device)
        u = torch.randn(1, len(rows), module.n_noise, generator=generator, dtype=torch.float64).to(x)
        return cls(fitted, module, x[rows], None if mask is None else mask[rows], u)


def _over_pairs(
    function: Callable[[LatentVariableModel, Tensor, Tensor | None, Tensor], Tensor],
    estimator: Any,
    X: Any,
    random_state: int,
    caller: str,
) -> float:
    """Apply function(module, x, mask, u) to a random subset of the rows and one draw for each."""
    drawn = _DrawnCodes.of(*_model(estimator, X, "score", caller=caller), draw_seed(random_state))
    with torch.no_grad():
        return float(function(drawn.module, drawn.x, drawn.mask, drawn.u))
