"""Methods that score rows and cells: score_samples, score_columns, score, prior_responsibilities."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._inference import evaluation
from .._inference.fitted import IMPORTANCE_STREAM, HoldsFit, fitted_of
from .._inference.reading import per_row
from .._inference.row_noise import own_noise
from .._tables.selection import dense
from .._utils.arrays import on_host
from .._utils.checks import check_count, check_weight
from ..model import LatentVariableModel
from .offered import offered

__all__ = ["Scoring"]


class Scoring(HoldsFit):
    """The methods that score rows and cells."""

    @offered("codes", "score")
    def score_samples(self, X: Any, n_importance_samples: int | None = None) -> Any:
        """Give the evidence lower bound of each row in nats, in data space.

        The KL has weight 1 whatever the objective was, and the log-Jacobian of the scaling is included, so that the
        number is comparable with ``PCA.score_samples`` and ``FactorAnalysis.score_samples`` on the same table. It is
        deterministic, does not depend on the other rows, and is exact for a linear-Gaussian model. Missing cells are
        left out, and with `conditions` the bound is one on ln p(x | c). A column that was constant in `fit` adds 0
        nats, and -20 in a row with another value, so that scores are comparable on the columns that vary. A cell more
        than 1e12 standard deviations from the mean counts as that far.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        n_importance_samples : int, optional
            The number of independent draws in the importance-weighted bound log mean_s p(x, z_s) / q(z_s | x), which is
            then returned instead (Burda et al. 2016, section 3). It is tighter, and equal to log p(x) in the limit.
            Each row has its own draws, seeded by its standardised cells.

        Returns
        -------
        ndarray of shape (n_samples,)
            One bound per row; the lower, the more unusual the row.

        See Also
        --------
        score : Give their mean.
        score_columns : Find the cell that makes a row unusual.
        metrics.effective_sample_size : Check whether the importance weights are reliable.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from skvae import VAETransformer
        >>> X, _ = load_breast_cancer(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=5, random_state=0).fit(X)
        >>> gain = vae.score_samples(X, n_importance_samples=50) - vae.score_samples(X)  # in nats
        >>> float(gain.mean().round(1))
        0.4
        """
        fitted, n_samples = fitted_of(self), n_importance_samples
        if n_samples is not None:
            check_count("n_importance_samples", n_samples, "score_samples")

        def score(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: Any) -> Tensor:
            if n_samples is None:
                value = evaluation.elbo(module, x, mask, fitted.score_noise.to(x))
            else:
                u = own_noise(fitted, rows, x, n_samples, fitted.seed, IMPORTANCE_STREAM)
                value = evaluation.importance_weighted(module, x, mask, u)
            return value + fitted.columns.log_jacobian(rows, mask).to(value)

        n_draws = n_samples or len(fitted.score_noise)
        return per_row(self, X, score, "score_samples", n_draws, check_support=True, with_rows=True)

    @offered("codes", "score")
    def score_columns(self, X: Any) -> Any:
        r"""Give the log-density of each cell, :math:`\ln E_{q(z|x)}\, p_d(x_d | z)`, to find unusual ones.

        It is in nats, in data space, averaged over the draws of `score_samples`. Low numbers mark cells that are
        unlikely given the row's latent code; compare a cell with its column, since each column has its own unit. The
        posterior has seen the cell that is scored: `impute` the row without it for a prediction from the others. The
        posterior follows a column that has hardly any noise, and then the row's other cells look unusual;
        ``init="pca"`` makes that rarer. A row far from the others may have a low score without an unusual cell, since
        the KL belongs to no column.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Log-densities; NaN for missing cells, for categories that `fit` has not seen, and for columns of
            `conditions`.

        See Also
        --------
        score_samples : Give one number per row.
        impute : Predict cells from the others.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, init="pca", max_iter=20, random_state=0).fit(X)
        >>> X[0, 2] = 6.5  # a petal five times too long
        >>> int(vae.score_columns(X)[0].argmin())
        2
        """
        fitted = fitted_of(self)

        def score(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: Any) -> Tensor:
            z = module.posterior.push(module.encode(x, mask), fitted.score_noise.to(x))
            log_px = module.decode(z, module.given(x, mask)).log_prob(x).logsumexp(0) - math.log(len(z))
            slopes = torch.from_numpy(fitted.columns.log_slopes(dense(on_host(rows)).astype(np.float64)))
            log_px = log_px + slopes.to(log_px)
            log_px[:, fitted.columns.given] = torch.nan
            return log_px if mask is None else torch.where(mask, log_px, torch.nan)

        n_samples = len(fitted.score_noise)
        return per_row(self, X, score, "score_columns", n_samples, check_support=True, with_rows=True)

    @offered("codes", "score", delegates=True)
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Give the mean of `score_samples`: the evidence lower bound per row in nats, in data space.

        This is a lower bound on the log-likelihood, so that grid searches and comparisons with other densities need no
        scorer. The method is hidden where the posterior has no density.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : Ignored
            Not used, present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows in the mean.

        Returns
        -------
        float
            The mean bound, the higher the better.

        See Also
        --------
        score_samples : Give the bound of each row.
        metrics.marginal_log_likelihood : Give a tighter bound.
        metrics.neg_reconstruction_error : Score models without a density.

        Examples
        --------
        The initialisation with one noise variance for all columns is PCA on standardised columns, with the score in
        data space:

        >>> import numpy as np
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.decomposition import PCA
        >>> from skvae import Gaussian, VAETransformer
        >>> X, _ = load_wine(return_X_y=True)
        >>> vae = VAETransformer(2, likelihood=Gaussian(noise="shared"), init="pca", max_iter=0).fit(X)
        >>> standardised = (X - X.mean(axis=0)) / X.std(axis=0)
        >>> exact = PCA(n_components=2).fit(standardised).score(standardised) - np.log(X.std(axis=0)).sum()
        >>> round(vae.score(X), 2), round(float(exact), 2)
        (-20.26, -20.26)
        """
        bound = on_host(self.score_samples(X)).astype(np.float64)
        weight = None if sample_weight is None else check_weight(sample_weight, len(bound))
        return float(np.average(bound, weights=weight))

    @offered("codes", "mixture")
    def prior_responsibilities(self, X: Any) -> Any:
        r"""Give the membership of each row in the members of a mixture prior, :math:`E_{q(z|x)}\, p(m | z)`.

        They are a soft clustering of the rows, averaged over the draws of `score_samples`, and exist for
        `NormalMixture` and `VampPrior`, and for the mixture that ``prior="auto"`` may have fitted.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_members)
            Probabilities; each row sums to one.

        See Also
        --------
        NormalMixture : A mixture of normal members.
        VampPrior : A mixture of posteriors of pseudo-inputs.
        predict : Give the most probable member, where `prior` is a mixture.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import NormalMixture, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(2, prior=NormalMixture(n_members=3), max_iter=5, random_state=0).fit(X)
        >>> vae.prior_responsibilities(X).shape
        (150, 3)
        """
        fitted = fitted_of(self)

        def memberships(module: LatentVariableModel, x: Tensor, mask: Tensor | None) -> Tensor:
            return evaluation.memberships(module, x, mask, fitted.score_noise.to(x))

        return per_row(self, X, memberships, method="prior_responsibilities", n_samples=len(fitted.score_noise))
