"""A bound on numbers of a network that leaves each of them a gradient."""

import torch
from torch import Tensor

__all__ = ["BEND", "soft_clamp"]

#: How far from its ends `soft_clamp` begins to bend.
BEND = 0.75


def soft_clamp(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    r"""Keep x between `low` and `high`, with a slope that is nowhere zero.

    .. math:: f(x) = c + \frac{w (x - c)}{w + |x - c|}, \qquad c = \min(\max(x, l + w), h - w), \; w = 0.75

    It is x itself, to the bit, up to w from each end, and rises everywhere, with slope w^2 / (w + abs(x - c))^2. A
    clamp has slope 0 outside: a number that a large step has taken there stays for ever. A sigmoid or a softplus in the
    clamp's place has a slope that falls like e^-x, which float32 rounds to 0 from 104 on; this one's reaches 1e18.

    Parameters
    ----------
    x : Tensor
    low, high : float, optional
        Ends, more than 2 w apart; without one that side stays as it is.
    """
    first, last = (None if low is None else low + BEND), (None if high is None else high - BEND)
    if x.device.type == "cpu" and not torch.compiler.is_compiling() and _is_between(x.detach(), first, last):
        # As below, to the bit: its eight kernels are a tenth of a step; elsewhere a look would wait.
        return x if torch.is_grad_enabled() else x.detach()  # x may be a parameter itself
    c = x.clamp(first, last)
    beyond = x - c
    sign = beyond.detach().sign()
    # sign w - sign w^2 / (w + abs): the derivative of the quotient above is a difference that float32 cancels.
    # An arc tangent would take fewer kernels, but onnxruntime has none in float64.
    return c.add(sign, alpha=BEND).addcdiv(sign, beyond.abs() + BEND, value=-(BEND**2))


def _is_between(x: Tensor, first: float | None, last: float | None) -> bool:
    """Whether all numbers lie between two ends; NaN does not."""
    if x.numel() == 0:
        return True
    least, largest = (end.item() for end in x.aminmax())
    return (first is None or least >= first) and (last is None or largest <= last)
