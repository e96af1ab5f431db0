"""The rule by which held-out rows choose: what is simpler stays, unless another is surely better."""

import numpy as np

__all__ = ["surely_higher"]


def surely_higher(one: np.ndarray, other: np.ndarray, weight: np.ndarray) -> bool:
    """Whether a mean over rows is higher than another by more than one standard error of the paired differences.

    Parameters
    ----------
    one, other, weight : ndarray (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from skvae._fitting.comparison import surely_higher
    >>> even = np.ones(4)
    >>> surely_higher(np.array([1.0, 1.2, 0.9, 1.1]), np.zeros(4), even)
    True
    >>> surely_higher(np.array([9.0, 0.0, 0.0, -8.0]), np.zeros(4), even)
    False
    """
    w, gain = weight / weight.sum(), one - other
    mean = w @ gain
    return bool(mean > np.sqrt(np.square(w) @ np.square(gain - mean)))
