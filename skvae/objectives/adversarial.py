"""Objectives with a critic: adversarial autoencoder, adversarial variational Bayes, and GAN."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import softplus

from .._utils.checks import NON_NEGATIVE, POSITIVE, SIZES
from ..distributions.latent import joint_log_prob
from ..networks.architectures import mlp
from .base import Model, Objective

__all__ = ["AAE", "AVB", "GAN"]


class _Adversarial(Objective):
    """What the three objectives with a critic share: its shape and its learning rate. No monitor: losses of a game."""

    monitor = None
    _parameter_constraints = {"hidden_layer_sizes": [SIZES], "critic_learning_rate": [POSITIVE, None]}

    def __init__(self, hidden_layer_sizes: tuple = (64, 64), critic_learning_rate: float | None = None) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.critic_learning_rate = critic_learning_rate

    @property
    def auxiliary_learning_rate(self) -> float | None:  # type: ignore[override]
        """The learning rate of the critic, where one is given."""
        return self.critic_learning_rate

    def _critic(self, n_in: int) -> "Critic":
        """Rows (..., n_in) -> logits (..., 1)."""
        return Critic(n_in, self.hidden_layer_sizes)


class Critic(nn.Module):
    """Rows (..., n_in) -> logits (...): zero at the start, so that it moves nothing before it has learned."""

    def __init__(self, n_in: int, hidden_layer_sizes: Sequence[int]) -> None:
        super().__init__()
        self.net: Any = mlp(n_in, 1, hidden_layer_sizes, "silu", 0.0)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, rows: Tensor) -> Tensor:
        """The logit of each row, (...)."""
        return self.net(rows).squeeze(-1) + self.bias


def logistic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What a critic minimises, -ln s(T(real)) - ln s(-T(fake)), from its logits."""
    return softplus(-real) + softplus(fake)


