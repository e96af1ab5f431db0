"""A fitted model as other tools take it: a linear read-out, the covariance of a linear model, torch modules."""

import numpy as np
import torch

from .._inference.fitted import Fitted, HoldsFit, fitted_of
from .._inference.torch_modules import METHODS
from .._utils.arrays import on_host
from .._utils.checks import check_parameters
from .._utils.compat import StrOptions
from .offered import offered

__all__ = ["ReadOut"]

_STEP = 1e-4  # of a component, from the mean of the codes


class ReadOut(HoldsFit):
    """A linear read-out of the decoder, and methods as torch modules."""

    def to_torch(self, method: str = "transform", dtype: str = "float64") -> torch.nn.Module:
        """Give a method as a torch module, through which gradients pass to its input.

        The module contains a copy of the fitted networks, on the CPU and with frozen weights; ``.to`` and
        ``.requires_grad_(True)`` change that. Changes to the copy do not affect the estimator.

        Parameters
        ----------
        method : {"transform", "inverse_transform", "score_samples"}, default="transform"
            What the module computes: codes (B, K) of rows (B, D), rows of codes, or bounds (B,) of rows in nats. A cell
            is one number, NaN where it is missing; a category is its index.
        dtype : {"float64", "float32"}, default="float64"
            Precision of the networks, and of the input.

        Returns
        -------
        torch.nn.Module
            A module in evaluation mode.

        Raises
        ------
        AttributeError
            If the model has no such method; the cause states why.
        NotImplementedError
            For `inverse_transform` of a model with `conditions`.
        ValueError
            For another method or dtype.

        See Also
        --------
        skvae.onnx.to_onnx : The same as an ONNX graph.

        Examples
        --------
        How the bound of a flower changes with its four measurements:

        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> row = torch.tensor(X[:1], requires_grad=True)
        >>> vae.to_torch("score_samples")(row).sum().backward()
        >>> row.grad.shape
        torch.Size([1, 4])
        """
        allowed = {"method": [StrOptions(set(METHODS))], "dtype": [StrOptions({"float32", "float64"})]}
        check_parameters(allowed, {"method": method, "dtype": dtype}, "VAETransformer.to_torch")
        getattr(self, method)  # a hidden method says why
        return METHODS[method](self, getattr(torch, dtype)).eval()

    @property
    def components_(self) -> np.ndarray:
        """What one unit of each component adds to each column, at the mean of the codes."""
        fitted = fitted_of(self)
        if reason := fitted.off_the_line:
            raise AttributeError(f"There is no components_: {reason}.")
        steps = _STEP * np.eye(fitted.module.n_components)
        slopes = (_means(fitted, fitted.center + steps) - _means(fitted, fitted.center - steps)) / (2 * _STEP)
        slopes[:, ~fitted.columns.is_number] = np.nan
        return slopes

    @offered("score")
    def get_covariance(self) -> np.ndarray:
        r"""Give the covariance of the columns under a linear model, :math:`W W^T + \mathrm{diag}(\psi)`.

        W' is `components_` and psi is `noise_variance_`, all in data units. After ``init="pca"`` and
        ``init="factor_analysis"`` with ``max_iter=0`` it is the covariance of probabilistic PCA (Tipping & Bishop 1999,
        section 3) and of factor analysis.

        Returns
        -------
        ndarray of shape (n_features, n_features)
            The covariance matrix in data units.

        Raises
        ------
        ValueError
            If the model is not linear and Gaussian: it has trained hidden layers, `conditions`, another prior than
            N(0, I), other likelihoods than ``Gaussian(noise="feature")`` and ``Gaussian(noise="shared")``, or columns
            that `scaling` transforms. The covariance of such a model is that of many rows of `sample`.

        See Also
        --------
        sample : Draw rows from any model.
        sklearn.decomposition.FactorAnalysis.get_covariance : The same of factor analysis.

        Examples
        --------
        Maximum likelihood divides by n, and PCA by n - 1:

        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.decomposition import PCA
        >>> from skvae import Gaussian, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> one_noise = Gaussian(noise="shared")
        >>> vae = VAETransformer(2, likelihood=one_noise, scaling="global", init="pca", max_iter=0).fit(X)
        >>> vae.get_covariance().round(2)
        array([[ 0.67, -0.04,  1.26,  0.53],
               [-0.04,  0.18, -0.32, -0.14],
               [ 1.26, -0.32,  3.1 ,  1.28],
               [ 0.53, -0.14,  1.28,  0.58]])
        >>> np.abs(vae.get_covariance() * 150 / 149 - PCA(2).fit(X).get_covariance()).max() < 1e-5
        np.True_
        """
        fitted = fitted_of(self)
        if reason := fitted.not_linear:
            raise ValueError(
                f"get_covariance is for linear Gaussian models, and this one has {reason}. Take the covariance of many "
                "rows of sample(calibrate=False)."
            )
        loadings = self.components_.T
        return loadings @ loadings.T + np.diag(np.asarray(on_host(fitted.noise_variance), dtype=np.float64))


def _means(fitted: Fitted, codes: np.ndarray) -> np.ndarray:
    """Means in data space of codes (n, K), (n, D); of a model with conditions under the most frequent ones."""
    module, z = fitted.own_codes(codes)
    given = fitted.usual_conditions
    known = None if given is None else fitted.columns.given_tensor(given.repeat(len(z), 0), z)
    with torch.no_grad():
        return fitted.in_data_space(module, z[None], known).mean[0].numpy()
