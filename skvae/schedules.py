"""Schedules: which parameter group moves in each step. A schedule is a value.

`groups` names the parameter groups behind each optimizer; `steps(batches)` is a generator that yields
(optimizer number, batch) and is sent the loss of that step (a tensor, so that reading it is a choice).
"""

from abc import ABC, abstractmethod

from sklearn.base import BaseEstimator

__all__ = ["SCHEDULES", "Joint", "Schedule"]


class Schedule(BaseEstimator, ABC):
    """Base class of schedules; subclass it for one of your own.

    Attributes
    ----------
    groups : tuple of tuple of str
        For each optimizer the parameter groups it moves: "inference" (phi), "generative" (theta).
    """

    groups: tuple[tuple[str, ...], ...] = ()

    @abstractmethod
    def steps(self, batches):
        """Yield (optimizer number, batch) for one epoch; each yield returns that step's loss."""


class Joint(Schedule):
    """Encoder and decoder move together in every step (auto-encoding variational Bayes): short name "joint".

    Kingma & Welling (2014), algorithm 1.

    Examples
    --------
    >>> from skvae import Joint, VAETransformer
    >>> VAETransformer(schedule=Joint())
    VAETransformer(schedule=Joint())
    """

    groups = (("inference", "generative"),)

    def steps(self, batches):
        """One step per batch."""
        for batch in batches:
            yield 0, batch


SCHEDULES = {"joint": Joint}
