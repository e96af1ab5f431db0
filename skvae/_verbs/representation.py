"""Methods that map between rows and latent codes: transform, encode, decode and their compositions."""

import copy
from itertools import repeat
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array
from torch import Tensor
from torch.distributions import Distribution

from .._inference import evaluation
from .._inference.decoded import InDataSpace
from .._inference.fitted import Fitted, HoldsFit, fitted_of
from .._inference.reading import per_row, read
from .._tables import decoding
from .._tables.given import given_conditions, some_conditions
from .._tables.intake import as_table
from .._tables.selection import dense
from .._utils.arrays import float_dtypes, like, narrowed, on_host, torch_float
from .._utils.random import draw_seed, exclusive
from .._utils.threads import limited_threads
from ..distributions import reordered
from ..model import LatentVariableModel
from .offered import offered

__all__ = ["Representation"]


class Representation(ClassNamePrefixFeaturesOutMixin, TransformerMixin, HoldsFit):
    """The methods that go between rows and latent codes."""

    def transform(self, X: Any) -> Any:
        """Encode rows as the centres of their posteriors, most informative component first.

        The centre is the mean where it is finite, else the median or location. For flows and implicit posteriors it is
        a Monte Carlo mean with frozen draws, and for categorical codes it consists of the class probabilities.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Latent codes, float32 for float32 input, else float64; a frame after ``set_output``.

        See Also
        --------
        encode : Give the whole posterior of each row.
        inverse_transform : Decode the codes.

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
        fitted = fitted_of(self)

        def codes(module: LatentVariableModel, x: Tensor, mask: Tensor | None) -> Tensor:
            center = module.center(x, mask)
            order, signs = fitted.output_map(center)
            return center.index_select(1, order).mul_(signs)  # a sixth of the time of center[:, order]

        return per_row(self, X, codes, method="transform")

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit to the rows of X and encode them.

        This equals `fit` followed by `transform`; rows that were held out for early stopping are encoded like the
        others.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : Ignored
            Not used, present for API consistency.
        **fit_params : dict
            Further parameters of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Latent codes, as `transform` gives them.

        See Also
        --------
        fit : Fit only, with the same parameters.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAETransformer(n_components=2, max_iter=0).fit_transform(X).shape
        (150, 2)
        """
        return self.fit(X, y, **fit_params).transform(X)

    @offered("codes")
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Name the columns of `transform`: "vaetransformer0", "vaetransformer1", ...

        A one-hot variable has one column per class, "vaetransformer0_2" for class 2 of variable 0.

        Parameters
        ----------
        input_features : Ignored
            Not used, present for API consistency.

        Returns
        -------
        ndarray of str
            The name of each column.

        See Also
        --------
        transform : Use these names after ``set_output``.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> VAETransformer(n_components=2, max_iter=0).fit(X).get_feature_names_out()
        array(['vaetransformer0', 'vaetransformer1'], dtype=object)
        """
        fitted = fitted_of(self)
        names = super().get_feature_names_out(input_features)
        if fitted.module.width == fitted.module.n_components:
            return names
        widths = [fitted.module.widths[k] for k in on_host(fitted.order).tolist()]
        columns = [
            f"{name}_{c}" if width > 1 else name
            for name, width in zip(names[: len(widths)], widths, strict=True)
            for c in range(width)
        ]
        return np.array(columns, object)

    @offered("codes")
    def encode(self, X: Any) -> Distribution:
        """Give q(z given x) of every row as a torch distribution, with the order and signs of `transform`.

        It can be sampled, and has `log_prob` where the posterior has a density. Later fits do not change it.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        torch.distributions.Distribution
            Its batch shape is (n_samples, n_components) where components are independent, else (n_samples,).

        See Also
        --------
        transform : Give its centre.
        decode : Give the distribution of rows, for given codes.

        Examples
        --------
        The standard deviations of two components, of a row with one observed cell and of a complete row:

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
        fitted, module, x, mask = read(self, X, method="encode")
        module = copy.deepcopy(module).requires_grad_(False)  # q may outlive this call and draw through the module
        return reordered(module.encode(x, mask), *fitted.output_map(x))

    @offered()
    def decode(self, Z: Any, given: Any = None) -> InDataSpace:
        """Give p(x given z) of latent codes as one distribution over the columns, in data space.

        Its `log_prob` is that of each column, with the log-Jacobian of the scaling; `mean` and `variance` of a
        transformed column come by quadrature.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Latent codes, with the order and signs of `transform`.
        given : dict or frame, optional
            The `conditions` of a model that has some, as in `inverse_transform`.

        Returns
        -------
        InDataSpace
            A distribution with `log_prob` per column, `mean`, `mode`, `variance` and `sample`; batch shape
            (n_samples, n_features).

        See Also
        --------
        inverse_transform : Give its mean, in the types of the table.
        encode : Give the posterior of rows.

        Examples
        --------
        The standard deviations of the columns given one code, and those of the whole table:

        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> p = VAETransformer(n_components=2, max_iter=0).fit(X).decode([[0.0, 0.0]])
        >>> p.variance.sqrt().numpy().round(2)
        array([[0.33, 0.12, 0.18, 0.2 ]])
        >>> X.std(axis=0).round(2)
        array([0.83, 0.43, 1.76, 0.76])
        """
        fitted = fitted_of(self)
        module, z = fitted.own_codes(_validated(fitted, Z))
        cells = _given(fitted, given, len(z), "decode")
        with torch.no_grad():
            p = module.decode(z, None if cells is None else fitted.columns.given_tensor(cells, z))
        return InDataSpace(p, module.likelihood, fitted.columns)

    @offered("codes")
    def reconstruct(
        self,
        X: Any,
        sample: bool = False,
        random_state: int | np.random.RandomState | None = None,
        given: dict | None = None,
    ) -> Any:
        """Encode and decode rows, through the centre to the mean, or by draws.

        Without draws this is ``inverse_transform(transform(X))``, in one pass. With draws it is what Ghojogh's tutorial
        calls "The Test Phase in Variational Autoencoder".

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        sample : bool, default=False
            Whether to draw z ~ q(z given x) and then x ~ p(x given z).
        random_state : int, RandomState instance or None
            Seed of the draws; None draws fresh entropy from the operating system.
        given : dict, optional
            Other values of some `conditions`, ``{"site": "A"}``: rows are encoded under their own ones and decoded
            under these, as if they had been measured at site A. Conditions that it does not name stay as they are.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            All cells as the model reconstructs them, observed ones too: means, or draws in the types of the table.

        See Also
        --------
        impute : Impute missing values and keep the observed ones.
        metrics.reconstruction_error : Measure the error of the reconstruction.

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
        fitted = fitted_of(self)

        columns = fitted.columns
        named = None if given is None else some_conditions(fitted.schema, given)

        def reconstructed(module: LatentVariableModel, x: Tensor, mask: Tensor | None, rows: Any) -> Tensor:
            q = module.encode(x, mask)
            cells = dense(on_host(rows)).astype(np.float64)[:, columns.given]
            if named is not None:
                new, is_new = named
                cells = np.where(is_new, new, cells)
            known = columns.given_tensor(cells, x) if columns.given else None
            if sample:
                u = torch.randn(1, len(x), module.n_noise, dtype=x.dtype, device=x.device)
                data = fitted.in_data_space(module, module.posterior.push(q, u), known).sample()[0]
            else:
                data = fitted.in_data_space(module, module.posterior.center(q)[None], known).mean[0]
            return _with_given(fitted, data, cells)

        index = X.index if hasattr(X, "iloc") else None
        with exclusive(draw_seed(random_state) if sample else 0, device=fitted.device):
            data = per_row(self, X, reconstructed, "reconstruct", fitted.n_nodes, with_rows=True)
        if not sample:
            return decoding.means(fitted.schema, data, index)
        return decoding.draws(fitted.schema, data, index, exact=columns.given, supports=columns.supports)

    @offered("codes")
    def inverse_transform(self, Z: Any, given: Any = None) -> Any:
        """Decode latent codes to the mean of p(x given z) in data space, and categories to their most probable level.

        The mean of a transformed column is computed in data space, by quadrature.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Latent codes, with the order and signs of `transform`.
        given : dict, or frame of conditions, optional
            The conditions, required for a model with `conditions`: a dict, ``{"site": "A"}``, for all codes, or a frame
            (an array for a model of arrays) with a column for each condition and a row for each code. They are returned
            unchanged. ``Pipeline.inverse_transform`` passes none: call the method of the last step.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            Means are floats, and those of booleans are probabilities; categories have the levels and the dtype of the
            fitted column. A pandas frame keeps the index of Z.

        See Also
        --------
        decode : Give the whole distribution.
        sample : Draw rows in the types of the table.

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
        fitted = fitted_of(self)
        index = Z.index if hasattr(Z, "iloc") else None
        Z = _validated(fitted, Z)
        module, z = fitted.own_codes(Z)
        cells = _given(fitted, given, len(z), "inverse_transform")
        step = evaluation.chunk_rows(module, fitted.n_nodes)
        with limited_threads(len(z) * module.work(1)), torch.no_grad():
            known = repeat(None) if cells is None else fitted.columns.given_tensor(cells, z).split(step)
            parts = zip(z.split(step), known, strict=False)
            mean = torch.cat([fitted.in_data_space(module, part[None], given).mean[0] for part, given in parts])
        mean = mean if cells is None else _with_given(fitted, mean, cells)
        return decoding.means(fitted.schema, like(narrowed(mean, torch_float(Z.dtype)), Z), index)

    @property
    def _n_features_out(self) -> int:
        return fitted_of(self).module.width


