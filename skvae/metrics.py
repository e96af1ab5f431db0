"""Numbers about a fitted VAETransformer on a table: reconstruction, information, distances of codes to the prior.

Each takes (estimator, X); a Pipeline whose last step is a VAETransformer will do. `neg_reconstruction_error` has the
signature of a scorer, for GridSearchCV where the model has no `score`.
"""

from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline

from ._inference import evaluation
from ._utils.arrays import on_host
from ._utils.random import exclusive, torch_generator
from .distributions.mmd import mmd

__all__ = [
    "active_units",
    "aggregate_posterior_kl",
    "effective_sample_size",
    "live_components",
    "marginal_log_likelihood",
    "mmd_to_prior",
    "mutual_information",
    "neg_reconstruction_error",
    "reconstruction_error",
]

_ROWS_PER_PAIRING = 2000  # quantities over pairs of rows take a random subset
_DRAWS = 3  # second key of the generator behind draws of codes


def reconstruction_error(estimator: Any, X: Any, y: Any = None) -> float:
    r"""Mean squared error of X against its reconstruction through the centre, per observed cell.

    .. math:: \frac{1}{N} \sum_{i, d} \left( \frac{X_{id} - \hat X_{id}}{scale_d} \right)^2

    The scales are those of the fit: for real columns under ``scaling="standard"`` it is the share of variance that is
    not explained. Counts and booleans have scale 1; a class counts 1 where it is wrong. Columns that are bent ("power",
    "quantile") are compared as the model sees them, with variance 1.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    y : Ignored
        For the API's sake.

    Returns
    -------
    float
        Mean square in units of the squared scales, the lower the better.

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
    >>> 0 < metrics.reconstruction_error(vae, X) < 0.2
    True
    """
    vae, X = _last(estimator, X)
    module, x, mask = vae._read(X, method="transform")
    with torch.no_grad():
        mean = module.decode(module.posterior.center(module.encode(x, mask))[None]).mean[0]
    is_class = torch.tensor([family.n_categories is not None for family in vae._columns.families], device=x.device)
    squares = torch.where(is_class, (x != mean).to(x), (x - mean).square())
    return float(squares.mean() if mask is None else squares[mask].mean())


def neg_reconstruction_error(estimator: Any, X: Any, y: Any = None) -> float:
    """Give minus `reconstruction_error`, as a scorer.

    For searches over models without a `score`, such as autoencoders. Wider codes always reconstruct better where
    nothing overfits: compare models of one width, or look for where the gain ends.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    y : Ignored
        For the API's sake.

    Returns
    -------
    float
        Minus the error, the higher the better.

    See Also
    --------
    reconstruction_error : What it negates.
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


def live_components(estimator: Any, X: Any, threshold: float = 0.05) -> int:
    """Count the components whose mean KL to the prior is above a threshold: those that carry information.

    The count of `kl_per_component_` above the threshold, for the rows of any table.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    threshold : float, default=0.05
        In nats.

    Returns
    -------
    int
        Number of live components, at most n_components.

    See Also
    --------
    active_units : Counts components that move.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> metrics.live_components(VAETransformer(5, max_iter=0).fit(X), X)
    5
    """
    vae, module, x, mask, _ = _codes(estimator, X, "score")
    information = vae._information(module, x, mask, torch.full((len(x),), 1 / len(x)).to(x))
    return int((information > threshold).sum())


def active_units(estimator: Any, X: Any, threshold: float = 0.01) -> int:
    """Count the components whose centre varies over the rows, Var_x E[z given x] > threshold: Burda's active units.

    It counts components that move, which is not the same as carrying information: see `live_components`.

    Burda et al. (2016), section 5.2.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    threshold : float, default=0.01
        Of the variance; a standard normal prior has 1.

    Returns
    -------
    int
        Number of active components, at most the width of the code.

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
    vae, X = _last(estimator, X)
    return int((np.var(on_host(vae.transform(X)), axis=0) > threshold).sum())


def mutual_information(estimator: Any, X: Any, random_state: int = 0) -> float:
    r"""Estimate the information of codes about rows, :math:`I(x; z) = E_x KL(q(z|x) \| q(z))`, in nats.

    The mean KL to the prior is this and `aggregate_posterior_kl`. q(z) is the mixture over the rows at hand, so it is
    at most the logarithm of their number, also where the codes could tell more rows apart. Over at most 2000 rows, a
    random subset. Hoffman & Johnson (2016); He et al. (2019), section 4.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    random_state : int, default=0
        Of the draws and the subset.

    Returns
    -------
    float
        Nats, at most ln n, and at least 0 but for the noise of one draw per row.

    See Also
    --------
    aggregate_posterior_kl : The other part of the KL to the prior.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> 1 < metrics.mutual_information(VAETransformer(2, max_iter=0).fit(X), X) < 3
    True
    """
    return _over_pairs(evaluation.mutual_information, estimator, X, random_state)


def aggregate_posterior_kl(estimator: Any, X: Any, random_state: int = 0) -> float:
    r"""Estimate the KL of all codes together to the prior, :math:`KL(q(z) \| p(z))`, in nats.

    .. math:: KL(q(z) \| p(z)) = E_x KL(q(z|x) \| p(z)) - I(x; z)

    Where it is large, `sample` draws codes that no row has: see ``code_density="mixture"``. Over at most 2000 rows, a
    random subset. Hoffman & Johnson (2016).

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    random_state : int, default=0
        Of the draws and the subset.

    Returns
    -------
    float
        Nats, 0 where the codes fill the prior.

    See Also
    --------
    mutual_information : The other part of the KL to the prior.
    mmd_to_prior : A distance that needs no density.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> metrics.aggregate_posterior_kl(VAETransformer(2, max_iter=0).fit(X), X) < 0.5
    True
    """
    return _over_pairs(evaluation.aggregate_kl, estimator, X, random_state)


