"""The lines that differ between scikit-learn versions, and the private names we use, in one place."""

from typing import Any

import numpy as np
from sklearn.utils import _param_validation
from sklearn.utils._array_api import _convert_to_numpy as convert_to_numpy
from sklearn.utils._array_api import get_namespace_and_device
from sklearn.utils._param_validation import StrOptions, validate_parameter_constraints

try:  # scikit-learn >= 1.9
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Before scikit-learn 1.9 there is no `set_callbacks`."""

    def with_callbacks(method):
        """Run the method as it is."""
        return method


try:  # scikit-learn >= 1.8
    from sklearn.utils._array_api import check_same_namespace
except ImportError:

    def check_same_namespace(X, estimator, *, attribute, method):
        """Accept any namespace."""


class Interval(_param_validation.Interval):
    """The numbers of an interval, without True and False: for scikit-learn's own interval True is the int 1."""

    def is_satisfied_by(self, val: object) -> bool:
        """Whether a value is a number of the interval, and no bool."""
        return not isinstance(val, (bool, np.bool_)) and super().is_satisfied_by(val)


class Intervals(Interval):
    """Tuples and lists all of whose entries are numbers of an interval.

    Parameters
    ----------
    type, left, right, closed
        As of `Interval`.
    least : int, default=0
        How many entries there must be.
    most : int, optional
        How many entries there may be.
    """

    def __init__(
        self, type: type, left: Any, right: Any, *, closed: str, least: int = 0, most: int | None = None
    ) -> None:
        super().__init__(type, left, right, closed=closed)
        self.least = least
        self.most = most

    def is_satisfied_by(self, val: object) -> bool:
        """Whether a value is such a tuple or list."""
        if not isinstance(val, (tuple, list)):
            return False
        has_length = self.least <= len(val) <= (len(val) if self.most is None else self.most)
        return has_length and all(super(Intervals, self).is_satisfied_by(entry) for entry in val)

    def __str__(self) -> str:
        most = "" if self.most is None else f" and at most {self.most}"
        count = f" with at least {self.least}{most} entries" if self.least or most else ""
        return f"a tuple{count}, each {super().__str__()}"


__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "Intervals",
    "StrOptions",
    "check_same_namespace",
    "convert_to_numpy",
    "get_namespace_and_device",
    "validate_parameter_constraints",
    "with_callbacks",
]
