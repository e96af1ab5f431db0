"""p(x given z) in data space: what `VAETransformer.decode` returns."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._tables.columns import Columns
from .._tables.encoding import encode
from ..families.likelihood import ColumnLikelihood

__all__ = ["N_NODES", "InDataSpace"]

N_NODES = 41  # of the trapezoid rule for means of transformed columns


class InDataSpace(Distribution):
    """p(x given z) over the columns, in data space and float64: what `VAETransformer.decode` returns.

    Categories are category indices. Transformed columns (``scaling="power"`` or ``"quantile"``) have their mean and
    variance by the trapezoid rule in the noise of x, since the image of a mean is not the mean of the images; their
    mode is the image of the mode in model space.

    Parameters
    ----------
    p : Distribution, batch shape (..., D)
        The same in model space.
    likelihood : ColumnLikelihood
        The likelihood that gave p.
    columns : Columns
        The way back to data space.
    n_nodes : int, default=41
        Nodes of the trapezoid rule, over six standard deviations to each side.
    """

    arg_constraints = {}

    def __init__(self, p: Distribution, likelihood: ColumnLikelihood, columns: Columns, n_nodes: int = N_NODES) -> None:
        self.p = p
        self.likelihood = likelihood
        self.columns = columns
        self.n_nodes = n_nodes
        super().__init__(p.batch_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean of each column, E[x_d given z]."""
        mean = self._data(self.p.mean)
        if self.columns.maps:
            mean[..., self._transformed] = self._moments()[0]
        return mean

    @property
    def mode(self) -> Tensor:
        """The most probable value of each column."""
        return self._data(self.p.mode)

    @property
    def variance(self) -> Tensor:
        """The variance of each column, Var[x_d given z]."""
        variance = self.p.variance.cpu().double() * torch.from_numpy(self.columns.scale).square()
        if self.columns.maps:
            variance[..., self._transformed] = self._moments()[1]
        return variance

    def log_prob(self, value: Any) -> Tensor:
        """Give log p(x_d given z) of every column, in nats, for a table like the fitted one; 0 for a missing cell."""
        value = encode(self.columns.schema, value)
        x, mask = self.columns.filled(torch.from_numpy(self.columns.working_array(value)))
        log_px = self.p.log_prob(x.to(self.p.mean)).cpu().double() + torch.from_numpy(self.columns.log_slopes(value))
        return log_px if mask is None else torch.where(mask, log_px, 0.0)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Draw x ~ p(x given z)."""
        return self._data(self.p.sample(sample_shape))

    def draw(self) -> Tensor:
        """Draw once, as the table would have it: transformed columns take the fitted column's common values."""
        return self._data(self.p.sample(), as_draws=True)

    @property
    def _transformed(self) -> list[int]:
        return list(self.columns.maps)

    def _data(self, x: Tensor, **options: bool) -> Tensor:
        """x in data space, as float64 on the CPU, since a large offset leaves float32 no digits."""
        return torch.from_numpy(self.columns.to_data(x, **options))

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of the transformed columns."""
        u = torch.linspace(-6.0, 6.0, self.n_nodes, dtype=torch.float64)
        weight = torch.softmax(-u.square() / 2, 0)
        x = self._data(self.likelihood.push(self.p, u.to(self.p.mean)))[..., self._transformed]
        mean = torch.tensordot(weight, x, 1)
        return mean, torch.tensordot(weight, (x - mean).square(), 1)