def mmd_to_prior(estimator: Any, X: Any, kernel: str = "imq", random_state: int = 0) -> float:
    """Estimate the squared maximum mean discrepancy between codes and draws of the prior.

    Unbiased, so it can be below 0. One draw of z for each of at most 2000 rows. Gretton et al. (2012), lemma 6.

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    kernel : {"imq", "rbf"}, default="imq"
        Means over seven widths of the inverse multiquadratic or the Gaussian kernel.
    random_state : int, default=0
        Of the draws and the subset.

    Returns
    -------
    float
        At most 2, and near 0 where the codes are distributed like the prior.

    See Also
    --------
    aggregate_posterior_kl : The same question in nats, for codes with a density.
    skvae.WAEMMD : The objective that keeps it small.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> metrics.mmd_to_prior(VAETransformer(2, objective="wae_mmd", max_iter=0).fit(X), X) < 0.1
    True
    """
    generator = torch_generator("cpu", random_state, _DRAWS)
    vae, module, x, mask, u = _codes(estimator, X, generator=generator)
    with torch.no_grad(), exclusive(random_state, _DRAWS, device=vae._device):
        z = module.posterior.push(module.encode(x, mask), u)[0]
        return float(mmd(z, module.prior(module.encode).sample((len(z),)), kernel).mean())


def effective_sample_size(estimator: Any, X: Any, n_importance_samples: int = 100, random_state: int = 0) -> np.ndarray:
    """Count the independent draws that the importance weights of each row are worth, (sum w)^2 / sum w^2.

    From 1 to S; S where q is the exact posterior. Near 1 the importance-weighted bound of that row rests on a single
    draw. Kong (1992).

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    n_importance_samples : int, default=100
        Draws of z per row, S.
    random_state : int, default=0
        Of the draws.

    Returns
    -------
    ndarray of shape (n_samples,)
        Effective number of draws of each row.

    See Also
    --------
    marginal_log_likelihood : The number that rests on these weights.

    Examples
    --------
    The start is linear, and its posterior exact:

    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> n_effective = metrics.effective_sample_size(VAETransformer(2, max_iter=0).fit(X), X)
    >>> float(n_effective.min().round())
    100.0
    """
    vae, X = _last(estimator, X, "score")
    generator = torch_generator("cpu", random_state, _DRAWS)
    u = torch.randn(n_importance_samples, 1, vae.module_.n_noise, generator=generator, dtype=torch.float64)
    weights = lambda module, x, mask: evaluation.effective_sample_size(module, x, mask, u.to(x))  # noqa: E731
    return on_host(vae._per_row(X, weights, method="score_samples", n_samples=len(u)))


def marginal_log_likelihood(estimator: Any, X: Any, n_importance_samples: int = 100) -> float:
    """Estimate the mean of ln p(x) by importance sampling, in nats and the units of X.

    In expectation a lower bound, which rises to ln p(x) with the number of draws; the farther q is from the exact
    posterior, the more are needed, which `effective_sample_size` tells. Burda et al. (2016), section 3; Yang's lecture,
    "Estimation of marginal likelihood".

    Parameters
    ----------
    estimator : VAETransformer, or Pipeline that ends in one
        A fitted model.
    X : array-like, frame or CSR of shape (n_samples, n_features)
        Rows; cells may be missing.
    n_importance_samples : int, default=100
        Draws of z per row.

    Returns
    -------
    float
        Mean over the rows.

    See Also
    --------
    effective_sample_size : How far the weights can be relied upon.
    skvae.VAETransformer.score : The evidence lower bound.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer, metrics
    >>> X, _ = load_wine(return_X_y=True)
    >>> vae = VAETransformer(2, max_iter=5, random_state=0).fit(X)
    >>> metrics.marginal_log_likelihood(vae, X) > vae.score(X)
    True
    """
    vae, X = _last(estimator, X, "score")
    return float(np.mean(on_host(vae.score_samples(X, n_importance_samples=n_importance_samples))))


def _last(estimator, X, *needs):
    """The VAETransformer, asked for what the number needs, and the table as it sees it."""
    if isinstance(estimator, Pipeline):
        estimator, X = estimator[-1], estimator[:-1].transform(X) if len(estimator) > 1 else X
    for what in ("codes", *needs):
        if reason := estimator._why_no(what):
            raise ValueError(reason)
    return estimator, X


def _codes(estimator, X, *needs, generator=None):
    """(VAETransformer, module, x, mask, noise) of at most 2000 rows, a random subset where a generator is given."""
    vae, X = _last(estimator, X, *needs)
    module, x, mask = vae._read(X, method="transform")
    if generator is None:
        return vae, module, x, mask, None
    rows = torch.randperm(len(x), generator=generator)[:_ROWS_PER_PAIRING].to(x.device)
    u = torch.randn(1, len(rows), module.n_noise, generator=generator, dtype=torch.float64).to(x)
    return vae, module, x[rows], None if mask is None else mask[rows], u


def _over_pairs(function, estimator, X, random_state):
    generator = torch_generator("cpu", random_state, _DRAWS)
    _, module, x, mask, u = _codes(estimator, X, "score", generator=generator)
    with torch.no_grad():
        return float(function(module, x, mask, u))
