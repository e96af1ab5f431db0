"""The latent-variable model: encoder network and posterior head, prior, decoder network and likelihood.

p(x, z) = p(z) prod_d p_d(x_d | z),  q(z | x).  Letters and shapes as in docs/developers.md: x and mask are (B, D),
z is (S, B, K) always. Where columns are given, p(x, z | c) = p(z) prod_d p_d(x_d | z, c) and q(z | x, c): their cells
stand in x beside the others, so that rows are one thing everywhere, and have probability 1.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .families.likelihood import ColumnLikelihood, Groups, observed_log_prob
from .networks.base import Network
from .networks.coders import LINEAR, Decoder, Encoder, is_exporting
from .networks.conditions import Conditions
from .networks.perceptual import FeatureLoss
from .objectives.base import Objective
from .posteriors.base import Posterior
from .priors.base import Prior

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
    encoder, decoder : Network, optional
        Beside the linear paths; nothing by default.
    objective : Objective, optional
        Builds the auxiliary module, a critic.
    incomplete : list of int
        Columns that had missing cells in `fit`; the encoder's MLP sees which cells of them are missing.
    column_weights : list of float (D,), optional
        Of each column's log-prob in training.
    feature_loss : FeatureLoss, optional
    scales : pair of sequences (D,), optional
        Shift and scale from data space to model space, which a feature loss needs.
    reach : pair of sequences (D,), optional
        Least and largest value of each column that the encoder reads; further out a cell is missing to it.
    code_reach : pair of sequences (K,), optional
        Least and largest location of each component that the encoder gives; what lies further out stands there.

    Examples
    --------
    >>> import torch
    >>> from skvae import Gaussian, MeanField, StandardNormal
    >>> from skvae.model import LatentVariableModel
    >>> model = LatentVariableModel(4, 2, MeanField(), StandardNormal(), [(Gaussian(), range(4))])
    >>> model.encode(torch.zeros(3, 4)).mean.shape
    torch.Size([3, 2])
    >>> model.decode(torch.zeros(1, 3, 2)).mean.shape
    torch.Size([1, 3, 4])
    """

    # Without an encoder both are None, and nothing asks for codes: `_fitting/compatibility.py` sees to it.
    posterior: Any
    encoder: Any
    feature_loss: nn.Module | None
    column_weights: Tensor | None
    reach: Tensor | None
    code_reach: Tensor | None

    def __init__(
        self,
        n_features: int,
        n_components: int,
        posterior: Posterior | None,
        prior: Prior,
        likelihood: Groups,
        encoder: Network = LINEAR,
        decoder: Network = LINEAR,
        objective: Objective | None = None,
        incomplete: Sequence[int] = (),
        column_weights: Sequence[float] | None = None,
        feature_loss: FeatureLoss | None = None,
        scales: tuple[Sequence[float], Sequence[float]] | None = None,
        reach: tuple[Sequence[float], Sequence[float]] | None = None,
        code_reach: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.n_components = n_components
        #: Columns of z that each variable takes, and all of them.
        self.widths = [1] * n_components if posterior is None else posterior.widths(n_components)
        self.width = sum(self.widths)
        self.posterior = None if posterior is None else posterior.build(n_components)
        self.likelihood = ColumnLikelihood(likelihood)
        conditions = _conditions(self.likelihood, incomplete)
        n_conditions = conditions.width if conditions else 0
        scaled, places = self.likelihood.scaled if n_conditions else ([], None)
        self.encoder = None
        if self.posterior is not None:
            self.encoder = Encoder(
                self.likelihood.categories,
                self.posterior.n_raw,
                n_components,
                condition=self.posterior.condition,
                incomplete=incomplete,
                rescales=any(family.units != "standard" and not family.nominal for family, _ in likelihood),
                network=encoder,
                given=self.likelihood.given,
                conditions=conditions,
                has_scales=bool(scaled),
                exposures=self.likelihood.exposures,
            )
        p = self.likelihood
        self.decoder = Decoder(
            self.width, p.n_plain, p.wide, decoder, p.layout, n_conditions, places if scaled else None
        )
        self.auxiliary = None if objective is None else objective.auxiliary(n_features, self.width)
        self.feature_loss = None
        if feature_loss is not None and scales is not None:
            self.feature_loss = feature_loss.build(*scales)
        weights = None if column_weights is None else torch.tensor(column_weights, dtype=torch.get_default_dtype())
        self.register_buffer("column_weights", weights, persistent=False)
        for name, ends in {"reach": reach, "code_reach": code_reach}.items():
            pair = None if ends is None else torch.tensor([list(end) for end in ends], dtype=torch.get_default_dtype())
            self.register_buffer(name, pair, persistent=False)
        # Last, so that networks draw what they draw, whatever prior the codes end with.
        self.prior = prior.build(self.width, **({"n_features": n_features} if prior.reads_rows else {}))

    @property
    def n_noise(self) -> int:
        """Width of the base noise behind a draw of z."""
        return self.posterior.n_noise if self.posterior else 0

    def work(self, n_samples: int) -> int:
        """Multiply-adds of one row through the encoder, and of S codes through the decoder."""
        encoder, decoder = (0 if part is None else _work(part) for part in (self.encoder, self.decoder))
        return encoder + n_samples * decoder

    @property
    def widest(self) -> int:
        """Numbers per row in the decoder's widest layer."""
        net: Any = self.decoder.net
        return max(sum(self.decoder.sizes), 1 if net is None else net.widest)

    @property
    def conditions(self) -> Conditions | None:
        """What the networks see of the given columns; None without any."""
        return None if self.encoder is None else self.encoder.conditions

    def given(self, x: Tensor, mask: Tensor | None) -> Tensor | None:
        """Give the cells of the given columns of rows x (B, D), (B, G), NaN where one is missing; None without any."""
        return None if self.conditions is None else self.encoder.given_cells(x, mask)

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Distribution:
        """q(z given x) of rows x (B, D) with observed cells mask (B, D), None for all."""
        return self.posterior(self.raw_code(x, mask))

    def center(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The centres of q(z given x) of rows x (B, D), (B, K): what `transform` gives but for order and signs."""
        return self.posterior.center_of(self.raw_code(x, mask))

    def raw_code(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The numbers (B, R) behind q; far outside their training nets answer with anything, and are held back."""
        if self.training:
            return self.encoder(x, mask)
        raw = self.encoder(x, self._read(x, mask))
        if self.code_reach is None:
            return raw
        low, high = self.code_reach
        located, others = raw.tensor_split([len(low)], -1)
        return torch.cat([located.clamp(low, high), others], -1)

    def _read(self, x: Tensor, mask: Tensor | None) -> Tensor | None:
        """Which cells the encoder reads, None for all."""
        if self.reach is None:
            return mask
        low, high = self.reach
        looks = not is_exporting() and not x.is_cuda and x.numel() > 0
        if looks and bool((x - low).minimum(high - x).min() >= 0):  # a third of the time of a mask
            return mask
        near = (x >= low) & (x <= high)
        return near if mask is None else mask & near

    def draw(self, q: Distribution, u: Tensor) -> Tensor:
        """z (S, B, K) from base noise u (S, 1 or B, n_noise): differentiable in training mode, exact in eval mode."""
        return self.posterior.rsample(q, u) if self.training else self.posterior.push(q, u)

    def raw_row(self, z: Tensor, given: Tensor | None = None) -> list[Tensor]:
        """The numbers behind p(x given z) of codes z (S, B, K) and given cells (B or 1, G), as `Decoder` gives them."""
        if self.conditions is not None and given is None:
            raise ValueError("A model with conditions decodes codes and given cells: decode(z, model.given(x, mask)).")
        c = None if self.conditions is None else self.conditions(given)
        return self.decoder(z, c)

    def decode(self, z: Tensor, given: Tensor | None = None) -> Distribution:
        """p(x given z) of codes z (S, B, K) and given cells (B or 1, G), over the columns: batch shape (S, B, D)."""
        return self.likelihood(self.raw_row(z, given), given)

    def log_likelihood(self, x: Tensor, mask: Tensor | None, z: Tensor) -> Tensor:
        """sum over observed d of log p_d(x_d given z), (S, B); missing cells are selected away."""
        return observed_log_prob(self.decode(z, self.given(x, mask)), x, mask).sum(-1)

    def training_log_likelihood(self, x: Tensor, mask: Tensor | None, z: Tensor) -> Tensor:
        """`log_likelihood` with column weights and feature loss, (S, B): what objectives raise; scores never see it."""
        p = self.decode(z, self.given(x, mask))
        log_px = observed_log_prob(p, x, mask)
        log_px = log_px.sum(-1) if self.column_weights is None else log_px @ self.column_weights
        return log_px if self.feature_loss is None else log_px - self.feature_loss(x, mask, p.mean)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters by name of their group: inference (phi), generative (theta) and auxiliary (psi)."""
        parts = {
            "inference": (self.encoder, self.posterior) if self.posterior else (),
            "generative": (self.decoder, self.likelihood, self.prior),
            "auxiliary": () if self.auxiliary is None else (self.auxiliary,),
        }
        return {
            name: [p for part in modules for p in part.parameters() if p.requires_grad]
            for name, modules in parts.items()
        }

    def net_parameters(self) -> list[nn.Parameter]:
        """The nets beside the linear paths, with what leads into and out of them."""
        linear = set(self.linear_parameters())
        parts = (self.encoder, self.decoder) if self.encoder else (self.decoder,)
        return [p for part in parts for p in part.parameters() if p not in linear]

    def linear_parameters(self) -> list[nn.Parameter]:
        """What a closed-form initialisation sets: the linear paths and the numbers that the likelihood owns."""
        encoder = []
        if self.encoder:
            encoder = [*self.encoder.affine.parameters(), *self.encoder.tables(), *self.encoder.of_conditions()]
        decoder = [*self.decoder.affine.parameters(), *self.decoder.of_conditions()]
        return [*encoder, *decoder, *self.likelihood.parameters()]


def _conditions(p: ColumnLikelihood, incomplete: Sequence[int]) -> Conditions | None:
    """What networks see of the given columns, of which some had missing cells; None without any."""
    if not p.given:
        return None
    blank = [g for g, d in enumerate(p.given) if d in incomplete]
    return Conditions(p.given_levels, blank, list(p.exposures.values()))


def _work(coder: Encoder | Decoder) -> int:
    """Multiply-adds of a row: the linear path, with the table of categories, and the net."""
    linear = [coder.affine.weight, *coder.tables()]
    net: Any = coder.net
    return sum(p.numel() for p in linear) + (0 if net is None else net.work)
