"""The contract of an objective: (model, x, mask, u) -> row-wise loss and its readable parts, in the model's own units.

An objective is a value. Training averages its "loss" over a batch; `monitor` is the number that early stopping watches
on held-out rows, the lower the better, or None to keep the last state. An objective with a critic builds it as the
model's auxiliary module, whose parameters (psi) are moved by a loss and an optimizer of their own.
"""

import math
from abc import ABC, abstractmethod
from numbers import Integral, Real

from ._documented import Documented

__all__ = ["Objective", "is_non_negative"]


class Objective(Documented, ABC):
    """Base class of objectives; subclass it for one of your own.

    Attributes
    ----------
    monitor : str or None
        Which of the parts is watched on held-out rows.
    log_px_parts : dict of str -> float
        The parts that contain log p(x given z), and with which sign: the history adds the log-Jacobian to them.
    warm_up : int
        Epochs before patience starts to count.
    n_samples : int
        S, draws of z per row and training step.
    n_draws : int
        Draws of base noise per row and step that the loop hands over; S unless some serve another purpose.
    posterior : str or None
        What ``posterior="auto"`` means; None for an objective without an encoder.
    needs_density, needs_pathwise : bool
        Whether log q(z given x), and whether differentiable draws of it, are needed.
    estimates_kl : bool
        Whether a KL to the prior is estimated without ln q(z given x), so that q must be spread out inside the prior.
    uses_prior : bool
        Whether codes are drawn towards the prior, so that `sample` may draw from it.
    auxiliary_learning_rate : float or None
        Of the auxiliary module; None is the estimator's.
    """

    monitor: str | None = "loss"
    log_px_parts = {"loss": -1.0, "reconstruction": 1.0}
    warm_up = 0
    n_samples = 1
    posterior: str | None = "diag"
    needs_density = False
    needs_pathwise = True
    estimates_kl = False
    uses_prior = True
    auxiliary_learning_rate: float | None = None

    @property
    def n_draws(self):
        """S, where every draw of base noise becomes one code."""
        return self.n_samples

    @property
    def has_auxiliary(self):
        """Whether this class builds an auxiliary module."""
        return type(self).auxiliary is not Objective.auxiliary

    def check(self):
        """Raise a ValueError for a bad parameter; called before training."""

    def at(self, epoch):
        """The objective of an absolute epoch 0, 1, ... (inf: when all annealing is over, which held-out rows see)."""
        return self

    @abstractmethod
    def __call__(self, model, x, mask, u):
        """Give the parts, "loss" among them, which moves phi and theta.

        Parameters
        ----------
        model : LatentVariableModel
        x, mask : Tensor (B, D); mask may be None
        u : Tensor (n_draws, B, n_noise)
            Base noise for `model.draw`.

        Returns
        -------
        dict of str -> Tensor (B,)
        """

    def auxiliary(self, n_features, width):
        """Build the auxiliary module for rows (B, D) and codes (B, K); None where there is none."""
        return None

    def auxiliary_loss(self, model, x, mask, u):
        """Give the parts, "auxiliary_loss" among them, which moves psi; as `__call__`."""
        raise NotImplementedError(f"{type(self).__name__} has no auxiliary module.")

    def _check_parameter(self, name, is_good, must):
        value = getattr(self, name)
        if not is_good(value):
            raise ValueError(f"The {name!r} parameter of {type(self).__name__} must be {must}. Got {value!r} instead.")

    def _check_count(self, name, lowest):
        is_good = lambda value: isinstance(value, Integral) and value >= lowest  # noqa: E731
        self._check_parameter(name, is_good, f"an int in the range [{lowest}, inf)")

    def _check_choice(self, name, choices):
        self._check_parameter(name, lambda value: value in choices, f"one of {list(choices)}")


def is_non_negative(value):
    """Whether it is a finite number of at least 0."""
    return isinstance(value, Real) and 0 <= value < math.inf
