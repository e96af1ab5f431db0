"""Densities with atoms: single values that have a probability of their own beside a density."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td
from torch.types import _size

__all__ = ["Inflated"]

_NO_SHAPE = torch.Size()
_INSIDE = 0.5  # a point where every base has a density, in the place of atoms


class Inflated(td.Distribution):
    r"""A continuous distribution `base`, replaced by atom a with probability :math:`\pi_a`.

    .. math:: p(x) = \pi_a \text{ at the atoms } a, \qquad p(x) = \pi_c\, p_{base}(x) \text{ elsewhere}, \qquad
        \ln(\pi_a / \pi_c) = \eta_a

    The density is with respect to Lebesgue's measure plus the counting measure at the atoms: a probability there, and a
    density elsewhere. So a change of units moves the one by the log-Jacobian, and leaves the other as it is.

    Parameters
    ----------
    base : Distribution, batch shape (..., n)
        Without mass at the atoms; it has a density at 1/2.
    log_odds : sequence of Tensor, broadcastable to (..., n)
        eta, one for each atom.
    atoms : sequence of float
    """

    arg_constraints = {}

    def __init__(self, base: td.Distribution, log_odds: Sequence[Tensor], atoms: Sequence[float]) -> None:
        self.base = base
        self.atoms = atoms
        odds = torch.stack([eta.expand(base.batch_shape) for eta in log_odds])
        self.log_pi = torch.cat([odds, torch.zeros_like(odds[:1])]).log_softmax(0)  # (A + 1, ..., n)
        super().__init__(base.batch_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """sum_a pi_a a + pi_c E[base]."""
        *pi, rest = self.log_pi.exp()
        return sum((p * a for p, a in zip(pi, self.atoms, strict=True)), rest * self.base.mean)

    @property
    def mode(self) -> Tensor:
        """The most probable atom if it has more probability than `base`, else the mode of `base`: in any units."""
        first = self.log_pi.argmax(0)
        return self._with_atoms(first, self.base.mode)

    @property
    def variance(self) -> Tensor:
        """sum_a pi_a (a - m)^2 + pi_c (Var[base] + (E[base] - m)^2), m the mean."""
        *pi, rest = self.log_pi.exp()
        m = self.mean
        within = rest * (self.base.variance + (self.base.mean - m).square())
        return sum((p * (a - m).square() for p, a in zip(pi, self.atoms, strict=True)), within)

    def sample(self, sample_shape: _size = _NO_SHAPE) -> Tensor:
        """Draws of `base`, some of them replaced by atoms."""
        with torch.no_grad():
            which = td.Categorical(logits=self.log_pi.movedim(0, -1), validate_args=False).sample(sample_shape)
            return self._with_atoms(which, self.base.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """ln pi_a at the atoms, ln pi_c + ln p_base(x) elsewhere."""
        *log_pi, rest = self.log_pi
        is_atom = torch.stack([value == a for a in self.atoms])
        log_p = rest + self.base.log_prob(torch.where(is_atom.any(0), _INSIDE, value))
        for here, own in zip(is_atom, log_pi, strict=True):
            log_p = torch.where(here, own, log_p)
        return log_p

    def cdf(self, value: Tensor) -> Tensor:
        """P(X <= x), which jumps at the atoms."""
        *pi, rest = self.log_pi.exp()
        support: Any = self.base.support  # torch declares that there may be none
        is_inside = support.check(value)
        below = rest * torch.where(is_inside, self.base.cdf(torch.where(is_inside, value, _INSIDE)), value > _INSIDE)
        return sum((p * (value >= a) for p, a in zip(pi, self.atoms, strict=True)), below)

    def _with_atoms(self, which: Tensor, x: Tensor) -> Tensor:
        """x, but the atom of number `which` where there is one."""
        for k, atom in enumerate(self.atoms):
            x = torch.where(which == k, atom, x)
        return x
