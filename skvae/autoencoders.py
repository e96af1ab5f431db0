"""Autoencoders without a bound: plain, Wasserstein and adversarial ones, and the lectures' GAN.

A critic T is a network whose logit tells two sources apart; trained to its optimum it is their log density ratio,

    max_T E_a ln s(T) + E_b ln s(-T)   ->   T = ln a - ln b,    s the logistic function

(Goodfellow et al. 2014, proposition 1). -ln s(T) is softplus(-T).
"""

from numbers import Integral

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn.functional import softplus

from .distributions.latent import joint_log_prob
from .distributions.mmd import KERNELS, mmd
from .networks.architectures import mlp
from .objective import Objective, is_non_negative

__all__ = ["AAE", "AE", "AVB", "GAN", "WAEMMD"]


class AE(Objective):
    r"""Plain autoencoder, :math:`\ln p(x | e(x))` for a code without noise: short name "ae".

    Nothing draws the codes to the prior; so `sample` draws from a Gaussian mixture that is fitted to them after
    training (`code_density_`; Ghosh et al. 2020, "ex-post density estimation"). There is no score.

    He's lecture, autoencoder against variational autoencoder.

    See Also
    --------
    ELBO : The objective with noise in the codes, a prior and a score.
    WAEMMD : An autoencoder whose codes are drawn to a prior.
    sklearn.decomposition.PCA : The linear autoencoder.

    Examples
    --------
    Models without a score are compared by their reconstruction error, here the share of variance that is lost:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import AE, VAETransformer, metrics
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=AE(), max_iter=5, random_state=0).fit(X)
    >>> metrics.reconstruction_error(vae, X) < 0.05
    True
    >>> vae.code_density_.means_.shape[1]  # what `sample` draws codes from
    2
    """

    posterior = "point"
    uses_prior = False

    def __call__(self, model, x, mask, u):
        """The reconstruction alone."""
        log_px = model.training_log_likelihood(x, mask, model.draw(model.encode(x, mask), u)).mean(0)
        return {"loss": -log_px, "reconstruction": log_px}


class WAEMMD(Objective):
    r"""Wasserstein autoencoder whose codes match the prior as a whole: short name "wae_mmd".

    .. math:: -E_x \ln p(x | z) + \lambda\, MMD^2(q(z), p(z)), \qquad q(z) = E_x q(z | x)

    A single code may lie anywhere, and only all together are compared with draws of the prior, batch by batch.

    Tolstikhin et al. (2018), algorithm 2; Yang's lecture, eq. (23).

    Parameters
    ----------
    weight : float, default=100.0
        The lambda above, in nats: MMD^2 of normalised kernels is at most 2.
    kernel : {"imq", "rbf"}, default="imq"
        Means over seven widths of the inverse multiquadratic or the Gaussian kernel.

    See Also
    --------
    AAE : The same with a critic in place of the kernel.
    metrics.mmd_to_prior : What is left of the discrepancy.

    Examples
    --------
    Without a weight nothing draws the codes to the prior:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer, WAEMMD, metrics
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, init="random", max_iter=5, early_stopping=False, random_state=0)
    >>> mmd = lambda weight: metrics.mmd_to_prior(vae.set_params(objective=WAEMMD(weight=weight)).fit(X), X)
    >>> mmd(100.0) < mmd(0.0)
    True
    """

    posterior = "point"
    is_row_wise = False

    def __init__(self, weight: float = 100.0, kernel: str = "imq"):
        self.weight = weight
        self.kernel = kernel

    def check(self):
        """Every parameter in its range."""
        self._check_parameter("weight", is_non_negative, "a float in the range [0, inf)")
        self._check_choice("kernel", tuple(KERNELS))

    def __call__(self, model, x, mask, u):
        """The reconstruction, and each row's share of the batch's MMD."""
        z = model.draw(model.encode(x, mask), u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        discrepancy = mmd(z[0], model.prior(model.encode).sample((len(x),)), self.kernel)
        return {"loss": self.weight * discrepancy - log_px, "reconstruction": log_px, "mmd": discrepancy}


class _Adversarial(Objective):
    """What the three objectives with a critic share: its shape and its learning rate. No monitor: losses of a game."""

    monitor = None

    def __init__(self, hidden_layer_sizes: tuple = (64, 64), critic_learning_rate: float | None = None):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.critic_learning_rate = critic_learning_rate

    @property
    def auxiliary_learning_rate(self):
        """The critic's."""
        return self.critic_learning_rate

    def check(self):
        """Every parameter in its range."""
        self._check_parameter("hidden_layer_sizes", are_sizes, "a tuple of positive ints")
        good = lambda rate: rate is None or (is_non_negative(rate) and rate > 0)  # noqa: E731
        self._check_parameter("critic_learning_rate", good, "a positive float or None")

    def _critic(self, n_in):
        """Rows (..., n_in) -> logits (..., 1)."""
        return Critic(n_in, self.hidden_layer_sizes)


class Critic(nn.Module):
    """Rows (..., n_in) -> logits (...): zero at the start, so that it moves nothing before it has learned."""

    def __init__(self, n_in, hidden_layer_sizes):
        super().__init__()
        self.net = mlp(n_in, 1, hidden_layer_sizes, "silu", 0.0)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, rows):
        """The logit."""
        return self.net(rows).squeeze(-1) + self.bias