# Hidden only now: scikit-learn's set_output has to wrap these first.
Representation.transform = offered("codes")(vars(Representation)["transform"])  # type: ignore[method-assign]
Representation.fit_transform = offered("codes", to_fit=True)(  # type: ignore[method-assign]
    vars(Representation)["fit_transform"]
)


def _given(fitted: Fitted, given: Any, n_rows: int, method: str) -> np.ndarray | None:
    """Conditions of codes in data space, (n, G); None for a model without them."""
    schema = fitted.schema
    if not schema.conditions and given is not None:
        raise ValueError(f"{method}(given=...) is for models with 'conditions'; this VAETransformer has none.")
    if schema.conditions and given is None:
        names = [schema.label(d) for d in schema.conditions]
        raise ValueError(
            f"The model has the conditions {names}, and codes alone do not say them. Call {method}(Z, given=...) with "
            "a dict for all rows or a frame of one row each; Pipeline.inverse_transform passes none, so call the "
            "method of its last step."
        )
    return given_conditions(schema, given, n_rows) if schema.conditions else None


def _with_given(fitted: Fitted, data: Tensor, cells: np.ndarray) -> Tensor:
    """Rows in data space (n, D) with their conditions (n, G) to the last digit."""
    data[:, fitted.columns.given] = torch.from_numpy(cells).to(data)
    return data


def _validated(fitted: Fitted, Z: Any) -> Any:
    """Latent codes as scikit-learn validates them, of the width of the model."""
    Z = as_table(Z, "Z")
    Z = check_array(Z, dtype=float_dtypes(Z), input_name="Z")
    width, n_components = fitted.module.width, fitted.module.n_components
    if Z.shape[1] != width:
        raise ValueError(
            f"Z has {Z.shape[1]} columns, but this VAETransformer has n_components={width}."
            if width == n_components
            else f"Z has {Z.shape[1]} columns, but the codes of this VAETransformer have {width}."
        )
    return Z
