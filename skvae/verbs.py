"""What a fitted VAETransformer can do. Verbs without meaning for the model at hand are hidden, with the reason.

Codes that leave the estimator are in its own order: code k is signs_[k] times component order_[k] of the module.
"""

import copy
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn import config_context
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.mixture import GaussianMixture
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch.distributions import Distribution

from . import evaluation
from ._arrays import as_tensor, float_dtypes, like, on_host, torch_float
from ._compat import check_same_namespace
from ._random import draw_seed, exclusive, torch_generator
from .distributions import reordered
from .likelihoods import InDataUnits

__all__ = ["IMPORTANCE_STREAM", "SCORE_STREAM", "Verbs", "check_count", "check_weight", "code_density"]

#: Second keys of the generators of frozen noise.
SCORE_STREAM, IMPORTANCE_STREAM = 1, 2


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

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            float32 for float32 input, else float64; a frame after ``set_output``.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> iris = load_iris(as_frame=True).data
        >>> vae = VAETransformer(n_components=2, max_iter=0).set_output(transform="pandas").fit(iris)
        >>> vae.transform(iris).round(2).head(2)
           vaetransformer0  vaetransformer1
        0             -1.31             0.48
        1             -1.20            -0.67
        """

        def codes(module, x, mask):
            center = module.posterior.center(module.encode(x, mask))
            order, signs = self._output_map(center)
            return center[:, order] * signs

        return self._per_row(X, codes, method="transform")

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit to the rows of X and encode them.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
        y : Ignored
        **fit_params : dict
            Of `fit`.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
        """
        return self.fit(X, y, **fit_params).transform(X)

    @_if_has("codes")
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Name the columns of `transform`: "vaetransformer0", ...; "vaetransformer0_2" for class 2 of variable 0.

        Parameters
        ----------
        input_features : Ignored

        Returns
        -------
        names : ndarray of str
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

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)

        Returns
        -------
        q : torch.distributions.Distribution
            Batch shape (n_samples, n_components) where components are independent, else (n_samples,).

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAETransformer(n_components=2, max_iter=0).fit(X).encode(X).scale.shape
        torch.Size([150, 2])
        """
        module, x, mask = self._read(X, method="encode")
        module = copy.deepcopy(module).requires_grad_(False)  # q may outlive this call and draw through the module
        return reordered(module.encode(x, mask), *self._output_map(x))

    def decode(self, Z: Any) -> InDataUnits:
        """Give p(x given z) of codes as one distribution over the columns, in data units.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)

        Returns
        -------
        p : distribution with `log_prob` per column, `mean`, `mode`, `variance` and `sample`
            Batch shape (n_samples, n_features).

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> p = vae.decode(vae.transform(X))
        >>> p.log_prob(X).shape
        torch.Size([150, 4])
        """
        module, z = self._codes(Z)
        with torch.no_grad():
            p = module.decode(z)
        return InDataUnits(p, *(torch.from_numpy(a).to(z) for a in (self._columns.shift, self._columns.scale)))

    @_if_has("codes")
    def reconstruct(self, X: Any, sample: bool = False, random_state: int | np.random.RandomState | None = None) -> Any:
        """Encode and decode rows: through the centre to the mean, or the stochastic test phase.

        Ghojogh's lecture, "The Test Phase in Variational Autoencoder".

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
        sample : bool, default=False
            Whether to draw z ~ q(z given x) and then x ~ p(x given z).
        random_state : int, RandomState instance or None
            Of the draws; None asks the operating system for a seed.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), or a frame of the library that fit saw

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAETransformer(n_components=2, max_iter=0).fit(X).reconstruct(X).shape
        (150, 4)
        """

        def through_the_center(module, x, mask):
            return module.decode(module.posterior.center(module.encode(x, mask))[None]).mean[0]

        def drawn(module, x, mask):
            q = module.encode(x, mask)
            u = torch.randn(1, len(x), module.n_noise, dtype=x.dtype, device=x.device)
            return module.decode(module.posterior.push(q, u)).sample()[0]

        index = X.index if hasattr(X, "iloc") else None
        with exclusive(draw_seed(random_state) if sample else 0, device=getattr(self, "_device", "cpu")):
            x = self._per_row(X, drawn if sample else through_the_center, method="reconstruct")
        data = like(torch.from_numpy(self._columns.to_data(as_tensor(x))).to(torch_float(x.dtype)), x)
        return self._columns.frame(data, index)

    @_if_has("codes", "mixture")
    def prior_responsibilities(self, X: Any) -> Any:
        r"""Membership of each row in the members of a mixture prior, :math:`E_{q(z|x)}\, p(m | z)`.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_members)
            Rows sum to one.

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
        """Decode codes to the mean of p(x given z) in data units.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            A pandas frame keeps the index of Z.

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
        Z = check_array(Z, dtype=float_dtypes(Z), input_name="Z")
        module, z = self._codes(Z)
        with torch.no_grad():
            parts = z.split(evaluation.chunk_rows(module, 1))
            mean = torch.cat([module.decode(part[None]).mean[0] for part in parts])
        data = like(torch.from_numpy(self._columns.to_data(mean)).to(torch_float(Z.dtype)), Z)
        return self._columns.frame(data, index)

    @_if_has("codes", "score")
    def score_samples(self, X: Any, n_importance_samples: int | None = None) -> Any:
        """Evidence lower bound of each row in nats and in the units of X.

        The KL has weight 1 whatever was trained, and the log-Jacobian of the scaling is included; so the number
        compares with ``PCA.score_samples`` and ``FactorAnalysis.score_samples`` on the same table. Deterministic,
        row by row, and exact for a linear-Gaussian model. Missing cells are left out.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
        n_importance_samples : int, optional
            Give the importance-weighted bound log mean_s p(x, z_s) / q(z_s | x) with that many independent draws
            instead (Burda et al. 2016, section 3): tighter, and equal to log p(x) in the limit.

        Returns
        -------
        bound : ndarray of shape (n_samples,)

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=20, random_state=0).fit(X)
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

        def score(module, x, mask):
            value = bound(module, x, mask, u.to(x))
            return value + self._columns.log_jacobian(mask).to(value)

        return self._per_row(X, score, method="score_samples", n_samples=len(u), check_support=True)

    @_if_has("codes", "score")
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean of `score_samples`: the evidence lower bound per row in nats, in the units of X.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        bound : float
        """
        bound = on_host(self.score_samples(X)).astype(np.float64)
        weight = None if sample_weight is None else check_weight(sample_weight, len(bound))
        return float(np.average(bound, weights=weight))

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """Draw rows from the model: z ~ p(z), x ~ p(x given z), in data units.

        A plain autoencoder has no prior: there z comes from a Gaussian mixture fitted to its codes, `code_density_`.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None
            None asks the operating system for a seed.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), or a frame of the library that fit saw

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAETransformer(n_components=2, max_iter=0).fit(X).sample(5, random_state=0).shape
        (5, 4)
        """
        check_is_fitted(self)
        check_count("n_samples", n_samples, "sample")
        module = copy.deepcopy(self.module_).cpu().double()
        seed = draw_seed(random_state)
        with exclusive(seed), torch.no_grad():
            if hasattr(self, "code_density_"):
                z = torch.from_numpy(sample_codes(self.code_density_, n_samples, seed))
            else:
                z = module.prior(module.encode).sample((n_samples,))
            x = module.decode(z[None]).sample()[0]
        return self._columns.frame(self._columns.to_data(x))

    @property
    def _n_features_out(self):
        return self.module_.width

    def _codes(self, Z):
        """Codes of the estimator's order as (module, z) in the module's own, (n, K)."""
        check_is_fitted(self)
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
        check_same_namespace(X, self, attribute="order_", method=method)
        X = self._validate(X, reset=False)
        dtype = self._inference_dtype(X.dtype)
        table = X if isinstance(X, torch.Tensor) else on_host(X)
        return self._module(dtype), *self._columns.tensors(table, self._device, dtype)

    def _validate(self, X, reset):
        return validate_data(
            self, X, dtype=float_dtypes(X), accept_sparse="csr", ensure_all_finite="allow-nan", reset=reset
        )

    def _per_row(self, X, function, method, n_samples=1, check_support=False):
        """Apply function(module, x, mask) to chunks of rows, in the precision of X, and give the result X's type."""
        check_is_fitted(self)
        check_same_namespace(X, self, attribute="order_", method=method)
        X = self._validate(X, reset=False)
        table = X if isinstance(X, torch.Tensor) else on_host(X)
        if check_support and not self._columns.has_units("standard").all():
            self._columns.check_support(on_host(table))
        dtype = self._inference_dtype(X.dtype)
        module = self._module(dtype)
        step = evaluation.chunk_rows(module, n_samples)
        parts = []
        with torch.no_grad():
            for i in range(0, table.shape[0], step):
                x, mask = self._columns.tensors(table[i : i + step], self._device, dtype)
                parts.append(function(module, x, mask))
        return like(torch.cat(parts).to(torch_float(X.dtype)), X)

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


