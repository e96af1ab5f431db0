"""Bounds whose KL is decomposed into parts with their own weights: beta-TC-VAE, FactorVAE and InfoVAE.

With q(z) = mean_j q(z | x_j) over the rows of a batch, for codes z of these rows,

    E KL(q(z|x) || p(z)) = E ln q(z|x) / q(z) + E ln q(z) / prod_k q(z_k) + E ln prod_k q(z_k) / p(z),

the information of codes about rows, the total correlation of their components, and the divergence of single components
from the prior (Hoffman & Johnson 2016; Chen et al. 2018, eq. 2).
"""

from numbers import Real

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._utils.checks import NON_NEGATIVE
from .._utils.compat import Interval, StrOptions
from ..distributions.latent import joint_log_prob, kl, log_aggregate_and_factors, summed
from ..distributions.mmd import KERNELS, mmd
from .adversarial import Adversarial
from .base import Model, Objective

__all__ = ["BetaTCVAE", "FactorVAE", "InfoVAE"]


class BetaTCVAE(Objective):
    r"""Bound whose KL has three parts, with more weight on the total correlation: short name "beta_tc_vae".

    .. math:: -E_q \ln p(x | z) + \alpha\, I(x; z) + \beta\, KL(q(z) \| \textstyle\prod_k q(z_k))
        + \gamma\, E_{q(z)} \ln \frac{\prod_k q(z_k)}{p(z)}, \qquad q(z) = \frac1B \sum_j q(z | x_j)

    `ELBO(beta=4.0)` takes information from the codes to make their components independent; here only their dependence
    is penalised. With weights 1, 1, 1 it is the ELBO, term by term, since q(z) cancels. The rows of a batch represent
    the table: up to a constant this is the paper's minibatch-weighted sampling. The information in a batch is at most
    ln B, so use batches of a few hundred rows or more.

    Chen et al. (2018), eqs. (2) to (4).

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of the information about single rows, I(x; z).
    beta : float, default=4.0
        Weight of the total correlation.
    gamma : float, default=1.0
        Weight of the divergence of single components from the prior.

    See Also
    --------
    FactorVAE : The total correlation estimated by a critic.
    ELBO : One weight for all three.
    metrics.mutual_information : The first part, for a fitted model.

    References
    ----------
    R. T. Q. Chen, X. Li, R. Grosse, D. Duvenaud, "Isolating Sources of Disentanglement in Variational Autoencoders",
    NeurIPS 2018.

    Examples
    --------
    The three parts are in the history; they add up to the KL of the same draws:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import BetaTCVAE, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=BetaTCVAE(), max_iter=20, learning_rate=4e-3, random_state=0).fit(X)
    >>> epoch = vae.history_[-1]
    >>> parts = [epoch[f"train_{part}"] for part in ("mutual_information", "total_correlation", "dimension_wise")]
    >>> [round(part, 1) for part in parts], round(epoch["train_kl"], 1)
    ([1.5, -0.0, 0.7], 2.2)
    """

    needs_density = True
    needs_factors = True
    takes_closed_form = True
    is_row_wise = False
    _parameter_constraints = {"alpha": [NON_NEGATIVE], "beta": [NON_NEGATIVE], "gamma": [NON_NEGATIVE]}

    def __init__(self, alpha: float = 1.0, beta: float = 4.0, gamma: float = 1.0) -> None:
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The negative ELBO, and each part of its KL as often as its weight is above 1."""
        q, p = model.encode(x, mask), model.prior(model.encode)
        z = model.draw(q, u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        kl_qp, parts = summed(kl(q, p, z)), decomposed_kl(q, p, z)
        weights = {"mutual_information": self.alpha, "total_correlation": self.beta, "dimension_wise": self.gamma}
        extra = sum((weights[name] - 1) * part for name, part in parts.items())
        return {"loss": kl_qp - log_px + extra, "reconstruction": log_px, "kl": kl_qp, **parts}


def decomposed_kl(q: Distribution, p: Distribution, z: Tensor) -> dict[str, Tensor]:
    """The parts of each row's KL to the prior over draws z (S, B, K) of a factorised q, (B,) each."""
    log_qz, log_factors = log_aggregate_and_factors(q, z)
    return {
        "mutual_information": (joint_log_prob(q, z) - log_qz).mean(0),
        "total_correlation": (log_qz - log_factors).mean(0),
        "dimension_wise": (log_factors - joint_log_prob(p, z)).mean(0),
    }


