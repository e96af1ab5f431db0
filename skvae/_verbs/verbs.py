"""What a fitted VAETransformer can do. Verbs without meaning for the model at hand are hidden, with the reason.

Codes that leave the estimator are in its own order: code k is signs_[k] times component order_[k] of the module.
"""

import copy
import math
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch.distributions import Distribution

from .._inference import evaluation
from .._inference.code_density import as_normal_mixture
from .._inference.decoded import N_NODES, InDataSpace
from .._inference.imputation import SHARE_OF_THE_PRIOR, Draws, effective_size, expected_values, weighted_draws
from .._tables import decoding, encoding
from .._tables.encoding import encode
from .._tables.lazy import refuse_lazy
from .._tables.selection import dense
from .._utils.arrays import accepted_dtypes, as_tensor, float_dtypes, like, on_host, torch_float
from .._utils.checks import check_count, check_weight
from .._utils.compat import check_same_namespace
from .._utils.random import draw_seed, exclusive, torch_generator
from .._utils.threads import limited_threads
from ..distributions.latent import reordered

__all__ = ["IMPORTANCE_STREAM", "SCORE_STREAM", "Verbs"]

#: Second keys of the generators of frozen noise.
SCORE_STREAM, IMPORTANCE_STREAM, IMPUTATION_STREAM = 1, 2, 3


_POOR = 10  # draws: weights worth fewer are nothing to rely on


_POOR_SHARE = 0.1


_CANDIDATES = 2000  # codes from each of posterior and prior, for rows with given cells


_FEW_NODES = 9  # per code, of the means in data units that are averaged over many codes


def _if_has(*what, to_fit=False):
    """Offer a verb only to models that have "codes", a "score" or a "mixture" prior; fitted, or `to_fit`."""

    def check(estimator):
        for name in what:
            reason = estimator._why_no(name, to_fit)
            if reason:
                raise AttributeError(reason)
        return True

    return available_if(check)


