"""Lower bounds on ln p(x): the ELBO, with its three estimators and two gradients, and the importance-weighted bound.

Letters: log_px (S, B) is ln p(x | z_s), log_pz and log_qz likewise; all numbers are in nats.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from .._utils.checks import COUNT, NON_NEGATIVE
from .._utils.compat import StrOptions
from ..distributions.latent import has_closed_form, joint_log_prob, kl, monte_carlo_kl, summed
from .annealing import Annealing, LinearAnnealing
from .base import Model, Objective

__all__ = ["ELBO", "IWAE"]


class ELBO(Objective):
    r"""Evidence lower bound: short name "elbo".

    .. math:: L(x) = \frac1S \sum_s \ln p(x | z_s) - \beta\, KL(q(z|x) \| p(z)), \qquad z_s \sim q(z|x)

    Three estimators of one number, which differ in the KL: "analytic" takes the closed form and has the variance of
    the reconstruction alone; "monte_carlo" estimates it from S further draws, which adds its own variance;
    "joint" takes the mean of :math:`\ln p(x, z_s) - \ln q(z_s | x)` over the same draws: its two terms cancel, and at
    the exact posterior it has no variance at all.

    Draws of a step come in pairs, :math:`z = \mu \pm \sigma u`: in the mean of their gradients all terms of odd order
    in u cancel, so that one pair is worth about four independent draws (docs/benchmarks.md). Of an odd number the last
    one is alone. The score function takes independent draws, since it compares each with the others.

    There are two gradients for phi: "pathwise" differentiates the draws; "score_function" only needs the density,

    .. math:: \nabla_\phi E_q f = E_q [(f(z) - b) \nabla_\phi \ln q(z|x)],

    with the mean of f over the other draws as b, and so works for discrete codes; far from the exact posterior its
    variance is much larger (docs/benchmarks.md).

    Kingma & Welling (2014), eqs. (6) and (7); Higgins et al. (2017), section 2, for beta; Kingma et al. (2016),
    appendix, "objective with free bits"; Kool et al. (2019) for the leave-one-out b. Ghojogh's lecture, eqs. (24),
    (26), (27) for the three estimators; Isachenko's, log-derivative trick. Wu et al. (2019) for antithetic draws.

    Parameters
    ----------
    kl : {"auto", "analytic", "monte_carlo", "joint"}, default="auto"
        "auto" is "analytic" where a closed form is registered and "joint" elsewhere.
    n_samples : int, default=2
        S, draws of z per row and step; at least 2 for the score function. With one, as in the papers, the noise of the
        draws slows training down.
    beta : float or Annealing, default=1.0
        Weight of the KL in training, or its schedule over the epochs. `score` always uses 1.
    free_bits : float, default=0.0
        Nats that each component may carry free of charge: max(free_bits, mean KL over the batch) per component. If the
        KL does not factorise, K times as many for the whole code.
    gradient : {"pathwise", "score_function"}, default="pathwise"
        Estimator of the gradient in phi, see above. Posteriors without differentiable draws need "score_function".

    See Also
    --------
    IWAE : A tighter bound from several draws.
    LinearAnnealing : A schedule for beta.
    AVB : The same bound for a posterior without density.

    Examples
    --------
    A heavier KL leaves less information in the codes, here in nats per flower:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import ELBO, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, max_iter=5, early_stopping=False, random_state=0)
    >>> information = lambda beta: vae.set_params(objective=ELBO(beta=beta)).fit(X).kl_per_component_.sum()
    >>> round(float(information(1.0)), 1), round(float(information(4.0)), 1)
    (3.5, 2.7)
    """

    needs_density = True

    _parameter_constraints = {
        "kl": [StrOptions({"auto", "analytic", "monte_carlo", "joint"})],
        "n_samples": [COUNT],
        "beta": [NON_NEGATIVE, Annealing],
        "free_bits": [NON_NEGATIVE],
        "gradient": [StrOptions({"pathwise", "score_function"})],
    }

    def __init__(
        self,
        kl: str = "auto",
        n_samples: int = 2,
        beta: float | Annealing = 1.0,
        free_bits: float = 0.0,
        gradient: str = "pathwise",
    ) -> None:
        self.kl = kl
        self.n_samples = n_samples
        self.beta = beta
        self.free_bits = free_bits
        self.gradient = gradient

    @property
    def needs_pathwise(self) -> bool:  # type: ignore[override]
        """The score function does without."""
        return self.gradient == "pathwise"

    @property
    def takes_closed_form(self) -> bool:  # type: ignore[override]
        """The other two estimators of the KL go by draws."""
        return self.kl in ("auto", "analytic")

    @property
    def needs_closed_form(self) -> bool:  # type: ignore[override]
        """If it is requested, and for free bits with a gradient that does not use draws."""
        return self.kl == "analytic" or (bool(self.free_bits) and not self.needs_pathwise)

    @property
    def n_draws(self) -> int:
        """S, and S more for a KL with its own draws."""
        return (2 if self.kl == "monte_carlo" else 1) * self.n_samples

    @property
    def pairs_draws(self) -> bool:  # type: ignore[override]
        """The score function compares each draw with the mean of the others, which must not depend on it."""
        return self.needs_pathwise

    @property
    def is_row_wise(self) -> bool:  # type: ignore[override]
        """Free bits go by the mean over the batch."""
        return not self.free_bits

    @property
    def warm_up(self) -> int:  # type: ignore[override]
        """Patience waits for the annealing."""
        return self.beta.warm_up if isinstance(self.beta, Annealing) else 0

    def check(self) -> None:
        """Also that there are two draws for a leave-one-out mean, and a closed form for free bits without draws."""
        super().check()
        if self.gradient == "score_function" and self.n_samples < 2:
            raise ValueError(
                "ELBO(gradient='score_function') compares each draw with the mean of the others: set n_samples to at "
                f"least 2. Got n_samples={self.n_samples}."
            )
        if self.gradient == "score_function" and self.free_bits and self.kl in ("monte_carlo", "joint"):
            raise ValueError("ELBO(gradient='score_function') takes free_bits only with kl='analytic' or 'auto'.")

    def at(self, epoch: float) -> Objective:
        """The weight of the epoch in place of its course."""
        if not isinstance(self.beta, Annealing):
            return self
        now = copy.copy(self)
        now.beta = self.beta(epoch)
        return now

    def annealed(self, n_epochs: int) -> Objective:
        """A rise to a constant beta; a course or free bits are another remedy, which someone has chosen."""
        if isinstance(self.beta, Annealing) or self.free_bits:
            return self
        rising = copy.copy(self)
        rising.beta = LinearAnnealing(n_epochs, end=self.beta)
        return rising

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """-L(x) and its two terms, (B,) each."""
        q, p = model.encode(x, mask), model.prior(model.encode)
        z = model.draw(q, u) if self.needs_pathwise else model.posterior.push(q, u).detach()
        z, z_kl = z.chunk(2) if self.kl == "monte_carlo" else (z, z)
        log_px = model.training_log_likelihood(x, mask, z)
        divergence = self._divergence(q, p, z_kl)
        reconstruction, kl_qp = log_px.mean(0), summed(divergence)
        charge = summed(self._charged(divergence, z.shape[-1])) if self.free_bits else kl_qp
        loss = self.beta * charge - reconstruction
        if not self.needs_pathwise:
            loss = loss - self._score_function_terms(q, p, z, z_kl, log_px)
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl_qp}

    def _divergence(self, q: Distribution, p: Distribution, z: Tensor) -> Tensor:
        return kl(q, p, z) if self.takes_closed_form else monte_carlo_kl(q, p, z)

    def _charged(self, kl_qp: Tensor, width: int) -> Tensor:
        """A component below the free amount costs that amount and has no gradient."""
        free = self.free_bits * (1 if kl_qp.ndim == 2 else width)
        return torch.where(kl_qp.mean(0) > free, kl_qp, free)

    def _score_function_terms(
        self, q: Distribution, p: Distribution, z: Tensor, z_kl: Tensor, log_px: Tensor
    ) -> Tensor:
        """Zero in value; its gradient in phi is that of every expectation over draws in the bound."""
        if has_closed_form(q, p) and self.takes_closed_form:
            return score_function(log_px, joint_log_prob(q, z))
        log_qz = joint_log_prob(q, z_kl)
        log_ratio = self.beta * (joint_log_prob(p, z_kl) - log_qz)
        explicit = self.beta * value_free(log_qz).mean(0)  # E_q grad ln q = 0: nothing but noise
        if self.kl == "monte_carlo":
            return score_function(log_ratio, log_qz) + score_function(log_px, joint_log_prob(q, z)) + explicit
        return score_function(log_px + log_ratio, log_qz) + explicit


class IWAE(Objective):
    r"""Importance-weighted bound: short name "iwae".

    .. math:: L_S(x) = E \ln \frac1S \sum_s w_s, \quad w_s = p(x, z_s) / q(z_s | x), \quad L_1 \le L_S \le \ln p(x)

    With normalised weights :math:`\tilde w_s = w_s / \sum_t w_t`, the gradient in phi is "pathwise";
    "doubly_reparameterized", :math:`\sum_s \tilde w_s^2\, \partial_{z_s} \ln w_s\, \partial_\phi z_s`, whose signal
    does not vanish with S; or "score_function" (VIMCO), which only needs the density and compares the bound with the
    one where :math:`\ln w_s` is replaced by the mean of the others.

    Burda et al. (2016), section 3; Tucker et al. (2019), section 3; Mnih & Rezende (2016), section 2.
    Yang's lecture, importance-sampled marginal likelihood.

    Parameters
    ----------
    n_samples : int, default=8
        S, draws per row and step; at least 2 for the score function.
    gradient : {"pathwise", "doubly_reparameterized", "score_function"}, default="pathwise"
        Estimator of the gradient in phi; in theta it is the same for all.

    See Also
    --------
    ELBO : The bound with one draw, whose KL may have a closed form.
    metrics.marginal_log_likelihood : The same bound of any fitted model.

    Examples
    --------
    The loss is below the KL less the reconstruction, which is the negative ELBO over the same draws:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import IWAE, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=IWAE(n_samples=50), max_iter=1, early_stopping=False, random_state=0).fit(X)
    >>> epoch = vae.history_[-1]
    >>> round(epoch["train_loss"], 1), round(epoch["train_kl"] - epoch["train_reconstruction"], 1)
    (2.7, 2.9)
    """

    needs_density = True

    _parameter_constraints = {
        "n_samples": [COUNT],
        "gradient": [StrOptions({"pathwise", "doubly_reparameterized", "score_function"})],
    }

    def __init__(self, n_samples: int = 8, gradient: str = "pathwise") -> None:
        self.n_samples = n_samples
        self.gradient = gradient

    @property
    def needs_pathwise(self) -> bool:  # type: ignore[override]
        """The score function does without."""
        return self.gradient != "score_function"

    def check(self) -> None:
        """Also that there are two draws for a leave-one-out mean."""
        super().check()
        if self.gradient == "score_function" and self.n_samples < 2:
            raise ValueError(
                "The 'n_samples' parameter of IWAE must be an int of at least 2 with gradient='score_function', "
                f"as it compares each draw with the mean of the others. Got {self.n_samples!r} instead."
            )

    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """-L_S(x), and the terms of the ELBO over the same draws, (B,) each."""
        raw, p = model.encoder(x, mask), model.prior(model.encode)
        q = model.posterior(raw)
        z = model.draw(q, u) if self.needs_pathwise else model.posterior.push(q, u).detach()
        log_px, log_pz, log_qz = model.training_log_likelihood(x, mask, z), joint_log_prob(p, z), joint_log_prob(q, z)
        log_w = log_px + log_pz - log_qz
        loss = math.log(len(z)) - log_w.logsumexp(0)
        if self.gradient == "doubly_reparameterized" and z.requires_grad:
            log_w = log_px + log_pz - _detached_log_prob(model.posterior, raw, z)
            loss = loss.detach() - _doubly_reparameterized(log_w, z)
        if self.gradient == "score_function":
            loss = loss - ((loss_without_each(log_w) - loss).detach() * value_free(log_qz)).sum(0)
        return {"loss": loss, "reconstruction": log_px.mean(0), "kl": (log_qz - log_pz).mean(0)}


def score_function(f: Tensor, log_qz: Tensor) -> Tensor:
    """Zero in value, with the gradient mean_s (f_s - mean of the other f) grad ln q(z_s); f and log_qz (S, B)."""
    others = (f.sum(0) - f) / (len(f) - 1)
    return ((f - others).detach() * value_free(log_qz)).mean(0)


def value_free(t: Tensor) -> Tensor:
    """Zero, with the gradient of t."""
    return t - t.detach()


def loss_without_each(log_w: Tensor) -> Tensor:
    """-L_S with ln w_s replaced by the mean of the others, for each s: (S, B)."""
    S = len(log_w)
    geometric = (log_w.sum(0) - log_w) / (S - 1)
    eye = torch.eye(S, dtype=torch.bool, device=log_w.device)[:, :, None]
    return math.log(S) - torch.where(eye, geometric, log_w).logsumexp(1)


class _LogProb(nn.Module):
    """ln q(z) of the posterior behind raw numbers."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, raw: Tensor, z: Tensor) -> Tensor:
        """(S, B)."""
        return joint_log_prob(self.head(raw), z)


def _detached_log_prob(head: nn.Module, raw: Tensor, z: Tensor) -> Tensor:
    """ln q(z_s | x), (S, B), with a gradient in z alone: raw numbers and the head's own parameters are detached."""
    log_prob = _LogProb(head)  # as a module: the layers of a flow run when the density is asked for, not before
    own = {name: parameter.detach() for name, parameter in log_prob.named_parameters()}
    return functional_call(log_prob, own, (raw.detach(), z))


def _doubly_reparameterized(log_w: Tensor, z: Tensor) -> Tensor:
    """Zero in value; weights w~ for theta and, through the hook on z, w~^2 for phi. log_w is (S, B)."""
    w = log_w.softmax(0).detach()
    z.register_hook(lambda gradient: gradient * w[..., None])
    return value_free((w * log_w).sum(0))