class FactorVAE(Adversarial):
    r"""Bound with the total correlation of the codes, estimated by a critic: short name "factor_vae".

    .. math:: -E_q \ln p(x | z) + KL(q(z|x) \| p(z)) + \lambda\, E_{q(z)} T(z), \qquad
        \max_T E_{q(z)} \ln s(T(z)) + E_{\prod_k q(z_k)} \ln s(-T(z))

    The critic tells codes from codes whose components come from different rows; at its optimum T is
    :math:`\ln q(z) / \prod_k q(z_k)`, whose mean is the total correlation. A critic averages over many rows, where
    `BetaTCVAE` sees only those of a batch. It only reads draws, so that q may also be "full" or "flow".

    Kim & Mnih (2018), section 3, algorithm 2; the components of one batch are permuted, instead of those of a second
    batch.

    Parameters
    ----------
    weight : float, default=6.0
        The lambda above (gamma in the paper): the weight of the total correlation in addition to the bound.
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Of the critic.
    critic_learning_rate : float or None, default=3e-3
        None is the estimator's.
    betas : pair of float or None, default=(0.5, 0.9)
        Of Adam, for the model and the critic. None is (0.9, 0.999); SGD takes the first one.
    gradient_penalty : float, default=0.0
        The gamma of `GAN`. A penalty keeps the critic from the density ratio that it should learn, so there is none by
        default.

    See Also
    --------
    BetaTCVAE : The same without a critic, whose loss can be monitored.
    AAE : A critic of codes against the prior.

    References
    ----------
    H. Kim, A. Mnih, "Disentangling by Factorising", ICML 2018.

    Examples
    --------
    A critic that cannot tell permuted components from codes loses 2 ln 2, and there is hardly a push:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import FactorVAE, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=FactorVAE(), max_iter=3, random_state=0).fit(X)
    >>> round(vae.history_[0]["train_auxiliary_loss"], 1)
    1.4
    """

    needs_density = True
    exchanges_components = True
    takes_closed_form = True
    is_row_wise = False
    _parameter_constraints = {**Adversarial._parameter_constraints, "weight": [NON_NEGATIVE]}

    def __init__(
        self,
        weight: float = 6.0,
        hidden_layer_sizes: tuple = (64, 64),
        critic_learning_rate: float | None = 3e-3,
        betas: tuple[float, float] | None = (0.5, 0.9),
        gradient_penalty: float = 0.0,
    ) -> None:
        self.weight = weight
        super().__init__(hidden_layer_sizes, critic_learning_rate, betas, gradient_penalty)

    def auxiliary(self, n_features: int, width: int) -> nn.Module | None:
        """A critic that reads codes."""
        return self._critic(width)

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The negative ELBO, and the critic's total correlation."""
        q, p = model.encode(x, mask), model.prior(model.encode)
        z = model.draw(q, u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        kl_qp, dependence = summed(kl(q, p, z)), model.auxiliary(z).mean(0)
        loss = kl_qp - log_px + self.weight * dependence
        return {"loss": loss, "reconstruction": log_px, "kl": kl_qp, "total_correlation": dependence}

    def auxiliary_loss(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """Codes against codes whose components are permuted over the rows."""
        with torch.no_grad():
            z = model.draw(model.encode(x, mask), u)[0]
            permuted = z.gather(0, torch.rand_like(z).argsort(0))
        return {"auxiliary_loss": self._critic_loss(model, z, permuted)}


class InfoVAE(Objective):
    r"""Bound between a VAE and a Wasserstein autoencoder, with a divergence of the aggregate: short name "info_vae".

    .. math:: -E_q \ln p(x | z) + (1 - \alpha)\, KL(q(z|x) \| p(z)) + (\alpha + \lambda - 1)\, MMD^2(q(z), p(z))

    Of the two parts of the KL, the information of codes about rows and the distance of all codes to the prior, a large
    alpha penalises the first less, and a large lambda penalises the second more. With alpha 0 and lambda 1 it is the
    ELBO; with alpha 1 it is `WAEMMD` with noise in the codes, the MMD-VAE.

    Zhao et al. (2019), eq. (6), with the squared MMD as divergence.

    Parameters
    ----------
    alpha : float, default=0.5
        The alpha above, at most 1; below 0 it is a beta-VAE of weight 1 - alpha.
    weight : float, default=100.0
        The lambda above, in nats: MMD^2 of normalised kernels is at most 2.
    kernel : {"imq", "rbf"}, default="imq"
        As in `WAEMMD`.

    See Also
    --------
    WAEMMD : Without noise in the codes, and so without a score.
    BetaTCVAE : Other parts of the same KL.
    metrics.mmd_to_prior : What is left of the discrepancy.

    References
    ----------
    S. Zhao, J. Song, S. Ermon, "InfoVAE: Balancing Learning and Inference in Variational Autoencoders", AAAI 2019.

    Examples
    --------
    Codes carry more information about the rows, in nats per flower, and as a whole are like the prior:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import InfoVAE, VAETransformer, metrics
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, prior="normal", max_iter=20, early_stopping=False, random_state=0)
    >>> kl = lambda alpha: vae.set_params(objective=InfoVAE(alpha=alpha)).fit(X).kl_per_component_.sum()
    >>> bool(kl(0.0) < kl(0.9) - 0.5), metrics.mmd_to_prior(vae, X) < 0.01
    (True, True)
    """

    needs_density = True
    takes_closed_form = True
    is_row_wise = False
    _parameter_constraints = {
        "alpha": [Interval(Real, None, 1, closed="right")],
        "weight": [NON_NEGATIVE],
        "kernel": [StrOptions(set(KERNELS))],
    }

    def __init__(self, alpha: float = 0.5, weight: float = 100.0, kernel: str = "imq") -> None:
        self.alpha = alpha
        self.weight = weight
        self.kernel = kernel

    def check(self) -> None:
        """Also that no discrepancy is rewarded."""
        super().check()
        if self.alpha + self.weight < 1:
            raise ValueError(
                "InfoVAE needs alpha + weight >= 1, else it would reward codes that are unlike the prior. Got "
                f"alpha={self.alpha!r}, weight={self.weight!r} instead."
            )

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The negative bound with a part of its KL, and each row's share of the batch's MMD."""
        q, p = model.encode(x, mask), model.prior(model.encode)
        z = model.draw(q, u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        kl_qp, discrepancy = summed(kl(q, p, z)), mmd(z[0], p.sample((len(x),)), self.kernel)
        loss = (1 - self.alpha) * kl_qp - log_px + (self.alpha + self.weight - 1) * discrepancy
        return {"loss": loss, "reconstruction": log_px, "kl": kl_qp, "mmd": discrepancy}