class Verbs(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The verbs of `VAETransformer`; they read what `fit` has set and change nothing."""

    def transform(self, X: Any) -> Any:
        """Encode rows as the centres of their posteriors, most informative component first.

        The centre is the mean where it is finite, else the median or location; a Monte-Carlo mean with frozen draws
        for flows and implicit posteriors; the class probabilities of categorical codes.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Codes, float32 for float32 input, else float64; a frame after ``set_output``.

        See Also
        --------
        encode : The whole posterior of each row.
        inverse_transform : The way back.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> iris = load_iris(as_frame=True).data
        >>> vae = VAETransformer(n_components=2, max_iter=0).set_output(transform="pandas").fit(iris)
        >>> vae.transform(iris).round(2).head(2)
           vaetransformer0  vaetransformer1
        0             -1.36             0.46
        1             -1.32            -0.72
        """

        def codes(module, x, mask):
            center = module.posterior.center(module.encode(x, mask))
            order, signs = self._output_map(center)
            return center.index_select(1, order).mul_(signs)  # a sixth of the time of center[:, order]

        return self._per_row(X, codes, method="transform")

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit to the rows of X and encode them.

        The same as `fit` and then `transform`; rows that were held out for early stopping are encoded like the others.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : Ignored
            For the API's sake.
        **fit_params : dict
            Further parameters of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Codes, as `transform` gives them.

        See Also
        --------
        fit : Takes the same parameters.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAETransformer(n_components=2, max_iter=0).fit_transform(X).shape
        (150, 2)
        """
        return self.fit(X, y, **fit_params).transform(X)

    @_if_has("codes")
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Name the columns of `transform`: "vaetransformer0", "vaetransformer1", ...

        A one-hot variable has a column for each class, "vaetransformer0_2" for class 2 of variable 0.

        Parameters
        ----------
        input_features : Ignored
            For the API's sake.

        Returns
        -------
        ndarray of str
            One name per column.

        See Also
        --------
        transform : Has these names after ``set_output``.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAETransformer(n_components=2, max_iter=0).fit(X).get_feature_names_out()
        array(['vaetransformer0', 'vaetransformer1'], dtype=object)
        """
        names = super().get_feature_names_out(input_features)
        n_classes = self.module_.width // self.module_.n_components
        if n_classes == 1:
            return names
        return np.array(
            [f"{name}_{c}" for name in names[: self.module_.n_components] for c in range(n_classes)], object
        )

    @_if_has("codes")
    def encode(self, X: Any) -> Distribution:
        """Give q(z given x) of every row as a torch distribution, in the order and signs of `transform`.

        It can be drawn from, and has `log_prob` where the posterior has a density. It outlives later fits.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        torch.distributions.Distribution
            Batch shape (n_samples, n_components) where components are independent, else (n_samples,).

        See Also
        --------
        transform : Its centre.
        decode : The other half of the model.

        Examples
        --------
        How well two components are known, where nothing is missing and where only one cell is left:

        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> X[0, 1:] = np.nan
        >>> vae.encode(X[:2]).stddev.numpy().round(2)
        array([[0.42, 0.78],
               [0.09, 0.31]])
        """
        module, x, mask = self._read(X, method="encode")
        module = copy.deepcopy(module).requires_grad_(False)  # q may outlive this call and draw through the module
        return reordered(module.encode(x, mask), *self._output_map(x))

    def decode(self, Z: Any) -> InDataSpace:
        """Give p(x given z) of codes as one distribution over the columns, in data units.

        Its `log_prob` is that of each column, with the log-Jacobian of the scaling; `mean` and `variance` of a bent
        column are by quadrature.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Codes, in the order and signs of `transform`.

        Returns
        -------
        InDataSpace
            A distribution with `log_prob` per column, `mean`, `mode`, `variance` and `sample`; batch shape
            (n_samples, n_features).

        See Also
        --------
        inverse_transform : Its mean, in the types of the table.
        encode : The other half of the model.

        Examples
        --------
        The spread that one code leaves to the columns, beside that of the whole table:

        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> p = VAETransformer(n_components=2, max_iter=0).fit(X).decode([[0.0, 0.0]])
        >>> p.variance.sqrt().numpy().round(2)
        array([[0.33, 0.12, 0.18, 0.2 ]])
        >>> X.std(axis=0).round(2)
        array([0.83, 0.43, 1.76, 0.76])
        """
        module, z = self._codes(Z)
        with torch.no_grad():
            p = module.decode(z)
        return InDataSpace(p, module.likelihood, self._columns)

    @_if_has("codes")
    def reconstruct(self, X: Any, sample: bool = False, random_state: int | np.random.RandomState | None = None) -> Any:
        """Encode and decode rows: through the centre to the mean, or the stochastic test phase.

        Without draws it is ``inverse_transform(transform(X))``, in one pass. Ghojogh's lecture, "The Test Phase in
        Variational Autoencoder".

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        sample : bool, default=False
            Whether to draw z ~ q(z given x) and then x ~ p(x given z).
        random_state : int, RandomState instance or None
            Of the draws; None asks the operating system for a seed.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            Rows as the model sees them, the observed cells, too; means, or draws that are like the table.

        See Also
        --------
        impute : Keeps the observed cells.
        metrics.reconstruction_error : How far the reconstruction is off.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> vae.reconstruct(X[:1]).round(1)
        array([[5. , 3.5, 1.4, 0.2]])
        >>> vae.reconstruct(X[:1], sample=True, random_state=0).round(1)
        array([[4.8, 3.5, 1.2, 0.2]])
        """

        def through_the_center(module, x, mask):
            return self._in_data_units(module, module.posterior.center(module.encode(x, mask))[None]).mean[0]

        def drawn(module, x, mask):
            q = module.encode(x, mask)
            u = torch.randn(1, len(x), module.n_noise, dtype=x.dtype, device=x.device)
            return self._in_data_units(module, module.posterior.push(q, u)).draw()[0]

        index = X.index if hasattr(X, "iloc") else None
        with exclusive(draw_seed(random_state) if sample else 0, device=getattr(self, "_device", "cpu")):
            data = self._per_row(X, drawn if sample else through_the_center, "reconstruct", self._n_nodes)
        return decoding.draws(self._schema, data, index) if sample else decoding.means(self._schema, data, index)

    @_if_has("codes", "mixture")
    def prior_responsibilities(self, X: Any) -> Any:
        r"""Give the membership of each row in the members of a mixture prior, :math:`E_{q(z|x)}\, p(m | z)`.

        A soft clustering of the rows, over the draws of `score_samples`. Offered for `NormalMixture` and `VampPrior`
        only.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_members)
            Probabilities; rows sum to one.

        See Also
        --------
        NormalMixture : A prior with members.
        VampPrior : Another one.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import NormalMixture, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(2, prior=NormalMixture(n_members=3), max_iter=5, random_state=0).fit(X)
        >>> vae.prior_responsibilities(X).shape
        (150, 3)
        """

        def memberships(module, x, mask):
            p = module.prior(module.encode)
            z = module.posterior.push(module.encode(x, mask), self._score_noise.to(x))
            return (
                (p.mixture_distribution.logits + p.component_distribution.log_prob(z[..., None, :])).softmax(-1).mean(0)
            )

        return self._per_row(X, memberships, method="prior_responsibilities", n_samples=len(self._score_noise))

    @_if_has("codes")
    def inverse_transform(self, Z: Any) -> Any:
        """Decode codes to the mean of p(x given z) in data units; of a category, its most probable level.

        For bent columns the mean is taken after they are bent back, by quadrature.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Codes, in the order and signs of `transform`.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            Means are floats, those of booleans probabilities; categories have the levels and the dtype of the fitted
            column. A pandas frame keeps the index of Z.

        See Also
        --------
        decode : The whole distribution.
        sample : Rows that are like the table.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> iris = load_iris(as_frame=True).data
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(iris)
        >>> vae.inverse_transform([[0.0, 0.0]]).round(2)
           sepal length (cm)  sepal width (cm)  petal length (cm)  petal width (cm)
        0               5.84              3.06               3.76               1.2
        """
        index = Z.index if hasattr(Z, "iloc") else None
        refuse_lazy(Z, "Z")
        Z = check_array(Z, dtype=float_dtypes(Z), input_name="Z")
        module, z = self._codes(Z)
        with limited_threads(len(z) * module.work(1)), torch.no_grad():
            parts = z.split(evaluation.chunk_rows(module, self._n_nodes))
            mean = torch.cat([self._in_data_units(module, part[None]).mean[0] for part in parts])
        return decoding.means(self._schema, like(mean.to(torch_float(Z.dtype)), Z), index)

    @_if_has("codes", "score")
    def score_samples(self, X: Any, n_importance_samples: int | None = None) -> Any:
        """Give the evidence lower bound of each row in nats and in the units of X.

        The KL has weight 1 whatever was trained, and the log-Jacobian of the scaling is included; so the number
        compares with ``PCA.score_samples`` and ``FactorAnalysis.score_samples`` on the same table. Deterministic,
        row by row, and exact for a linear-Gaussian model. Missing cells are left out.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        n_importance_samples : int, optional
            Give the importance-weighted bound log mean_s p(x, z_s) / q(z_s | x) with that many independent draws
            instead (Burda et al. 2016, section 3): tighter, and equal to log p(x) in the limit.

        Returns
        -------
        ndarray of shape (n_samples,)
            One bound per row; the lower, the odder the row.

        See Also
        --------
        score : Their mean.
        score_columns : Which cell makes a row odd.
        metrics.effective_sample_size : Whether the importance weights can be relied upon.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from skvae import VAETransformer
        >>> X, _ = load_breast_cancer(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=5, random_state=0).fit(X)
        >>> bool(vae.score_samples(X, n_importance_samples=50).mean() > vae.score_samples(X).mean())
        True
        """
        check_is_fitted(self)
        bound, u = evaluation.elbo, self._score_noise
        if n_importance_samples is not None:
            check_count("n_importance_samples", n_importance_samples, "score_samples")
            generator = torch_generator("cpu", self._seed, IMPORTANCE_STREAM)
            shape = (n_importance_samples, 1, self.module_.n_noise)
            bound, u = evaluation.importance_weighted, torch.randn(shape, generator=generator, dtype=torch.float64)

        def score(module, x, mask, rows):
            value = bound(module, x, mask, u.to(x))
            return value + self._columns.log_jacobian(rows, mask).to(value)

        return self._per_row(X, score, "score_samples", len(u), check_support=True, with_rows=True)

    @_if_has("codes", "score")
    def score_columns(self, X: Any) -> Any:
        r"""Give the log-density of each cell, :math:`\ln E_{q(z|x)}\, p_d(x_d | z)`, to find out which one is odd.

        In nats and in the units of X, over the draws of `score_samples`. Low numbers are cells that the row's code does
        not lead one to expect; compare a cell with its column, since each column has its own unit. The posterior has
        seen the cell that it judges: `impute` the row without it to hear what the others say. It follows a column with
        hardly any noise of its own, and then the row's other cells look odd; ``init="pca"`` makes that rarer. A row
        that lies far out may have a low score without an odd cell, since the KL is in no column.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Log-densities; NaN where a cell is missing, or holds a category that fit has not seen.

        See Also
        --------
        score_samples : One number per row.
        impute : What should have stood there.

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
        check_is_fitted(self)

        def score(module, x, mask, rows):
            z = module.posterior.push(module.encode(x, mask), self._score_noise.to(x))
            log_px = module.decode(z).log_prob(x).logsumexp(0) - math.log(len(z))
            slopes = torch.from_numpy(self._columns.log_slopes(dense(on_host(rows)).astype(np.float64)))
            log_px = log_px + slopes.to(log_px)
            return log_px if mask is None else torch.where(mask, log_px, torch.nan)

        n_samples = len(self._score_noise)
        return self._per_row(X, score, "score_columns", n_samples, check_support=True, with_rows=True)

    @_if_has("codes")
    def impute(
        self,
        X: Any,
        n_draws: int | None = None,
        n_importance_samples: int = 500,
        random_state: int | np.random.RandomState | None = None,
    ) -> Any:
        r"""Fill the missing cells of X: with conditional means and modes, or with draws.

        Self-normalised importance sampling with codes of the row's posterior and of the prior,

        .. math:: E[f(x_{mis}) | x_{obs}] \approx \sum_s w_s E[f(x_{mis}) | z_s], \quad
            w_s \propto p(x_{obs} | z_s)\, p(z_s) / r(z_s)

        (Mattei & Frellsen 2019, eq. 10). Codes without a density have no weights: there cells come from the centre.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows with missing cells, of which fit need not have seen any.
        n_draws : int, optional
            Give that many tables, the missing cells of each drawn from p(x_mis | x_obs), for multiple imputation; None
            for one table of conditional means, and modes of categories and booleans.
        n_importance_samples : int, default=500
            S, codes per row.
        random_state : int, RandomState instance or None
            Of the draws of tables; means are deterministic.

        Returns
        -------
        like X, or list of such
            Observed cells as they were; columns have the dtypes that fit saw, integers are whole and booleans are
            booleans. A column without any observed cell in fit has no model: numbers become 0, others stay missing.

        Warns
        -----
        UserWarning
            For a tenth of the rows or more, the weights are worth fewer than ten draws.

        See Also
        --------
        sample : New rows, with some cells given.
        reconstruct : The observed cells as the model sees them.
        sklearn.impute.KNNImputer : Means over the most similar rows.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> holes = X.copy()
        >>> holes[0, 2] = np.nan
        >>> vae = VAETransformer(n_components=2, max_iter=20, random_state=0).fit(X)
        >>> bool(abs(vae.impute(holes)[0, 2] - X[0, 2]) < 0.3)
        True
        """
        check_is_fitted(self)
        check_count("n_importance_samples", n_importance_samples, "impute")
        if n_draws is not None:
            check_count("n_draws", n_draws, "impute")
        table = self._validate(X, reset=False)
        values, missing = dense(on_host(table)).astype(np.float64), encoding.missing(self._schema, on_host(X))
        rows = np.flatnonzero(missing.any(1))
        seed = self._seed if n_draws is None else draw_seed(random_state)
        drawn, sizes = self._imputed(table[rows], n_draws, n_importance_samples, seed)
        self._warn_of_poor_weights(sizes)
        tables = []
        for draw in drawn:
            values[rows] = draw
            tables.append(decoding.fill(self._schema, X, values, missing))
        return tables[0] if n_draws is None else tables

    def _imputed(self, table, n_draws, n_importance_samples, seed):
        """Values (n_draws or 1, n, D) of rows in data units, and the effective sample size of each, (n,)."""
        n_tables = n_draws or 1
        if not table.shape[0]:
            return np.zeros((n_tables, 0, table.shape[1])), np.zeros(0)
        n_prior = int(SHARE_OF_THE_PRIOR * n_importance_samples)
        generator = torch_generator("cpu", seed, IMPUTATION_STREAM)
        u = torch.randn(n_importance_samples - n_prior, 1, self.module_.n_noise, generator=generator)

        def imputed(module, x, mask):
            draws = self._draws_given(module, x, mask, u.to(x), z_prior.to(x))
            size = effective_size(draws).cpu().double()
            if n_draws is None:
                p = InDataSpace(draws.p, module.likelihood, self._columns, n_nodes=_FEW_NODES)
                values = expected_values(p, draws.w)[None]
            else:
                values = self._in_data_units(module, draws.resampled(n_draws)).draw()
            return torch.cat([values.transpose(0, 1).flatten(1), size[:, None]], 1)

        n_samples = n_importance_samples * (_FEW_NODES if self._columns.maps else 1)
        with exclusive(seed, device=self._device), torch.no_grad():
            z_prior = self._code_prior(self.module_).sample((n_prior,))  # the same for all rows, as u is
            numbers = on_host(self._over_chunks(table, imputed, n_samples, dtype=torch.float32))
        values = numbers[:, :-1].reshape(len(numbers), n_tables, -1).transpose(1, 0, 2)
        return values.astype(np.float64), numbers[:, -1]

    def _draws_given(self, module, x, mask, u, z_prior):
        """Weighted codes of rows, from noise u and draws z_prior of the prior; without density, the centre alone."""
        if self._why_no("score"):
            z = module.posterior.center(module.encode(x, mask))[None]
            return Draws(z, z.new_zeros(z.shape[:2]), module.decode(z))
        return weighted_draws(module, x, mask, u, z_prior, self._code_prior(module))

    def _warn_of_poor_weights(self, sizes):
        if self._why_no("score") or not len(sizes) or (sizes < _POOR).mean() < _POOR_SHARE:
            return
        warnings.warn(
            f"The importance weights of {(sizes < _POOR).mean():.0%} of the rows are worth fewer than {_POOR} draws: "
            "their imputed cells are uncertain. Raise n_importance_samples, or fit on a table that has such holes.",
            UserWarning,
            stacklevel=3,
        )

    @_if_has("codes", "score")
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Give the mean of `score_samples`: the evidence lower bound per row in nats, in the units of X.

        A lower bound of the log-likelihood, so that grid searches and comparisons with other densities need no scorer.
        Where the posterior has no density, the method is not there.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : Ignored
            For the API's sake.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows in the mean.

        Returns
        -------
        float
            The mean bound, the higher the better.

        See Also
        --------
        score_samples : The bound of each row.
        metrics.marginal_log_likelihood : A tighter bound.
        metrics.neg_reconstruction_error : A scorer for models without a density.

        Examples
        --------
        The start with one noise for all columns is PCA on standardised columns, and the score is in the units of X:

        >>> import numpy as np
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.decomposition import PCA
        >>> from skvae import Gaussian, VAETransformer
        >>> X, _ = load_wine(return_X_y=True)
        >>> vae = VAETransformer(2, likelihood=Gaussian(noise="shared"), init="pca", max_iter=0).fit(X)
        >>> standardised = (X - X.mean(axis=0)) / X.std(axis=0)
        >>> exact = PCA(n_components=2).fit(standardised).score(standardised) - np.log(X.std(axis=0)).sum()
        >>> bool(abs(vae.score(X) - exact) < 0.01)
        True
        """
        bound = on_host(self.score_samples(X)).astype(np.float64)
        weight = None if sample_weight is None else check_weight(sample_weight, len(bound))
        return float(np.average(bound, weights=weight))

    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        given: dict | None = None,
    ) -> Any:
        """Draw rows from the model: z ~ p(z), x ~ p(x given z), in data units.

        With ``code_density="mixture"``, and for a plain autoencoder, which has no prior, z comes from a Gaussian
        mixture fitted to the codes, `code_density_`.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None
            Of the draws; None asks the operating system for a seed.
        given : dict, optional
            Values of some columns, ``{"sex": "female", "age": 40}``, by name or, for arrays, by number: the other cells
            are drawn given these, by importance resampling of codes of their posterior and of the prior.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            A frame's columns have the dtypes that fit saw: integers are whole, floats have as many decimals as the
            fitted ones, categories their levels.

        Raises
        ------
        ValueError
            An unknown column, or a value that it cannot have.

        Warns
        -----
        UserWarning
            The weights of the given cells are worth fewer than ten draws: a rare combination.

        See Also
        --------
        decode : The distribution that rows of given codes are drawn from.
        impute : Fills the missing cells of rows.

        Examples
        --------
        Flowers with a petal of 6 cm have wide ones:

        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> vae.sample(500, random_state=0).mean(axis=0).round(1)
        array([5.9, 3. , 3.8, 1.2])
        >>> vae.sample(500, random_state=0, given={2: 6.0}).mean(axis=0).round(1)
        array([6.7, 2.8, 6. , 2.1])
        """
        check_is_fitted(self)
        check_count("n_samples", n_samples, "sample")
        module = copy.deepcopy(self.module_).cpu().double()
        row = None if given is None else self._given_row(given)
        with exclusive(draw_seed(random_state)), torch.no_grad():
            z = (
                self._code_prior(module).sample((n_samples,))
                if row is None
                else self._codes_given(module, row, n_samples)
            )
            values = self._in_data_units(module, z[None]).draw()[0].numpy()
        if row is None:
            return decoding.draws(self._schema, values)
        is_given = ~np.isnan(row)
        return decoding.draws(self._schema, np.where(is_given, row, values), exact=np.flatnonzero(is_given))

    def _given_row(self, given):
        """The given cells as a row (1, D) of which the others are missing."""
        if self._why_no("codes") or self._why_no("score"):
            posterior, _, objective = self._fitted_parts()
            raise ValueError(
                "sample(given=...) weighs codes by the density of their posterior, which a model with "
                f"objective={objective!r} and posterior={posterior!r} does not have. Use objective='elbo'."
            )
        row = encoding.given_row(self._schema, given)
        self._columns.check_support(row)
        return row

    def _codes_given(self, module, row, n_samples):
        """Codes (n_samples, K) of p(z | given cells); candidates come from their posterior and the prior alike."""
        n_each = max(_CANDIDATES, 2 * n_samples)
        x, mask = self._columns.tensors(row, "cpu", torch.float64)
        u = torch.randn(n_each, 1, module.n_noise, dtype=torch.float64)
        draws = self._draws_given(module, x, mask, u, self._code_prior(module).sample((n_each,)))
        if effective_size(draws).item() < _POOR:
            warnings.warn(
                f"The given cells are so rare that {2 * n_each} weighted codes are worth fewer than {_POOR} draws.",
                UserWarning,
                stacklevel=3,
            )
        return draws.resampled(n_samples)[:, 0]

    def _code_prior(self, module):
        """Where codes are drawn from: the mixture fitted to the codes, or the prior."""
        if hasattr(self, "code_density_"):
            return as_normal_mixture(self.code_density_, next(module.parameters()))
        return module.prior(module.encode)

    def _in_data_units(self, module, z):
        """p(x given z) of codes z (S, B, K) of the module's own order, in data units."""
        return InDataSpace(module.decode(z), module.likelihood, self._columns)

    @property
    def _n_nodes(self):
        """Values per cell behind a mean in data units."""
        return N_NODES if self._columns.maps else 1

    @property
    def _n_features_out(self):
        return self.module_.width

    def _codes(self, Z):
        """Codes of the estimator's order as (module, z) in the module's own, (n, K)."""
        check_is_fitted(self)
        refuse_lazy(Z, "Z")
        Z = check_array(Z, dtype=float_dtypes(Z), input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but this VAETransformer has n_components={self._n_features_out}."
                if self.module_.width == self.module_.n_components
                else f"Z has {Z.shape[1]} columns, but the codes of this VAETransformer have {self._n_features_out}."
            )
        dtype = self._inference_dtype(Z.dtype)
        z = as_tensor(Z).to(self._device, dtype)
        order, signs = self._output_map(z)
        ordered = torch.empty_like(z)
        ordered[:, order] = z * signs
        return self._module(dtype), ordered

    def _read(self, X, method):
        """Rows X as (module, x, mask) in the precision of X."""
        check_is_fitted(self)
        given, X = X, self._validate(X, reset=False)
        check_same_namespace(given, self, attribute="order_", method=method)
        dtype = self._inference_dtype(X.dtype)
        table = X if isinstance(X, torch.Tensor) else on_host(X)
        return self._module(dtype), *self._columns.tensors(table, self._device, dtype)

    def _validate(self, X, reset):
        """X as scikit-learn validates it, a float array with one number per column; see `encode`."""
        refuse_lazy(X)
        rules = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"}
        if self._schema.is_plain or self._schema.is_numeric:
            X = validate_data(self, X, dtype=accepted_dtypes(X), reset=reset, **rules)
            return X if self._schema.is_plain else like(as_tensor(encode(self._schema, X)).to(torch_float(X.dtype)), X)
        validate_data(self, X, skip_check_array=True, reset=reset)
        return check_array(encode(self._schema, X), dtype=np.float64, estimator=self, input_name="X", **rules)

    def _per_row(self, X, function, method, n_samples=1, check_support=False, with_rows=False):
        """Apply function(module, x, mask) to chunks of rows, in the precision of X, and give the result X's type.

        With `with_rows` the function is also handed the rows in data units.
        """
        check_is_fitted(self)
        given, X = X, self._validate(X, reset=False)
        check_same_namespace(given, self, attribute="order_", method=method)
        if check_support and not self._columns.has_units("standard").all():
            self._columns.check_support(on_host(X))
        return like(self._over_chunks(X, function, n_samples, with_rows), X)

    def _over_chunks(self, X, function, n_samples, with_rows=False, dtype=None):
        """`_per_row` for a validated table, as a tensor; `dtype` is the precision of inference."""
        table = X if isinstance(X, torch.Tensor) else on_host(X)
        dtype = self._inference_dtype(X.dtype) if dtype is None else dtype
        module = self._module(dtype)
        step = evaluation.chunk_rows(module, n_samples)
        values = None
        with limited_threads(table.shape[0] * module.work(n_samples)), torch.no_grad():
            for i in range(0, table.shape[0], step):
                rows = table[i : i + step]
                x, mask = self._columns.tensors(rows, self._device, dtype)
                part = function(module, x, mask, rows) if with_rows else function(module, x, mask)
                if values is None:
                    values = part.new_empty((table.shape[0], *part.shape[1:]), dtype=torch_float(X.dtype))
                values[i : i + step] = part
        return values

    def _output_map(self, tensor):
        """order_ and signs_ as tensors beside `tensor`, of the width of z: a categorical variable moves as a block."""
        order, signs = (as_tensor(a).to(tensor.device) for a in (self.order_, self.signs_))
        n_classes = self.module_.width // self.module_.n_components
        if n_classes > 1:
            order = (order[:, None] * n_classes + torch.arange(n_classes, device=order.device)).flatten()
            signs = signs.repeat_interleave(n_classes)
        return order, signs.to(tensor.dtype)

    def _inference_dtype(self, dtype):
        return torch.float32 if self._device == "mps" else torch_float(dtype)

    def _module(self, dtype):
        """The fitted module in another precision: float64 in, float64 inference."""
        return self.module_ if dtype == torch.float32 else copy.deepcopy(self.module_).to(dtype)


# Hidden only now: scikit-learn's set_output has to wrap these first.
Verbs.transform = _if_has("codes")(vars(Verbs)["transform"])


Verbs.fit_transform = _if_has("codes", to_fit=True)(vars(Verbs)["fit_transform"])
