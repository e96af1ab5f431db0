"""Objectives with a critic: adversarial autoencoder, adversarial variational Bayes, GAN and VAE-GAN."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import softplus

from .._utils.checks import NON_NEGATIVE, POSITIVE, SIZES
from .._utils.compat import Intervals
from ..distributions.latent import joint_log_prob, kl, summed
from ..networks.architectures import mlp
from .base import Model, Objective

__all__ = ["AAE", "AVB", "GAN", "VAEGAN", "Adversarial"]


class Adversarial(Objective):
    """What objectives with a critic share: how it is built and trained. There is no monitor for losses of a game."""

    monitor = None
    _parameter_constraints = {
        "hidden_layer_sizes": [SIZES],
        "critic_learning_rate": [POSITIVE, None],
        "betas": [Intervals(Real, 0, 1, closed="left", least=2, most=2), None],
        "gradient_penalty": [NON_NEGATIVE],
    }

    def __init__(
        self,
        hidden_layer_sizes: tuple = (64, 64),
        critic_learning_rate: float | None = None,
        betas: tuple[float, float] | None = None,
        gradient_penalty: float = 0.0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.critic_learning_rate = critic_learning_rate
        self.betas = betas
        self.gradient_penalty = gradient_penalty

    @property
    def auxiliary_learning_rate(self) -> float | None:  # type: ignore[override]
        """The learning rate of the critic, where one is given."""
        return self.critic_learning_rate

    def _critic(self, n_in: int) -> "Critic":
        """Rows (..., n_in) -> logits (..., 1)."""
        return Critic(n_in, self.hidden_layer_sizes)

    def _critic_loss(self, model: Model, real: Tensor, fake: Tensor) -> Tensor:
        r"""What the critic minimises on a pair of rows (..., n_in) without a gradient of their own, (...).

        .. math:: - \ln s(T(r)) - \ln s(-T(f)) + \tfrac\gamma2 (|\nabla T(r)|^2 + |\nabla T(f)|^2)
        """
        if not self.gradient_penalty:
            return logistic_loss(model.auxiliary(real), model.auxiliary(fake))
        rows = torch.stack([real, fake]).requires_grad_()
        logits = model.auxiliary(rows)
        (slopes,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
        return logistic_loss(*logits) + self.gradient_penalty / 2 * slopes.square().sum((0, -1))


class Critic(nn.Module):
    """Rows (..., n_in) -> logits (...): initially zero, so that it has no effect before it has learned."""

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


class AAE(Adversarial):
    r"""Adversarial autoencoder, whose critic matches the codes as a whole to the prior: short name "aae".

    .. math:: -E_x \ln p(x | z) - \lambda\, E_{q(z)} \ln s(T(z)), \qquad
        \max_T E_{p(z)} \ln s(T(z)) + E_{q(z)} \ln s(-T(z))

    Makhzani et al. (2015), section 2; the same as WAE-GAN, Tolstikhin et al. (2018), algorithm 1; Yang's lecture,
    eq. (22).

    Parameters
    ----------
    weight : float, default=20.0
        The lambda above, in nats: what is left to the critic is a small fraction of a nat.
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Of the critic.
    critic_learning_rate : float or None, default=3e-3
        None is the estimator's.
    betas : pair of float or None, default=(0.5, 0.999)
        Of Adam, for autoencoder and critic. None is (0.9, 0.999); SGD takes the first one.
    gradient_penalty : float, default=0.1
        The gamma of `GAN`, for the critic of codes: a large one makes it insensitive to small differences.

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
    _parameter_constraints = {**Adversarial._parameter_constraints, "weight": [NON_NEGATIVE]}

    def __init__(
        self,
        weight: float = 20.0,
        hidden_layer_sizes: tuple = (64, 64),
        critic_learning_rate: float | None = 3e-3,
        betas: tuple[float, float] | None = (0.5, 0.999),
        gradient_penalty: float = 0.1,
    ) -> None:
        self.weight = weight
        super().__init__(hidden_layer_sizes, critic_learning_rate, betas, gradient_penalty)

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
        return {"auxiliary_loss": self._critic_loss(model, z_p, z)}


