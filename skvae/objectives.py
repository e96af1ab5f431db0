"""Objectives: (model, x, mask, u) -> row-wise loss and its readable parts, in nats of the model's own units.

An objective is a value. Training averages its "loss" over a batch; `monitor` is the number that early stopping
watches on held-out rows, the lower the better, or None to keep the last state.
"""

import math
from abc import ABC, abstractmethod
from numbers import Integral, Real

from sklearn.base import BaseEstimator

from .distributions import joint_kl

__all__ = ["ELBO", "OBJECTIVES", "Objective"]


class Objective(BaseEstimator, ABC):
    """Base class of objectives; subclass it for one of your own.

    Attributes
    ----------
    monitor : str or None
        Which of the parts is watched on held-out rows.
    warm_up : int
        Epochs before patience starts to count.
    n_samples : int
        S, draws of z per row and training step.
    """

    monitor = "loss"
    warm_up = 0
    n_samples = 1

    def check(self):
        """Raise a ValueError for a bad parameter; called before training."""

    @abstractmethod
    def __call__(self, model, x, mask, u):
        """Give the parts, "loss" among them.

        Parameters
        ----------
        model : LatentVariableModel
        x, mask : Tensor (B, D); mask may be None
        u : Tensor (S, B, n_noise)
            Base noise for `model.draw`.

        Returns
        -------
        dict of str -> Tensor (B,)
        """


class ELBO(Objective):
    r"""Evidence lower bound with a reparameterised draw and the closed-form KL where there is one: short name "elbo".

    .. math:: L(x) = \frac1S \sum_s \ln p(x | z_s) - \beta\, KL(q(z|x) \| p(z)), \qquad z_s = g(u_s; x)

    Kingma & Welling (2014), eq. 7; Higgins et al. (2017), eq. 4 for beta; Ghojogh's lecture, eqs. (26), (32), (35).

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the KL in training. `score` always uses 1.
    n_samples : int, default=1
        S, draws of z per row and step.

    Examples
    --------
    >>> from skvae import ELBO, VAETransformer
    >>> VAETransformer(objective=ELBO(beta=4.0))
    VAETransformer(objective=ELBO(beta=4.0))
    """

    def __init__(self, beta: float = 1.0, n_samples: int = 1):
        self.beta = beta
        self.n_samples = n_samples

    def check(self):
        """beta is a non-negative float, n_samples a positive int."""
        if not (isinstance(self.beta, Real) and 0 <= self.beta < math.inf):
            must = "must be a float in the range [0, inf)"
            raise ValueError(f"The 'beta' parameter of ELBO {must}. Got {self.beta!r} instead.")
        if not (isinstance(self.n_samples, Integral) and self.n_samples >= 1):
            must = "must be an int in the range [1, inf)"
            raise ValueError(f"The 'n_samples' parameter of ELBO {must}. Got {self.n_samples!r} instead.")

    def __call__(self, model, x, mask, u):
        """-L(x) and its two terms, (B,) each."""
        q = model.encode(x, mask)
        z = model.draw(q, u)
        log_px = model.log_likelihood(x, mask, z).mean(0)
        kl_qp = joint_kl(q, model.prior(model.encode), z)
        return {"loss": self.beta * kl_qp - log_px, "reconstruction": log_px, "kl": kl_qp}


OBJECTIVES = {"elbo": ELBO}
