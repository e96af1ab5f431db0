"""p(x given z) in data space: what `VAETransformer.decode` returns."""

import torch
from torch.distributions import Distribution

from .._tables.encoding import encode

__all__ = ["N_NODES", "InDataSpace"]

N_NODES = 41  # of the trapezoid rule behind means of bent columns


class InDataSpace(Distribution):
    """p(x given z) over the columns in the units of the table: what `VAETransformer.decode` returns; float64.

    Categories are code numbers. Columns that are bent (``scaling="power"`` or ``"quantile"``) have their mean and
    variance by the trapezoid rule in the noise of x, since the image of a mean is not the mean of the images; their
    mode is the image of the model's.

    Parameters
    ----------
    p : Distribution, batch shape (..., D)
        In the model's units.
    likelihood : ColumnLikelihood
        That gave p.
    columns : Columns
    n_nodes : int, default=41
        Of the trapezoid rule, over six standard deviations to each side.
    """

    arg_constraints = {}

    def __init__(self, p, likelihood, columns, n_nodes=N_NODES):
        self.p = p
        self.likelihood = likelihood
        self.columns = columns
        self.n_nodes = n_nodes
        super().__init__(p.batch_shape, validate_args=False)

    @property
    def mean(self):
        """E[x_d given z]."""
        mean = self._data(self.p.mean)
        if self.columns.maps:
            mean[..., self._bent] = self._moments()[0]
        return mean

    @property
    def mode(self):
        """The most probable value of each column."""
        return self._data(self.p.mode)

    @property
    def variance(self):
        """Var[x_d given z]."""
        variance = self.p.variance.cpu().double() * torch.from_numpy(self.columns.scale).square()
        if self.columns.maps:
            variance[..., self._bent] = self._moments()[1]
        return variance

    def log_prob(self, value):
        """log p(x_d given z) for every column, in nats, of a table like the fitted one; 0 for a missing cell."""
        value = encode(self.columns.schema, value)
        x, mask = self.columns.filled(torch.from_numpy(self.columns.working_array(value)))
        log_px = self.p.log_prob(x.to(self.p.mean)).cpu().double() + torch.from_numpy(self.columns.log_slopes(value))
        return log_px if mask is None else torch.where(mask, log_px, 0.0)

    def sample(self, sample_shape=torch.Size()):  # noqa: B008 - torch's own signature
        """x ~ p(x given z)."""
        return self._data(self.p.sample(sample_shape))

    def draw(self):
        """One draw as the table would have it: bent columns take the fitted column's common values."""
        return self._data(self.p.sample(), as_draws=True)

    @property
    def _bent(self):
        return list(self.columns.maps)

    def _data(self, x, **options):
        """float64 on the CPU, whatever the precision of x: a large offset leaves float32 no digits."""
        return torch.from_numpy(self.columns.to_data(x, **options))

    def _moments(self):
        """Mean and variance of the bent columns."""
        u = torch.linspace(-6.0, 6.0, self.n_nodes, dtype=torch.float64)
        weight = torch.softmax(-u.square() / 2, 0)
        x = self._data(self.likelihood.push(self.p, u.to(self.p.mean)))[..., self._bent]
        mean = torch.tensordot(weight, x, 1)
        return mean, torch.tensordot(weight, (x - mean).square(), 1)