def are_sizes(sizes):
    """A tuple of positive ints, at least one."""
    return isinstance(sizes, (tuple, list)) and bool(sizes) and all(isinstance(n, Integral) and n >= 1 for n in sizes)


def told_apart(real, fake):
    """-ln s(T(real)) - ln s(-T(fake)): what the critic minimises."""
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
    A critic that cannot tell the codes of the start from normal ones loses 2 ln 2, and there is hardly a push:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import AAE, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=AAE(weight=5.0), max_iter=3, random_state=0).fit(X)
    >>> round(vae.history_[-1]["train_auxiliary_loss"], 2)
    1.39
    """

    posterior = "point"

    def __init__(
        self,
        weight: float = 2.0,
        hidden_layer_sizes: tuple = (64, 64),
        critic_learning_rate: float | None = 3e-4,
    ):
        self.weight = weight
        super().__init__(hidden_layer_sizes, critic_learning_rate)

    def check(self):
        """Every parameter in its range."""
        self._check_parameter("weight", is_non_negative, "a float in the range [0, inf)")
        super().check()

    def auxiliary(self, n_features, width):
        """A critic of codes."""
        return self._critic(width)

    def __call__(self, model, x, mask, u):
        """The reconstruction, and what it costs to be told from the prior."""
        z = model.draw(model.encode(x, mask), u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        adversarial = softplus(-model.auxiliary(z)).mean(0)
        return {"loss": self.weight * adversarial - log_px, "reconstruction": log_px, "adversarial": adversarial}

    def auxiliary_loss(self, model, x, mask, u):
        """Draws of the prior against codes."""
        with torch.no_grad():
            z = model.draw(model.encode(x, mask), u)[0]
            z_p = model.prior(model.encode).sample((len(z),))
        return {"auxiliary_loss": told_apart(model.auxiliary(z_p), model.auxiliary(z))}


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

    def auxiliary(self, n_features, width):
        """A critic of rows with their codes."""
        return self._critic(n_features + width)

    def __call__(self, model, x, mask, u):
        """The ELBO with the critic's ln q."""
        q = model.encode(x, mask)
        z, r = model.draw(q, u), self._contrast(model, q)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        log_ratio = model.auxiliary(_paired(x, mask, (z - r.mean) / r.stddev))
        log_pz = joint_log_prob(model.prior(model.encode), z)
        kl_qp = (joint_log_prob(r, z) - log_pz + log_ratio).mean(0)
        return {"loss": kl_qp - log_px, "reconstruction": log_px, "kl": kl_qp}

    def auxiliary_loss(self, model, x, mask, u):
        """Codes in the units of their own moments against standard normal ones."""
        with torch.no_grad():
            q = model.encode(x, mask)
            r = self._contrast(model, q)
            z = (model.draw(q, u) - r.mean) / r.stddev
            noise = torch.randn_like(z)
        real, fake = (model.auxiliary(_paired(x, mask, codes)) for codes in (z, noise))
        return {"auxiliary_loss": told_apart(real, fake).mean(0)}

    def _contrast(self, model, q):
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

    def __init__(self, hidden_layer_sizes: tuple = (64, 64), critic_learning_rate: float | None = 3e-3):
        super().__init__(hidden_layer_sizes, critic_learning_rate)

    def auxiliary(self, n_features, width):
        """A critic of rows."""
        return self._critic(n_features)

    def __call__(self, model, x, mask, u):
        """What it costs the generator to be told from the data."""
        return {"loss": softplus(-model.auxiliary(_observed(self._generated(model, x), mask)))}

    def auxiliary_loss(self, model, x, mask, u):
        """Data against generated rows with the same missing cells."""
        with torch.no_grad():
            generated = self._generated(model, x)
        real, fake = (model.auxiliary(_observed(rows, mask)) for rows in (x, generated))
        return {"auxiliary_loss": told_apart(real, fake)}

    def _generated(self, model, x):
        z = model.prior(model.encode).sample((1, len(x)))
        return model.decode(z).rsample()[0]


def _observed(x, mask):
    return x if mask is None else torch.where(mask, x, 0.0)


def _paired(x, mask, z):
    """Rows (B, D) beside their codes (S, B, K): (S, B, D + K)."""
    return torch.cat([_observed(x, mask).expand(len(z), -1, -1), z], -1)
