"""The latent-variable model: encoder network and posterior head, prior, decoder network and likelihood.

p(x, z) = p(z) prod_d p_d(x_d | z),  q(z | x).  Letters and shapes as in docs/developers.md: x and mask are (B, D),
z is (S, B, K) always.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .likelihoods import ColumnLikelihood
from .networks import Decoder, Encoder

__all__ = ["LatentVariableModel"]


class LatentVariableModel(nn.Module):
    """Five parts, perhaps an auxiliary one, and their parameter groups.

    Parameters
    ----------
    n_features, n_components : int
        D and K.
    posterior : Posterior or None
        None for a generator without an encoder.
    prior : Prior
    likelihood : list of (Family, list of int)
        The columns of each family.
    network : dict
        Keyword arguments of both networks: hidden_layer_sizes, activation, dropout.
    objective : Objective, optional
        Builds the auxiliary module, a critic.

    Examples
    --------
    >>> import torch
    >>> from skvae import Gaussian, MeanField, StandardNormal
    >>> from skvae.model import LatentVariableModel
    >>> model = LatentVariableModel(4, 2, MeanField(), StandardNormal(), [(Gaussian(), range(4))], {})
    >>> model.encode(torch.zeros(3, 4)).mean.shape
    torch.Size([3, 2])
    >>> model.decode(torch.zeros(1, 3, 2)).mean.shape
    torch.Size([1, 3, 4])
    """

    def __init__(self, n_features, n_components, posterior, prior, likelihood, network, objective=None):
        super().__init__()
        self.n_components = n_components
        self.width = posterior.width(n_components) if posterior else n_components
        self.posterior = posterior and posterior.build(n_components)
        self.prior = prior.build(self.width, **({"n_features": n_features} if prior.reads_rows else {}))
        self.likelihood = ColumnLikelihood(likelihood)
        own_units = any(family.units != "standard" for family, _ in likelihood)
        self.encoder = posterior and Encoder(n_features, self.posterior.n_raw, own_units, **network)
        self.decoder = Decoder(self.width, self.likelihood.n_raw, **network)
        self.auxiliary = objective and objective.auxiliary(n_features, self.width)

    @property
    def n_noise(self) -> int:
        """Width of the base noise behind a draw of z."""
        return self.posterior.n_noise if self.posterior else 0

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Distribution:
        """q(z given x) of rows x (B, D) with observed cells mask (B, D), None for all."""
        return self.posterior(self.encoder(x, mask))

    def draw(self, q: Distribution, u: Tensor) -> Tensor:
        """z (S, B, K) from base noise u (S, 1 or B, n_noise): differentiable in training mode, exact in eval mode."""
        return self.posterior.rsample(q, u) if self.training else self.posterior.push(q, u)

    def decode(self, z: Tensor) -> Distribution:
        """p(x given z) of codes z (S, B, K), over the columns: batch shape (S, B, D)."""
        return self.likelihood(self.decoder(z))

    def log_likelihood(self, x: Tensor, mask: Tensor | None, z: Tensor) -> Tensor:
        """sum over observed d of log p_d(x_d given z), (S, B); missing cells are selected away."""
        log_px = self.decode(z).log_prob(x)
        return (log_px if mask is None else torch.where(mask, log_px, 0.0)).sum(-1)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters by name of their group: inference (phi), generative (theta) and auxiliary (psi)."""
        parts = {
            "inference": (self.encoder, self.posterior) if self.posterior else (),
            "generative": (self.decoder, self.likelihood, self.prior),
            "auxiliary": (self.auxiliary,) if self.auxiliary else (),
        }
        return {
            name: [p for part in modules for p in part.parameters() if p.requires_grad]
            for name, modules in parts.items()
        }

    def net_parameters(self) -> list[nn.Parameter]:
        """The MLPs beside the affine paths."""
        parts = (self.encoder, self.decoder) if self.encoder else (self.decoder,)
        return [p for part in parts if part.net for p in part.net.parameters()]

    def linear_parameters(self) -> list[nn.Parameter]:
        """What a closed-form start sets: the affine paths and the numbers that the likelihood owns."""
        encoder = (self.encoder.affine,) if self.encoder else ()
        return [p for part in (*encoder, self.decoder.affine, self.likelihood) for p in part.parameters()]
