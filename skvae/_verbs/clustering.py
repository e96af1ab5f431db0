"""Methods that put rows in groups: predict, predict_proba, fit_predict."""

from typing import Any

from torch import Tensor

from .._inference import evaluation
from .._inference.fitted import HoldsFit, fitted_of
from .._inference.reading import over_chunks, per_row, read_table
from .._utils.arrays import like
from ..model import LatentVariableModel
from .offered import offered

__all__ = ["Clustering"]


class Clustering(HoldsFit):
    """The methods that assign rows to groups, for models whose parameters request groups.

    Groups are the members of ``prior="mixture"`` or ``"vamp"``, or the classes of one categorical variable. The mixture
    that ``prior="auto"`` fits is a density, and its members may share a group, so that it offers none.
    """

    @offered("codes", "groups")
    def predict(self, X: Any) -> Any:
        """Give the most probable group of each row.

        Groups are the members of a mixture prior, or the classes of one categorical variable, in the order of
        `predict_proba`. Their numbering is arbitrary: another seed may give another one.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Numbers from 0 to M - 1.

        See Also
        --------
        predict_proba : Give the probabilities of all groups.
        fit_predict : Fit and predict.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skvae import NormalMixture, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(2, prior=NormalMixture(n_members=2), max_iter=5, random_state=0).fit(X)
        >>> np.sort(np.bincount(vae.predict(X)))  # the setosas are 50
        array([ 50, 100])
        """
        fitted, table = read_table(self, X, "predict")
        probabilities = over_chunks(fitted, table, _memberships(fitted.score_noise), len(fitted.score_noise))
        return like(probabilities.argmax(1), table)

    @offered("codes", "groups")
    def predict_proba(self, X: Any) -> Any:
        r"""Give the probability of each group for each row, :math:`E_{q(z|x)}\, p(m | z)` or :math:`q(c | x)`.

        The first is for the members of a mixture prior, over the draws of `score_samples`, and equals
        `prior_responsibilities`; the second for the classes of one categorical variable, and equals `transform`.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_groups)
            Probabilities; each row sums to one.

        See Also
        --------
        predict : Give the most probable group.
        prior_responsibilities : The same, also for the mixture that ``prior="auto"`` fits.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import NormalMixture, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(2, prior=NormalMixture(n_members=2), max_iter=5, random_state=0).fit(X)
        >>> vae.predict_proba(X[[0, 100]]).max(axis=1).round(2)
        array([1., 1.])
        """
        noise = fitted_of(self).score_noise
        return per_row(self, X, _memberships(noise), method="predict_proba", n_samples=len(noise))

    @offered("codes", "groups", to_fit=True)
    def fit_predict(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit to the rows of X and give the most probable group of each.

        This equals `fit` followed by `predict`; rows that were held out for early stopping get a group like the others.

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
        ndarray of int of shape (n_samples,)
            Numbers from 0 to M - 1.

        See Also
        --------
        predict : Give the groups of other rows.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import NormalMixture, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> labels = VAETransformer(2, prior=NormalMixture(n_members=2), max_iter=5, random_state=0).fit_predict(X)
        >>> len(set(labels[:50])), len(set(labels[50:]))
        (1, 1)
        """
        return self.fit(X, y, **fit_params).predict(X)


def _memberships(noise: Tensor) -> Any:
    """The function of rows that gives the probabilities of their groups, over the draws of scores."""

    def memberships(module: LatentVariableModel, x: Tensor, mask: Tensor | None) -> Tensor:
        return evaluation.memberships(module, x, mask, noise.to(x))

    return memberships