def code_density(codes, seed):
    """Gaussian mixture of codes (n, K) with full covariances, of 1 to 10 members by the Bayesian information criterion.

    Ghosh et al. (2020), "ex-post density estimation": a density for the codes of an autoencoder that has no prior.
    """
    counts = range(1, min(10, 1 + len(np.unique(codes, axis=0)) // 50) + 1)
    with config_context(array_api_dispatch=False):  # these codes are numpy's; k-means inside knows no other
        fits = [GaussianMixture(n, reg_covar=1e-6, random_state=seed % 2**32).fit(codes) for n in counts]
    return min(fits, key=lambda fit: fit.bic(codes))


def sample_codes(density, n_samples, seed):
    """Draw codes (n, K) from a fitted Gaussian mixture, in random order and without touching its own random state."""
    density = copy.copy(density).set_params(random_state=seed % 2**32)
    codes, _ = density.sample(n_samples)
    return np.random.default_rng(seed).permutation(codes)


def check_weight(sample_weight, n_rows):
    """One finite, non-negative weight per row, not all of them zero, as float64."""
    weight = np.asarray(on_host(sample_weight), dtype=np.float64)
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must have shape ({n_rows},), one weight per row. Got shape {weight.shape} instead."
        )
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(
            "sample_weight must be finite and non-negative. Drop the rows that should not count or give them weight 0."
        )
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all of sample_weight is zero.")
    return weight


def check_count(name, value, method):
    """A positive int."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(
            f"The {name!r} parameter of VAETransformer.{method} must be an int in the range [1, inf). "
            f"Got {value!r} instead."
        )
