"""`VAEClassifier`: a classifier for tables of which few rows have a label, around a `VAETransformer`."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from .._inference.fitted import Fitted, fitted_of
from .._inference.made_rows import decoded_rows, drawn_conditions, maker
from .._tables import decoding
from .._tables.given import given_conditions
from .._tables.intake import as_table
from .._tables.validation import validated
from .._utils.arrays import as_tensor, on_host
from .._utils.checks import COUNT, NON_NEGATIVE, POSITIVE, check_parameters, check_weight
from .._utils.compat import StrOptions
from .._utils.documented import Documented
from .._utils.random import draw_seed, exclusive
from ..estimator import VAETransformer
from .label_model import LabelModel, fit_label_model
from .rows import distinct_rows
from .stored import label_model_of, read_state, write_state
from .targets import class_weights, is_labeled, labels_of

__all__ = ["VAEClassifier"]

_N_COMPONENTS = 16
_MODEL = "label_model_"


class VAEClassifier(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, Documented):
    r"""Classifier for tables of which few rows have a label: it learns the table from all rows, the classes from some.

    A `VAETransformer` is fitted to all rows, whether they have a label or not. Its codes z then have a density in each
    class, and p(y | x) follows from these densities, multiplied by a logistic regression on the columns:

    .. math:: p(x, z, y) = p(y)\, N(z; \mu_y, \Sigma_y)\, p(x | z), \qquad
        p(y | x) \propto p_z(y | x)^a \, p_l(y | x)^b, \qquad
        p_z(y | x) \propto p(y)\, E_{q(z|x)} N(z; \mu_y, \Sigma_y).

    p(y), the means and the covariances are fitted by variational EM to rows with and without label; each covariance is
    shrunk towards that of all classes. :math:`p_l` is a linear model of the labelled rows alone. The exponents a and b
    maximise the log-probability of labels in five-fold cross-validation, starting from 1/2 each: with few labels both
    parts count, and with many labels whichever predicts better. Logistic regression is the special case a = 0, b = 1.

    This is the generative model of Kingma et al. (2014), M1 + M2, with one difference: encoder and decoder do not see
    the labels, so that the two steps need no weights between them, and the second is in closed form.

    Columns, missing values and categories are those of `VAETransformer`: nothing needs scaling or imputing.

    Parameters
    ----------
    estimator : VAETransformer or FrozenEstimator, optional
        The model of the columns, of which a copy is fitted; ``estimator__n_components`` sets its parameters. By default
        ``VAETransformer(n_components=16)``; if a table needs fewer, its warning of collapsed components does not matter
        here, as they have the same normal in each class. With `conditions` c, codes are those of q(z | x, c) and the
        linear model reads c, too; p(y) and the densities of the codes are the same for all c. A fitted one inside
        `sklearn.frozen.FrozenEstimator` stays as it is, so that it may have been fitted to another table, with many
        more rows. It needs an encoder.
    unlabeled : object, default=None
        Which entries of y mean that a row has no label. None: NaN, None and NA; otherwise this value, such as -1 as in
        `sklearn.semi_supervised`. By default -1 is a class.
    unlabeled_weight : float, default=0.2
        Weight of a row without a label in the densities of the codes, relative to one with a label (Nigam et al. 2000,
        section 5.3). With 0 these rows shape the codes, but not the classes.
    n_members : int, default=1
        Normals per class, for classes that fall into groups; at most as many as the class has distinct labelled rows.
    C : float, default=1.0
        Inverse strength of the penalty of logistic regression, as in `sklearn.linear_model.LogisticRegression`.
    class_weight : {"balanced"} or dict, optional
        Factors on the weights of labelled rows by class; classes that a dict does not name have 1.
    random_state : int, RandomState instance or None, default=None
        Seed of the estimator, if it has none of its own, and of the members of a class.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes in order.
    estimator_ : VAETransformer
        The model of the columns, fitted to all rows.
    label_model_ : skvae.classifier.label_model.LabelModel
        Normals, linear model and the `exponents` (a, b).
    n_features_in_ : int
        D, the number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only when X has string names.

    See Also
    --------
    VAETransformer : The model of the columns by itself.
    sklearn.semi_supervised.LabelSpreading : Labels spread over a graph of neighbouring rows.
    sklearn.linear_model.LogisticRegression : The linear model by itself.

    References
    ----------
    D. P. Kingma, D. J. Rezende, S. Mohamed, M. Welling, "Semi-supervised Learning with Deep Generative Models",
    NeurIPS 2014.
    K. Nigam, A. McCallum, S. Thrun, T. Mitchell, "Text Classification from Labeled and Unlabeled Documents using EM",
    Machine Learning 39, 2000.
    R. Raina, Y. Shen, A. Ng, A. McCallum, "Classification with Hybrid Generative/Discriminative Models", NeurIPS 2003.

    Examples
    --------
    Nine of 178 wines have a label:

    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAEClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> known = [5, 20, 40, 60, 80, 100, 135, 150, 170]
    >>> few = np.full(len(y), np.nan)
    >>> few[known] = y[known]
    >>> clf = VAEClassifier(random_state=0).fit(X, few)
    >>> clf.score(X, y)
    0.9...

    Three wines of class 2, made:

    >>> rows, label = clf.sample(3, y=2, random_state=0)
    >>> rows.shape, label
    ((3, 13), array([2., 2., 2.]))
    """

    _parameter_constraints = {
        "estimator": [VAETransformer, FrozenEstimator, None],
        "unlabeled": "no_validation",
        "unlabeled_weight": [NON_NEGATIVE],
        "n_members": [COUNT],
        "C": [POSITIVE],
        "class_weight": [StrOptions({"balanced"}), Mapping, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: VAETransformer | FrozenEstimator | None = None,
        *,
        unlabeled: Any = None,
        unlabeled_weight: float = 0.2,
        n_members: int = 1,
        C: float = 1.0,
        class_weight: str | Mapping | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.unlabeled = unlabeled
        self.unlabeled_weight = unlabeled_weight
        self.n_members = n_members
        self.C = C
        self.class_weight = class_weight
        self.random_state = random_state

    def set_params(self, **params: Any) -> "VAEClassifier":
        """Set parameters, those of the estimator included.

        A parameter ``estimator__...`` first creates the default estimator, if there is none.

        Parameters
        ----------
        **params : dict
            Parameters of the classifier, and of its estimator as ``estimator__parameter``.

        Returns
        -------
        VAEClassifier
            The classifier itself.

        See Also
        --------
        VAETransformer.set_params : The parameters of the estimator.

        Examples
        --------
        >>> from skvae import VAEClassifier
        >>> VAEClassifier().set_params(estimator__n_components=4)
        VAEClassifier(estimator=VAETransformer(n_components=4))
        """
        if any(name.startswith("estimator__") for name in params) and params.get("estimator", self.estimator) is None:
            params["estimator"] = VAETransformer(_N_COMPONENTS)
        return super().set_params(**params)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        estimator = VAETransformer() if self.estimator is None else self.estimator
        estimator = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
        if isinstance(estimator, VAETransformer):
            theirs = estimator.__sklearn_tags__()
            tags.transformer_tags, tags.input_tags = theirs.transformer_tags, theirs.input_tags
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "VAEClassifier":
        """Fit the model of the columns to all rows, and that of the classes to y.

        Equal rows with equal labels are merged first, so that the order of rows does not matter.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : array-like of shape (n_samples,)
            Classes, numbers or strings; some rows may be `unlabeled`.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows; an integer weight equals that many copies of the row, exactly. A row of
            weight 0 is left out, and so is its label.

        Returns
        -------
        VAEClassifier
            The classifier itself, fitted.

        Raises
        ------
        ValueError
            Bad parameters, tables, weights or labels: y of another length, without any label, or of one class only. An
            earlier fit stays intact.

        See Also
        --------
        VAETransformer.fit : What it does with X.

        Examples
        --------
        Strings as classes, and None for flowers without one:

        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> iris = load_iris()
        >>> names = iris.target_names[iris.target].astype(object)
        >>> names[np.arange(150) % 10 > 0] = None
        >>> clf = VAEClassifier(VAETransformer(2, max_iter=0)).fit(iris.data, names)
        >>> clf.classes_
        array(['setosa', 'versicolor', 'virginica'], dtype=object)
        """
        check_parameters(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        X = as_table(X)
        y, known = is_labeled(y, self.unlabeled, X)
        weight = np.ones(len(y)) if sample_weight is None else check_weight(sample_weight, len(y))
        classes, label = labels_of(y, known & (weight > 0))
        seed = draw_seed(self.random_state)
        estimator = self._fitted_estimator(X, sample_weight, seed)
        factors = class_weights(self.class_weight, classes, label, weight)
        model = self._label_model(estimator, X, label, weight, factors, seed)
        self.classes_, self.estimator_, self.label_model_ = classes, estimator, model
        return self

    def _fitted_estimator(self, X: Any, sample_weight: Any, seed: int) -> VAETransformer:
        """A copy of the estimator, fitted to all rows, or the one that is frozen."""
        if isinstance(self.estimator, FrozenEstimator):
            estimator = self.estimator.estimator
        else:
            estimator = VAETransformer(_N_COMPONENTS) if self.estimator is None else clone(self.estimator)
            if estimator.random_state is None:
                estimator.set_params(random_state=seed)
            estimator.fit(X, sample_weight=sample_weight)
        if not isinstance(estimator, VAETransformer):
            raise ValueError(
                "The 'estimator' parameter of VAEClassifier must be a VAETransformer, or a FrozenEstimator of a fitted "
                f"one. It is a FrozenEstimator of a {type(estimator).__name__}."
            )
        if reason := fitted_of(estimator).parts.lacks("codes"):
            raise ValueError(f"The 'estimator' parameter of VAEClassifier must have an encoder. {reason}")
        return estimator

    def _label_model(
        self,
        estimator: VAETransformer,
        X: Any,
        label: np.ndarray,
        weight: np.ndarray,
        factors: np.ndarray,
        seed: int,
    ) -> LabelModel:
        """p(y | x) of distinct rows of positive weight, in canonical order."""
        table = on_host(validated(estimator, fitted_of(estimator).schema, X))
        kept = np.flatnonzero(weight)
        table, label = table[kept], label[kept]
        positions, weight = distinct_rows(table, label, weight[kept])
        label = label[positions]
        weight = np.where(label >= 0, factors[label], 1.0) * weight
        settings = self.unlabeled_weight, self.n_members, self.C, seed
        return fit_label_model(fitted_of(estimator), table[positions], label, weight, *settings)

    @property
    def n_features_in_(self) -> int:
        """Number of columns that `fit` saw."""
        return self._fit_of().n_features_in

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns that `fit` saw."""
        return self._attribute("feature_names_in_")

    @property
    def _n_features_out(self) -> int:
        return self._fit_of().module.width

    def _attribute(self, name: str) -> Any:
        if "estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit.")
        return getattr(self.estimator_, name)

    def _fit_of(self) -> Fitted:
        return self._attribute("fitted_")

    def predict(self, X: Any) -> np.ndarray:
        """Give the most probable class of each row.

        It is the one with the highest `predict_log_proba`.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes.

        See Also
        --------
        predict_proba : Give the probability of each class.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> X, y = load_iris(return_X_y=True)
        >>> VAEClassifier(VAETransformer(2, max_iter=0)).fit(X, y).predict(X[[0, 50, 100]])
        array([0, 1, 2])
        """
        log_p = self.predict_log_proba(X)
        return self.classes_[log_p.argmax(axis=1)]

    def predict_log_proba(self, X: Any) -> np.ndarray:
        r"""Give :math:`\ln p(y | x)` of each row and class.

        A missing cell carries no information: the code is that of the observed cells, and the linear model is averaged
        over draws of the code, which give the missing numbers; a missing category is the average of its levels.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities, in the order of `classes_`.

        See Also
        --------
        predict_proba : Give the probabilities.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> X, y = load_iris(return_X_y=True)
        >>> VAEClassifier(VAETransformer(2, max_iter=0)).fit(X, y).predict_log_proba(X[:5]).shape
        (5, 3)
        """
        check_is_fitted(self)
        estimator = self.estimator_
        table = validated(estimator, fitted_of(estimator).schema, as_table(X))
        return self.label_model_.log_posterior(fitted_of(estimator), table)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Give p(y given x) of each row and class.

        The exponents of the two models are chosen on labels that have no part in the fit. This corrects overconfidence
        as far as the number of labels allows.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`; each row sums to one.

        See Also
        --------
        sklearn.calibration.CalibratedClassifierCV : Calibrate them on further labels.

        Examples
        --------
        A flower between two species, of which only the petals were measured:

        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = VAEClassifier(VAETransformer(2, max_iter=0)).fit(X, y)
        >>> p = clf.predict_proba([[np.nan, np.nan, 4.9, 1.6]])
        >>> p.round(1)
        array([[0. , 0.6, 0.4]])
        """
        return np.exp(self.predict_log_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Give the accuracy over the labelled rows.

        Rows without a label are ignored.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : array-like of shape (n_samples,)
            Classes; rows that are `unlabeled` do not count.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        float
            Share of the labelled rows whose class is predicted.

        Raises
        ------
        ValueError
            No row has a label.

        See Also
        --------
        LabeledKFold : Cross-validation that holds out only labelled rows.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> X, y = load_iris(return_X_y=True)
        >>> VAEClassifier(VAETransformer(2, max_iter=0)).fit(X, y).score(X[::50], [0, None, 2])
        1.0
        """
        predicted = self.predict(X)
        y, known = is_labeled(y, self.unlabeled, predicted)
        weight = np.ones(len(y)) if sample_weight is None else check_weight(sample_weight, len(y))
        if not (weight * known).any():
            raise ValueError("score counts labelled rows, and y has no label.")
        hits = np.array([a == b for a, b in zip(predicted[known].tolist(), y[known].tolist(), strict=True)])
        return float(np.average(hits, weights=weight[known]))

    def transform(self, X: Any) -> Any:
        """Encode rows as latent codes, as the estimator's `transform`.

        The codes do not depend on the labels.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Latent codes; a frame after ``set_output``.

        See Also
        --------
        VAETransformer.transform : What it does.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> X, y = load_iris(return_X_y=True)
        >>> VAEClassifier(VAETransformer(2, max_iter=0)).fit(X, y).transform(X).shape
        (150, 2)
        """
        check_is_fitted(self)
        return self.estimator_.transform(X)

    def sample(
        self,
        n_samples: int = 1,
        y: Any = None,
        random_state: int | np.random.RandomState | None = None,
        given: Any = None,
    ) -> tuple[Any, np.ndarray]:
        r"""Draw rows of given classes, z ~ p(z given y) and x ~ p(x given z), in data space.

        The classes differ only as their codes do; the linear model plays no part. Where the estimator has `conditions`
        c, x ~ p(x given z, c) for those that are `given`, or drawn as `VAETransformer.sample` draws them. Unlike in
        `VAETransformer.sample`, numbers are not mapped to the margins of the table: a class has its own margins.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        y : class or array-like of shape (n_samples,), optional
            The class of all rows, or one for each; by default classes are drawn from p(y).
        random_state : int, RandomState instance or None
            Seed of the draws; None draws fresh entropy from the operating system.
        given : dict, or frame of conditions, optional
            All `conditions` of the estimator, for all rows or for each one, as in `VAETransformer.inverse_transform`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), or a frame of the library that fit saw
            Rows, with the dtypes that `fit` saw.
        y : ndarray of shape (n_samples,)
            Their classes.

        Raises
        ------
        ValueError
            A class that `fit` has not seen, another number of classes or conditions than of rows, or conditions that
            the estimator does not have.

        See Also
        --------
        VAETransformer.sample : Draw rows of all classes, or given some columns.
        sklearn.mixture.GaussianMixture.sample : It returns the same pair of rows and groups.

        Examples
        --------
        Petals of iris setosa are 1.5 cm long, those of iris virginica 5.6 cm:

        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = VAEClassifier(VAETransformer(2, max_iter=0)).fit(X, y)
        >>> [clf.sample(500, y=c, random_state=0)[0][:, 2].mean().round(1).item() for c in (0, 2)]
        [1.5, 5.6]
        """
        check_is_fitted(self)
        check_parameters({"n_samples": [COUNT]}, {"n_samples": n_samples}, f"{type(self).__name__}.sample")
        fitted, normals, seed = fitted_of(self.estimator_), self.label_model_.normals, draw_seed(random_state)
        rng = np.random.default_rng(seed)
        label = normals.sample_classes(n_samples, rng) if y is None else self._class_numbers(y, n_samples)
        z = as_tensor(normals.sample(label, rng))
        order, signs = fitted.output_map(z)
        z = torch.empty_like(z).index_copy_(1, order, z * signs)  # in the module's own order
        with exclusive(seed), torch.no_grad():
            cells = drawn_conditions(fitted, n_samples) if given is None else _cells_given(fitted, given, n_samples)
            values = decoded_rows(fitted, maker(fitted), z, cells)
        if cells is not None:
            values[:, fitted.columns.given] = cells
        exact, supports = fitted.columns.given, fitted.columns.supports
        return decoding.draws(fitted.schema, values, exact=exact, supports=supports), self.classes_[label]

    def _class_numbers(self, y: Any, n_samples: int) -> np.ndarray:
        """Numbers of the classes of rows to draw, (n_samples,)."""
        names = self.classes_.tolist()
        is_one = isinstance(y, str) or np.ndim(y) == 0
        wanted = [y] * n_samples if is_one else list(y)
        if len(wanted) != n_samples:
            raise ValueError(
                f"sample(y=...) must be one class, or one for each of {n_samples} rows. Got {len(wanted)}."
            )
        if unknown := sorted({repr(c) for c in wanted if c not in names}):
            raise ValueError(
                f"sample(y=...) names classes that fit has not seen: {', '.join(unknown)}. It saw {names}."
            )
        return np.array([names.index(c) for c in wanted])

    def __getstate__(self) -> dict[str, Any]:
        """Give the state with plain arrays for the model of the label."""
        state = dict(super().__getstate__())
        return state | {_MODEL: asdict(state[_MODEL])} if _MODEL in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {_MODEL: label_model_of(state[_MODEL])} if _MODEL in state else state)

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted classifier into one file, without pickle.

        The format is that of `VAETransformer.save`, with the transformer inside.

        Parameters
        ----------
        path : str or path-like
            Where to write; a file that exists there is replaced.

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        ValueError
            If a parameter cannot be written as JSON, for example a lambda.

        See Also
        --------
        load : Read the file again.
        VAETransformer.save : What the file contains of the estimator.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = VAEClassifier(VAETransformer(2, max_iter=0)).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     clf.save(Path(folder) / "iris.safetensors")
        ...     again = VAEClassifier.load(Path(folder) / "iris.safetensors")
        >>> bool((again.predict_proba(X) == clf.predict_proba(X)).all())
        True
        """
        check_is_fitted(self)
        write_state(path, self.__getstate__())

    @classmethod
    def load(cls, path: str | os.PathLike, components: Sequence[Callable] | None = None) -> Any:
        """Read a fitted classifier from a file that `save` has written.

        Nothing in it is imported, evaluated or unpickled.

        Parameters
        ----------
        path : str or path-like
            Where the file is.
        components : list of classes and functions, optional
            Those among the parameters that are not skvae's own, see `VAETransformer.load`.

        Returns
        -------
        VAEClassifier
            The fitted classifier.

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        OSError
            If the file does not exist or cannot be read.
        ValueError
            If the file is damaged, or does not contain a classifier.

        See Also
        --------
        save : Write the file.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAEClassifier, VAETransformer
        >>> X, y = load_iris(return_X_y=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     VAEClassifier(VAETransformer(2, max_iter=0)).fit(X, y).save(Path(folder) / "iris.safetensors")
        ...     VAEClassifier.load(Path(folder) / "iris.safetensors").classes_
        array([0, 1, 2])
        """
        clf = cls.__new__(cls)
        clf.__setstate__(read_state(path, VAETransformer, components))
        return clf


def _cells_given(fitted: Fitted, given: Any, n_rows: int) -> np.ndarray:
    """Conditions of rows in data space, (n, G)."""
    if not fitted.columns.given:
        raise ValueError("sample(given=...) names conditions, and the estimator of this VAEClassifier has none.")
    return given_conditions(fitted.schema, given, n_rows)