class AVB(Adversarial):
    r"""Adversarial variational Bayes, where a critic estimates the KL of a posterior without density: short name "avb".

    .. math:: -E_q [\ln p(x | z) - \ln r(z | x) + \ln p(z) - T(x, \tilde z)], \qquad
        \max_T E_{q(z|x)} \ln s(T(x, \tilde z)) + E_{N(\tilde z; 0, I)} \ln s(-T(x, \tilde z))

    r is the normal with the moments of q and :math:`\tilde z = (z - \mu) / \sigma` is z in its units ("adaptive
    contrast"): the critic learns only how q differs from a normal; at the start q is normal, and the bound is exact.

    Mescheder et al. (2017), section 3, algorithm 1, and "Adaptive Contrast".

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Of the critic.
    critic_learning_rate : float, optional
        None is the estimator's.
    betas : pair of float, optional
        Of Adam, for model and critic. None is (0.9, 0.999); SGD takes the first one.
    gradient_penalty : float, default=0.0
        The gamma of `GAN`. A penalty keeps the critic from the density ratio that gives the KL, so there is none by
        default.

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
    >>> round(vae.history_[-1]["train_kl"], 1), round(float(exact), 1)
    (2.9, 3.0)
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
            pairs = [_paired(x, mask, codes) for codes in (z, torch.randn_like(z))]
        return {"auxiliary_loss": self._critic_loss(model, *pairs).mean(0)}

    def _contrast(self, model: Model, q: Any) -> Normal:
        """r: the normal with the moments of q."""
        with torch.no_grad():
            return Normal(q.mean, q.stddev.clamp(min=1e-6), validate_args=False)


class _Generating(Adversarial):
    """A critic of rows: those of the table against draws x ~ p(x | z), z ~ p(z)."""

    generates = True

    def auxiliary(self, n_features: int, width: int) -> nn.Module | None:
        """A critic that reads rows."""
        return self._critic(n_features)

    def auxiliary_loss(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """Data against generated rows with the same missing cells."""
        with torch.no_grad():
            real, fake = (_observed(rows, mask) for rows in (x, self._generated(model, x, mask)))
        return {"auxiliary_loss": self._critic_loss(model, real, fake)}

    def _fooling(self, model: Model, x: Tensor, mask: Tensor | None) -> Tensor:
        r"""The generator's loss :math:`-\ln s(T(\hat x))`, (B,)."""
        return softplus(-model.auxiliary(_observed(self._generated(model, x, mask), mask)))

    def _generated(self, model: Model, x: Tensor, mask: Tensor | None) -> Tensor:
        """As many rows as x (B, D) has, given what x is given."""
        z = model.prior(model.encode).sample((1, len(x)))
        return model.decode(z, model.given(x, mask)).rsample()[0]


class GAN(_Generating):
    r"""Generative adversarial network, a generator against a critic of rows, without an encoder: short name "gan".

    .. math:: \min_\theta - E \ln s(T(\hat x)), \; \hat x \sim p(x | z), z \sim p(z), \qquad
        \max_T E_x \ln s(T(x)) + E \ln s(-T(\hat x)) - \tfrac\gamma2 (E_x |\nabla T(x)|^2 + E |\nabla T(\hat x)|^2)

    The generator is the decoder with its likelihood, whose draws must be differentiable. It offers `sample` and
    `decode`; codes and scores have no meaning. With both penalties the game ends near its equilibrium: without them, or
    with the first alone, groups of rows get lost. A game has no loss to monitor, so training always runs for `max_iter`
    epochs; "auto" makes at least 3000 steps, whatever the number of rows.

    Goodfellow et al. (2014), algorithm 1 with the generator's loss of section 3; Mescheder et al. (2018), eqs. (9) and
    (10), for the penalties, here together; He's lecture, GAN.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Of the critic; the generator's are the estimator's, by default two layers.
    critic_learning_rate : float or None, default=3e-3
        Faster than the generator's; None is the estimator's.
    betas : pair of float or None, default=(0.5, 0.999)
        Of Adam, for both players: less momentum, since a game tends to cycle. None is (0.9, 0.999); SGD takes the first
        one.
    gradient_penalty : float, default=1.0
        The gamma above, in model space.

    See Also
    --------
    VAEGAN : The same critic beside a bound, with codes and scores.
    AAE : A critic of codes in place of rows.

    References
    ----------
    L. Mescheder, A. Geiger, S. Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018.

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

    def __init__(
        self,
        hidden_layer_sizes: tuple = (64, 64),
        critic_learning_rate: float | None = 3e-3,
        betas: tuple[float, float] | None = (0.5, 0.999),
        gradient_penalty: float = 1.0,
    ) -> None:
        super().__init__(hidden_layer_sizes, critic_learning_rate, betas, gradient_penalty)

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The cost of generated rows that the critic tells from the data."""
        return {"loss": self._fooling(model, x, mask)}