class AAE(_Adversarial):
    r"""Adversarial autoencoder, a critic keeps the codes as a whole at the prior: short name "aae".

    .. math:: -E_x \ln p(x | z) - \lambda\, E_{q(z)} \ln s(T(z)), \qquad
        \max_T E_{p(z)} \ln s(T(z)) + E_{q(z)} \ln s(-T(z))

    Makhzani et al. (2015), section 2; the same as WAE-GAN, Tolstikhin et al. (2018), algorithm 1; Yang's lecture,
    eq. (22).

    Parameters
    ----------
    weight : float, default=2.0
        The lambda above, in nats.
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Of the critic.
    critic_learning_rate : float or None, default=3e-4
        A slow critic keeps the codes calm; None is the estimator's.

    See Also
    --------
    WAEMMD : The same with a kernel, without a critic to train.
    AVB : A critic in a bound, row by row.

    Examples
    --------
    A critic that cannot tell the codes of the initialisation from normal ones loses 2 ln 2, and there is hardly a push:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import AAE, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=AAE(weight=5.0), max_iter=3, random_state=0).fit(X)
    >>> round(vae.history_[-1]["train_auxiliary_loss"], 2)
    1.39
    """

    posterior = "point"
    _parameter_constraints = {**_Adversarial._parameter_constraints, "weight": [NON_NEGATIVE]}

    def __init__(
        self,
        weight: float = 2.0,
        hidden_layer_sizes: tuple = (64, 64),
        critic_learning_rate: float | None = 3e-4,
    ) -> None:
        self.weight = weight
        super().__init__(hidden_layer_sizes, critic_learning_rate)

    def auxiliary(self, n_features: int, width: int) -> nn.Module | None:
        """A critic that reads codes."""
        return self._critic(width)

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The reconstruction, and the cost of codes that the critic tells from the prior."""
        z = model.draw(model.encode(x, mask), u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        adversarial = softplus(-model.auxiliary(z)).mean(0)
        return {"loss": self.weight * adversarial - log_px, "reconstruction": log_px, "adversarial": adversarial}

    def auxiliary_loss(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """Draws of the prior against codes."""
        with torch.no_grad():
            z = model.draw(model.encode(x, mask), u)[0]
            z_p = model.prior(model.encode).sample((len(z),))
        return {"auxiliary_loss": logistic_loss(model.auxiliary(z_p), model.auxiliary(z))}


class AVB(_Adversarial):
    r"""Adversarial variational Bayes, the KL of a posterior without density by a critic: short name "avb".

    .. math:: -E_q [\ln p(x | z) - \ln r(z | x) + \ln p(z) - T(x, \tilde z)], \qquad
        \max_T E_{q(z|x)} \ln s(T(x, \tilde z)) + E_{N(\tilde z; 0, I)} \ln s(-T(x, \tilde z))

    r is the normal with the moments of q and :math:`\tilde z = (z - \mu) / \sigma` is z in its units ("adaptive
    contrast"): the critic learns only in what q is not normal, and at the start, where q is, the bound is exact.

    Mescheder et al. (2017), section 3, algorithm 1, and "Adaptive Contrast".

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Of the critic.
    critic_learning_rate : float, optional
        None is the estimator's.

    See Also
    --------
    Implicit : The posterior that it is for.
    ELBO : The same bound where q has a density.

    Examples
    --------
    The KL in the history is the critic's, and near the exact one of normal codes at first:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import AVB, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=AVB(), init="pca", max_iter=1, random_state=0).fit(X)
    >>> exact = VAETransformer(2, init="pca", max_iter=0).fit(X).kl_per_component_.sum()
    >>> bool(abs(vae.history_[-1]["train_kl"] - exact) < 0.2)
    True
    """

    posterior = "implicit"
    estimates_kl = True

    def auxiliary(self, n_features: int, width: int) -> nn.Module | None:
        """A critic of rows with their codes."""
        return self._critic(n_features + width)

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The ELBO with the critic's ln q."""
        q = model.encode(x, mask)
        z, r = model.draw(q, u), self._contrast(model, q)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        log_ratio = model.auxiliary(_paired(x, mask, (z - r.mean) / r.stddev))
        log_pz = joint_log_prob(model.prior(model.encode), z)
        kl_qp = (joint_log_prob(r, z) - log_pz + log_ratio).mean(0)
        return {"loss": kl_qp - log_px, "reconstruction": log_px, "kl": kl_qp}

    def auxiliary_loss(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """Codes in the units of their own moments against standard normal ones."""
        with torch.no_grad():
            q = model.encode(x, mask)
            r = self._contrast(model, q)
            z = (model.draw(q, u) - r.mean) / r.stddev
            noise = torch.randn_like(z)
        real, fake = (model.auxiliary(_paired(x, mask, codes)) for codes in (z, noise))
        return {"auxiliary_loss": logistic_loss(real, fake).mean(0)}

    def _contrast(self, model: Model, q: Any) -> Normal:
        """r: the normal with the moments of q."""
        with torch.no_grad():
            return Normal(q.mean, q.stddev.clamp(min=1e-6), validate_args=False)


class GAN(_Adversarial):
    r"""Generative adversarial network, a generator against a critic of rows without an encoder: short name "gan".

    .. math:: \min_\theta - E \ln s(T(\hat x)), \; \hat x \sim p(x | z), z \sim p(z), \qquad
        \max_T E_x \ln s(T(x)) + E \ln s(-T(\hat x))

    The generator is the decoder with its likelihood, whose draws must be differentiable. It offers `sample` and
    `decode`; codes and scores have no meaning.

    Goodfellow et al. (2014), algorithm 1 with the generator's loss of section 3; He's lecture, GAN.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Of the critic.
    critic_learning_rate : float or None, default=3e-3
        Faster than the generator's; None is the estimator's.

    See Also
    --------
    AAE : A critic of codes in place of rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import GAN, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> gan = VAETransformer(2, objective=GAN(), max_iter=3, random_state=0).fit(X)
    >>> gan.sample(100, random_state=0).shape
    (100, 4)
    >>> hasattr(gan, "transform")
    False
    """

    posterior = None
    log_px_parts = {}

    def __init__(self, hidden_layer_sizes: tuple = (64, 64), critic_learning_rate: float | None = 3e-3) -> None:
        super().__init__(hidden_layer_sizes, critic_learning_rate)

    def auxiliary(self, n_features: int, width: int) -> nn.Module | None:
        """A critic that reads rows."""
        return self._critic(n_features)

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The cost of generated rows that the critic tells from the data."""
        return {"loss": softplus(-model.auxiliary(_observed(self._generated(model, x), mask)))}

    def auxiliary_loss(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """Data against generated rows with the same missing cells."""
        with torch.no_grad():
            generated = self._generated(model, x)
        real, fake = (model.auxiliary(_observed(rows, mask)) for rows in (x, generated))
        return {"auxiliary_loss": logistic_loss(real, fake)}

    def _generated(self, model: Model, x: Tensor) -> Tensor:
        z = model.prior(model.encode).sample((1, len(x)))
        return model.decode(z).rsample()[0]


def _observed(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else torch.where(mask, x, 0.0)


def _paired(x: Tensor, mask: Tensor | None, z: Tensor) -> Tensor:
    """Rows (B, D) beside their codes (S, B, K): (S, B, D + K)."""
    return torch.cat([_observed(x, mask).expand(len(z), -1, -1), z], -1)
