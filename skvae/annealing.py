"""Courses of the KL weight over the epochs: functions of the absolute epoch, never of a fraction of `max_iter`."""

from abc import ABC, abstractmethod
from numbers import Integral, Real

from ._documented import Documented

__all__ = ["Annealing", "CyclicalAnnealing", "LinearAnnealing"]


class Annealing(Documented, ABC):
    """Base class of courses; subclass it for one of your own.

    Attributes
    ----------
    warm_up : int
        Epochs until the weight stays where it is; patience waits for them.
    """

    warm_up = 0

    @abstractmethod
    def __call__(self, epoch) -> float:
        """Weight in the absolute epoch 0, 1, ...; that of epoch inf is what held-out rows are judged by."""

    def check(self):
        """Raise a ValueError for a bad parameter; called before training."""


class LinearAnnealing(Annealing):
    r"""A straight line, then constant: :math:`\beta_t = start + (end - start) \min(1, t / n)`.

    Bowman et al. (2016), section 3.1, "KL cost annealing"; He's lecture, posterior collapse.

    Parameters
    ----------
    n_epochs : int, default=10
    start, end : float, default=0.0 and 1.0

    Examples
    --------
    >>> from skvae import ELBO, LinearAnnealing, VAETransformer
    >>> VAETransformer(objective=ELBO(beta=LinearAnnealing(n_epochs=20)))
    VAETransformer(objective=ELBO(beta=LinearAnnealing(n_epochs=20)))
    >>> [LinearAnnealing(n_epochs=4)(epoch) for epoch in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """

    def __init__(self, n_epochs: int = 10, start: float = 0.0, end: float = 1.0):
        self.n_epochs = n_epochs
        self.start = start
        self.end = end

    def check(self):
        """Positive epochs, finite weights."""
        _check(self, "n_epochs")

    @property
    def warm_up(self):
        """All its epochs."""
        return self.n_epochs

    def __call__(self, epoch):
        """The line."""
        return self.start + (self.end - self.start) * min(1.0, epoch / self.n_epochs)


class CyclicalAnnealing(Annealing):
    r"""A few rises from start to end, each over the first half of its cycle; after the last cycle the weight is end.

    Fu et al. (2019), cyclical annealing schedule, with R = 0.5 and a linear f.

    Parameters
    ----------
    n_epochs : int, default=10
        Length of one cycle.
    n_cycles : int, default=4
    start, end : float, default=0.0 and 1.0

    Examples
    --------
    >>> from skvae import CyclicalAnnealing
    >>> [CyclicalAnnealing(n_epochs=4, n_cycles=2)(epoch) for epoch in range(10)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, n_epochs: int = 10, n_cycles: int = 4, start: float = 0.0, end: float = 1.0):
        self.n_epochs = n_epochs
        self.n_cycles = n_cycles
        self.start = start
        self.end = end

    def check(self):
        """Positive epochs and cycles, finite weights."""
        _check(self, "n_epochs", "n_cycles")

    @property
    def warm_up(self):
        """All its cycles."""
        return self.n_epochs * self.n_cycles

    def __call__(self, epoch):
        """The saw tooth."""
        if epoch >= self.warm_up:
            return self.end
        return self.start + (self.end - self.start) * min(1.0, 2 * (epoch % self.n_epochs) / self.n_epochs)


def _check(annealing, *counts):
    """The counts are positive ints, start and end finite and not negative."""
    name = type(annealing).__name__
    for parameter in counts:
        value = getattr(annealing, parameter)
        if not (isinstance(value, Integral) and value >= 1):
            raise ValueError(f"The {parameter!r} parameter of {name} must be a positive int. Got {value!r} instead.")
    for parameter in ("start", "end"):
        value = getattr(annealing, parameter)
        if not (isinstance(value, Real) and 0 <= value < float("inf")):
            must = "must be a float in the range [0, inf)"
            raise ValueError(f"The {parameter!r} parameter of {name} {must}. Got {value!r} instead.")
