"""Schedules of the KL weight over the epochs: functions of the absolute epoch, never of a fraction of `max_iter`."""

from abc import ABC, abstractmethod

from .._utils.checks import COUNT, NON_NEGATIVE
from .._utils.component import Component

__all__ = ["Annealing", "CyclicalAnnealing", "LinearAnnealing"]


class Annealing(Component, ABC):
    """Base class of schedules of the KL weight; subclass it for your own.

    It is a function of the absolute epoch, never of a fraction of `max_iter`: so early stopping, `warm_start` and
    `partial_fit` see the same weights.

    Attributes
    ----------
    warm_up : int
        Epochs until the weight is constant; early stopping waits for them.

    See Also
    --------
    ELBO : Takes it as its parameter `beta`.
    LinearAnnealing : One rise.
    CyclicalAnnealing : Several.

    Examples
    --------
    Half a cosine:

    >>> import math
    >>> from skvae import ELBO, Annealing, VAETransformer
    >>> class Cosine(Annealing):
    ...     def __init__(self, n_epochs=10):
    ...         self.n_epochs = n_epochs
    ...
    ...     @property
    ...     def warm_up(self):
    ...         return self.n_epochs
    ...
    ...     def __call__(self, epoch):
    ...         return (1 - math.cos(math.pi * min(1.0, epoch / self.n_epochs))) / 2
    >>> [round(Cosine(n_epochs=4)(epoch), 2) for epoch in range(6)]
    [0.0, 0.15, 0.5, 0.85, 1.0, 1.0]
    >>> VAETransformer(objective=ELBO(beta=Cosine(n_epochs=20)))
    VAETransformer(objective=ELBO(beta=Cosine(n_epochs=20)))
    """

    warm_up = 0

    @abstractmethod
    def __call__(self, epoch: float) -> float:
        """Give the weight of the KL in an absolute epoch.

        Training calls it for 0, 1, ...; held-out rows are scored with the weight of epoch inf, which must be finite.

        Parameters
        ----------
        epoch : int or float
            Epochs that are over, or inf.

        Returns
        -------
        float
            A weight of at least 0.

        See Also
        --------
        Objective.at : Calls it at the beginning of each epoch.

        Examples
        --------
        >>> import math
        >>> from skvae import LinearAnnealing
        >>> course = LinearAnnealing(n_epochs=10)
        >>> course(5), course(math.inf)
        (0.5, 1.0)
        """


class LinearAnnealing(Annealing):
    r"""A straight line, then constant: :math:`\beta_t = start + (end - start) \min(1, t / n)`.

    A KL with little weight at first lets the codes become useful before the prior can switch them off.

    Bowman et al. (2016), section 3.1, "KL cost annealing"; He's lecture, posterior collapse.

    Parameters
    ----------
    n_epochs : int, default=10
        Length of the line, n.
    start : float, default=0.0
        Weight in epoch 0.
    end : float, default=1.0
        Weight from epoch n on.

    See Also
    --------
    CyclicalAnnealing : Several lines one after the other.
    ELBO : Takes it as its parameter `beta`, and has `free_bits` for the same purpose.

    Examples
    --------
    >>> from skvae import ELBO, LinearAnnealing, VAETransformer
    >>> [LinearAnnealing(n_epochs=4)(epoch) for epoch in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    >>> VAETransformer(objective=ELBO(beta=LinearAnnealing(n_epochs=20)))
    VAETransformer(objective=ELBO(beta=LinearAnnealing(n_epochs=20)))
    """

    _parameter_constraints = {"n_epochs": [COUNT], "start": [NON_NEGATIVE], "end": [NON_NEGATIVE]}

    def __init__(self, n_epochs: int = 10, start: float = 0.0, end: float = 1.0) -> None:
        self.n_epochs = n_epochs
        self.start = start
        self.end = end

    @property
    def warm_up(self) -> int:  # type: ignore[override]
        """The length of the line."""
        return self.n_epochs

    def __call__(self, epoch: float) -> float:
        """The weight on the line, or at its end."""
        return self.start + (self.end - self.start) * min(1.0, epoch / self.n_epochs)


class CyclicalAnnealing(Annealing):
    r"""A few rises from start to end, each over the first half of its cycle.

    .. math:: \beta_t = start + (end - start) \min(1, 2 (t \bmod n) / n), \qquad t < M n

    After the last of M cycles the weight is end. Fu et al. (2019), cyclical annealing schedule, with R = 0.5 and a
    linear f.

    Parameters
    ----------
    n_epochs : int, default=10
        Length of one cycle, n.
    n_cycles : int, default=4
        Number of cycles, M.
    start : float, default=0.0
        Weight at the beginning of each cycle.
    end : float, default=1.0
        Weight in the second half of each cycle.

    See Also
    --------
    LinearAnnealing : A single rise.

    Examples
    --------
    >>> from skvae import CyclicalAnnealing
    >>> [CyclicalAnnealing(n_epochs=4, n_cycles=2)(epoch) for epoch in range(10)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    """

    _parameter_constraints = {**LinearAnnealing._parameter_constraints, "n_cycles": [COUNT]}

    def __init__(self, n_epochs: int = 10, n_cycles: int = 4, start: float = 0.0, end: float = 1.0) -> None:
        self.n_epochs = n_epochs
        self.n_cycles = n_cycles
        self.start = start
        self.end = end

    @property
    def warm_up(self) -> int:  # type: ignore[override]
        """The length of all cycles together."""
        return self.n_epochs * self.n_cycles

    def __call__(self, epoch: float) -> float:
        """The weight on a rise, or at its end."""
        if epoch >= self.warm_up:
            return self.end
        return self.start + (self.end - self.start) * min(1.0, 2 * (epoch % self.n_epochs) / self.n_epochs)
