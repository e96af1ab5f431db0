"""Cross-validation for tables of which some rows have no label."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from .._utils.checks import check_parameters
from .._utils.compat import Interval
from .._utils.documented import Documented
from .targets import is_labeled, labels_of

__all__ = ["LabeledKFold"]


class LabeledKFold(Documented):
    """Stratified folds of the labelled rows; rows without a label are in every training set and in no test set.

    It is for cross-validation and calibration of a `VAEClassifier`, and of scikit-learn's semi-supervised classifiers
    with ``unlabeled=-1``. scikit-learn's own splitters mistake the unlabelled rows for a class, and hold them out, too.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at most the number of labelled rows of the smallest class.
    unlabeled : object, default=None
        Which entries of y mean that a row has no label, as in `VAEClassifier`.
    shuffle : bool, default=True
        Whether to shuffle the labelled rows first.
    random_state : int, RandomState instance or None, default=0
        Seed of the shuffling.

    See Also
    --------
    VAEClassifier : A classifier that learns from rows without a label.
    sklearn.model_selection.StratifiedKFold : Folds of rows that all have a label.

    Examples
    --------
    Six rows of eight have a label, and two of each fold are held out:

    >>> import numpy as np
    >>> from skvae import LabeledKFold
    >>> y = np.array([0, 1, -1, 0, 1, 0, 1, -1])
    >>> for train, test in LabeledKFold(3, unlabeled=-1).split(np.zeros((8, 2)), y):
    ...     print(len(train), sorted(y[test].tolist()))
    6 [0, 1]
    6 [0, 1]
    6 [0, 1]
    """

    _parameter_constraints = {
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_splits: int = 5,
        *,
        unlabeled: Any = None,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.n_splits = n_splits
        self.unlabeled = unlabeled
        self.shuffle = shuffle
        self.random_state = random_state

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give positions of training and test rows, fold by fold.

        Each fold has about the same share of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, of which only the number is used.
        y : array-like of shape (n_samples,)
            Classes; `unlabeled` rows are only trained on.
        groups : Ignored
            Not used, present for API consistency.

        Yields
        ------
        train : int ndarray
            Positions of the labelled rows of the other folds, and of all rows without label.
        test : int ndarray
            Positions of the labelled rows of one fold.

        See Also
        --------
        get_n_splits : The number of folds.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import LabeledKFold
        >>> y = np.array(["a", "b", None, "a", "b"], dtype=object)
        >>> next(LabeledKFold(2, shuffle=False).split(np.zeros((5, 2)), y))
        (array([2, 3, 4]), array([0, 1]))
        """
        check_parameters(self._parameter_constraints, self.get_params(), type(self).__name__)
        y, known = is_labeled(y, self.unlabeled, X)
        label = labels_of(y, known)[1]
        positions, seed = np.flatnonzero(known), self.random_state if self.shuffle else None
        folds = StratifiedKFold(self.n_splits, shuffle=self.shuffle, random_state=seed)
        for _, test in folds.split(positions, label[positions]):
            is_test = np.zeros(len(label), dtype=bool)
            is_test[positions[test]] = True
            yield np.flatnonzero(~is_test), np.flatnonzero(is_test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Give the number of folds.

        It does not depend on the table.

        Parameters
        ----------
        X, y, groups : Ignored
            Not used, present for API consistency.

        Returns
        -------
        int
            `n_splits`.

        See Also
        --------
        split : The folds.

        Examples
        --------
        >>> from skvae import LabeledKFold
        >>> LabeledKFold(4).get_n_splits()
        4
        """
        return self.n_splits
