"""Autoencoders without a bound: plain, regularised and Wasserstein ones; `adversarial.py` has those with a critic.

A critic T is a network whose logit tells two sources apart; trained to its optimum it is their log density ratio,

    max_T E_a ln s(T) + E_b ln s(-T)   ->   T = ln a - ln b,    s the logistic function

(Goodfellow et al. 2014, proposition 1). -ln s(T) is softplus(-T).
"""

import torch
from torch import Tensor

from .._utils.checks import NON_NEGATIVE
from .._utils.compat import StrOptions
from ..distributions.mmd import KERNELS, mmd
from .base import Model, Objective

__all__ = ["AE", "RAE", "WAEMMD"]


class AE(Objective):
    r"""Plain autoencoder, :math:`\ln p(x | e(x))` for a code without noise: short name "ae".

    Nothing pulls the codes towards a prior; with ``prior="auto"`` a mixture of normals is fitted to them after the
    training, from which `sample` draws (`prior_`; Ghosh et al. 2020, "ex-post density estimation"). ``prior="flow"`` or
    "mixture" fits another density instead. There is no score.

    He's lecture, autoencoder against variational autoencoder.

    See Also
    --------
    RAE : Small codes and a smooth decoder.
    ELBO : The objective with noise in the codes, a prior and a score.
    WAEMMD : An autoencoder whose codes are pulled towards a prior.
    sklearn.decomposition.PCA : The linear autoencoder.

    Examples
    --------
    Models without a score are compared by their reconstruction error, here the share of variance that is lost:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import AE, VAETransformer, metrics
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=AE(), max_iter=5, random_state=0).fit(X)
    >>> round(metrics.reconstruction_error(vae, X), 2)
    0.04
    >>> vae.prior_.sample((3,)).shape  # codes, as `sample` draws them
    torch.Size([3, 2])
    """

    posterior = "point"
    uses_prior = False

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The reconstruction alone."""
        log_px = model.training_log_likelihood(x, mask, model.draw(model.encode(x, mask), u)).mean(0)
        return {"loss": -log_px, "reconstruction": log_px}


class RAE(Objective):
    r"""Regularised autoencoder, small codes and a smooth decoder in place of noise: short name "rae".

    .. math:: -\ln p(x | z) + \frac\lambda2 |z|^2 + \gamma\, |\nabla_z D(z)|^2, \qquad z = e(x)

    D(z) are the outputs of the decoder, and the squared derivatives of all outputs by all components are summed,
    estimated without bias by the squared derivative along one random direction. Small codes alone would only be scaled
    up again by the decoder, and a smooth decoder alone leads to wide codes. As for `AE`, a density is fitted to the
    codes after the training. The paper's third form, a decay of the decoder's weights, is
    ``VAETransformer(objective=RAE(gradient_penalty=0.0), weight_decay=1e-4)``.

    Ghosh et al. (2020), eqs. (9) and (10).

    Parameters
    ----------
    weight : float, default=0.1
        The lambda above (beta in the paper), in nats.
    gradient_penalty : float, default=0.1
        The gamma above (lambda in the paper), in nats; model space has unit variances.

    See Also
    --------
    AE : Without both.
    ELBO : The bound, whose noise makes the decoder smooth.

    References
    ----------
    P. Ghosh, M. S. M. Sajjadi, A. Vergari, M. Black, B. Schoelkopf, "From Variational to Deterministic Autoencoders",
    ICLR 2020.

    Examples
    --------
    A decoder that is kept smooth moves the rows less where the codes move:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import RAE, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, max_iter=5, early_stopping=False, random_state=0)
    >>> def step(penalty):
    ...     vae.set_params(objective=RAE(gradient_penalty=penalty)).fit(X)
    ...     low, high = vae.inverse_transform([[-0.1, 0.0], [0.1, 0.0]])
    ...     return abs(high - low).sum()
    >>> round(float(step(0.0)), 1), round(float(step(1.0)), 1)
    (0.7, 0.4)
    """

    posterior = "point"
    uses_prior = False
    _parameter_constraints = {"weight": [NON_NEGATIVE], "gradient_penalty": [NON_NEGATIVE]}

    def __init__(self, weight: float = 0.1, gradient_penalty: float = 0.1) -> None:
        self.weight = weight
        self.gradient_penalty = gradient_penalty

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The reconstruction, the size of the code, and the decoder's slopes at it."""
        z = model.draw(model.encode(x, mask), u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        size = z.square().sum(-1).mean(0) / 2
        parts = {"loss": self.weight * size - log_px, "reconstruction": log_px, "size": size}
        if self.gradient_penalty:
            parts["slopes"] = squared_slopes(model, z, model.given(x, mask))
            parts["loss"] = parts["loss"] + self.gradient_penalty * parts["slopes"]
        return parts


def squared_slopes(model: Model, z: Tensor, given: Tensor | None) -> Tensor:
    """|J v|^2, J the Jacobian of the decoder's numbers and v one standard normal direction, of mean tr J'J: (B,)."""
    v = torch.randn(z.shape, dtype=z.dtype, device=z.device)
    _, slopes, *_ = torch.func.jvp(lambda code: tuple(model.raw_row(code, given)), (z.contiguous(),), (v,))
    squares = [slope.square().sum(-1) for slope in slopes]
    return torch.stack(squares).sum(0).mean(0)


class WAEMMD(Objective):
    r"""Wasserstein autoencoder whose codes match the prior as a whole: short name "wae_mmd".

    .. math:: -E_x \ln p(x | z) + \lambda\, MMD^2(q(z), p(z)), \qquad q(z) = E_x q(z | x)

    A single code may lie anywhere; only the codes of a batch together are compared with draws from the prior.

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
    >>> round(mmd(0.0), 1), round(mmd(100.0), 1)
    (0.1, 0.0)
    """

    posterior = "point"
    is_row_wise = False

    _parameter_constraints = {"weight": [NON_NEGATIVE], "kernel": [StrOptions(set(KERNELS))]}

    def __init__(self, weight: float = 100.0, kernel: str = "imq") -> None:
        self.weight = weight
        self.kernel = kernel

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """The reconstruction, and each row's share of the batch's MMD."""
        z = model.draw(model.encode(x, mask), u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        discrepancy = mmd(z[0], model.prior(model.encode).sample((len(x),)), self.kernel)
        return {"loss": self.weight * discrepancy - log_px, "reconstruction": log_px, "mmd": discrepancy}
