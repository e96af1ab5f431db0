"""p(x given z) in data space: what `VAETransformer.decode` returns."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from .._tables.columns import Columns
from .._tables.encoding import encode
from ..families.likelihood import ColumnLikelihood

__all__ = ["N_NODES", "InDataSpace", "noise_nodes"]

N_NODES = 41  # in the noise, for moments of transformed columns


class InDataSpace(Distribution):
    """p(x given z) over the columns, in data space and float64: what `VAETransformer.decode` returns.

    It is the distribution p(x given z) of model space mapped back through each column's scaling: draws are images of
    draws, and `mean` and `variance` are those of the images. If the scaling is not affine (``scaling="power"`` or
    ``"quantile"``), these are computed by quadrature in the noise of x, since the image of a mean is not the mean of
    the images; `mode` is the image of the mode in model space. Under "quantile" all of them lie in the fitted range,
    with an atom at either end for the probability beyond it and one at each common value; `log_prob` is the density of
    the map without atoms, so that a value beyond the range has one. Categories are category indices.

    Parameters
    ----------
    p : Distribution, batch shape (..., D)
        The same in model space.
    likelihood : ColumnLikelihood
        The likelihood that gave p.
    columns : Columns
        The way back to data space.
    n_nodes : int, default=41
        Nodes of the quadrature, over six standard deviations to each side.
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
            mean[..., list(self.columns.maps)] = self._moments()[0]
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
            variance[..., list(self.columns.maps)] = self._moments()[1]
        return variance

    def log_prob(self, value: Any) -> Tensor:
        """Give log p(x_d given z) of every column, in nats, for a table like the fitted one; 0 for a missing cell."""
        value = encode(self.columns.schema, value)
        x, mask = self.columns.filled(torch.from_numpy(self.columns.working_array(value)))
        log_px = self.p.log_prob(x.to(self.p.mean)).cpu().double() + torch.from_numpy(self.columns.log_slopes(value))
        return log_px if mask is None else torch.where(mask, log_px, 0.0)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """Draw x ~ p(x given z), without rounding to the decimals of the table."""
        return self._data(self.p.sample(sample_shape))

    def _data(self, x: Tensor) -> Tensor:
        """x in data space, as float64 on the CPU, since a large offset leaves float32 no digits."""
        return torch.from_numpy(self.columns.to_data(x))

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of the transformed columns: sum_k s_k m_k and sum_k s_k (v_k + (m_k - mean)^2) of parts."""
        u, own = torch.from_numpy(noise_nodes(self.n_nodes)), list(self.columns.maps)
        mixed = self.likelihood.mixed(self.p, u.to(self.p.mean))
        share = torch.stack([share[..., own].cpu().double() for share, _ in mixed])
        share = share / share.sum(0)  # an offset of 1e9 shows an error in the seventh digit of the sum
        m, v = map(torch.stack, zip(*(self._part_moments(u, x) for _, x in mixed), strict=True))
        mean = (share * m).sum(0)
        return mean, (share * (v + (m - mean).square())).sum(0)

    def _part_moments(self, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = self.columns.moments_of_transformed(u, x)
        return torch.from_numpy(mean), torch.from_numpy(variance)


def noise_nodes(n: int = N_NODES) -> np.ndarray:
    """Equally spaced standard normal noise (n,), over six standard deviations to each side."""
    return np.linspace(-6.0, 6.0, n)
