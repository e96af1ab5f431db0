"""The lines that differ between scikit-learn versions, and the private names we use, in one place."""

from collections.abc import Callable
from typing import Any

from sklearn.utils._array_api import _convert_to_numpy as convert_to_numpy
from sklearn.utils._array_api import get_namespace_and_device
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints

try:  # scikit-learn >= 1.9
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class NoCallbacks:
        """Before scikit-learn 1.9 there is no `set_callbacks`."""

    CallbackSupportMixin = NoCallbacks

    def with_callbacks(method: Callable) -> Callable:
        """Run the method as it is."""
        return method


try:  # scikit-learn >= 1.8
    from sklearn.utils._array_api import check_same_namespace
except ImportError:

    def check_same_namespace(X: Any, estimator: Any, *, attribute: str, method: str) -> None:
        """Accept any namespace."""


__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "StrOptions",
    "check_same_namespace",
    "convert_to_numpy",
    "get_namespace_and_device",
    "validate_parameter_constraints",
    "with_callbacks",
]