class VAEGAN(_Generating):
    r"""Variational autoencoder whose generated rows a critic cannot tell from the table's: short name "vae_gan".

    .. math:: -E_q \ln p(x | z) + KL(q(z|x) \| p(z)) - \lambda\, E \ln s(T(\hat x)), \;
        \hat x \sim p(x | z), z \sim p(z)

    and the critic's loss of `GAN`. The bound constrains the decoder at the codes of rows, but hardly at codes between
    them; the critic sees just these. The model has codes and a score, and it is the only objective with an encoder
    whose draws are trained to look like rows.

    Larsen et al. (2016), sections 2 and 3, who also measure the reconstruction in the critic's hidden layer. Here the
    likelihood of the rows is kept instead, so that `score` is a bound.

    Parameters
    ----------
    weight : float, default=20.0
        The lambda above, in nats: what is left to the critic is a small fraction of a nat.
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Of the critic; encoder and decoder have two layers by default.
    critic_learning_rate : float or None, default=3e-3
        None is the estimator's.
    betas : pair of float or None, default=(0.5, 0.999)
        Of Adam, for all players. None is (0.9, 0.999); SGD takes the first one.
    gradient_penalty : float, default=0.1
        The gamma of `GAN`; smaller, since the bound already keeps the decoder near the rows.

    See Also
    --------
    GAN : The critic without the bound.
    ELBO : The bound without the critic.
    AAE : A critic of codes in place of rows.

    References
    ----------
    A. B. L. Larsen, S. K. Sonderby, H. Larochelle, O. Winther, "Autoencoding beyond Pixels Using a Learned Similarity
    Metric", ICML 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAEGAN, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=VAEGAN(), max_iter=3, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.sample(100, random_state=0).shape
    ((150, 2), (100, 4))
    >>> sorted(name for name in vae.history_[-1] if name.startswith("train_"))
    ['train_adversarial', 'train_auxiliary_loss', 'train_kl', 'train_loss', 'train_reconstruction']
    """

    needs_density = True
    takes_closed_form = True
    _parameter_constraints = {**Adversarial._parameter_constraints, "weight": [NON_NEGATIVE]}

    def __init__(
        self,
        weight: float = 20.0,
        hidden_layer_sizes: tuple = (64, 64),
        critic_learning_rate: float | None = 3e-3,
        betas: tuple[float, float] | None = (0.5, 0.999),
        gradient_penalty: float = 0.1,
    ) -> None:
        self.weight = weight
        super().__init__(hidden_layer_sizes, critic_learning_rate, betas, gradient_penalty)

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The negative ELBO, and the cost of generated rows that the critic tells from the data."""
        q, p = model.encode(x, mask), model.prior(model.encode)
        z = model.draw(q, u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        kl_qp, adversarial = summed(kl(q, p, z)), self._fooling(model, x, mask)
        loss = kl_qp - log_px + self.weight * adversarial
        return {"loss": loss, "reconstruction": log_px, "kl": kl_qp, "adversarial": adversarial}


def _observed(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else torch.where(mask, x, 0.0)


def _paired(x: Tensor, mask: Tensor | None, z: Tensor) -> Tensor:
    """Rows (B, D) beside their codes (S, B, K): (S, B, D + K)."""
    return torch.cat([_observed(x, mask).expand(len(z), -1, -1), z], -1)
