"""A network beside a linear path: built, tried on one row, measured, and silent until it is trained."""

from typing import Any

import torch
from torch import Tensor, nn

from .base import Network

__all__ = ["Gated", "beside_linear_path", "work"]


class Gated(nn.Module):
    """gate * net, the gates 0 at the start: whatever the net is made of, it is silent then.

    The parameter is an eighth of the gate: a gate is one number, where the last layer of an MLP has a hundred for each
    output, and Adam moves them all by the learning rate.
    """

    def __init__(self, net: nn.Module, n_out: int) -> None:
        super().__init__()
        self.net = net
        self.gate = nn.Parameter(torch.zeros(n_out))

    def forward(self, *inputs: Any) -> Tensor:
        """(N, n_out)."""
        return 8.0 * self.gate * self.net(*inputs)


def beside_linear_path(network: Network, role: str, n_in: int, n_out: int) -> nn.Module | None:
    """Build the net of an encoder or decoder, silent at the start, with its cost per row; None where it has no layers.

    Parameters
    ----------
    network : Network
    role : {"encoder", "decoder"}
    n_in, n_out : int

    Raises
    ------
    ValueError
        It is no module, does not run on a row, or gives another number of outputs.
    """
    net, shape, work, widest = _built(network, role, n_in, n_out)
    if net is None:
        return None
    if shape != (1, n_out):
        raise ValueError(f"{role}={network!r} gives shape {shape} for one row; it must be (1, {n_out}).")
    if network.is_silent and _is_loud(net, network, role, n_in):
        raise ValueError(f"{role}={network!r} has is_silent=True, but does not give zeros. Leave it False, for a gate.")
    net = net if network.is_silent else Gated(net, n_out)
    net.work, net.widest = work, widest  # type: ignore[assignment]  # torch takes attributes for modules
    return net.train()


def work(network: Network, role: str, n_in: int, n_out: int) -> int:
    """Multiply-adds of one row through a network, or through a linear map where it has no layers."""
    net, _, work, _ = _built(network, role, n_in, n_out)
    return n_in * n_out if net is None else work


def _built(network: Network, role: str, n_in: int, n_out: int) -> tuple[nn.Module | None, tuple[int, ...], int, int]:
    """The net as the network builds it, in eval mode, or None for no layers; and `_measured` of it."""
    if network.reads not in ("rows", "features"):
        raise ValueError(
            f"{role}={network!r}: its 'reads' must be 'rows' or 'features'. Got {network.reads!r} instead."
        )
    net = getattr(network, f"build_{role}")(n_in, n_out)
    if net is None and network.is_silent:
        return None, (), 0, 1
    if not isinstance(net, nn.Module):
        raise ValueError(f"{role}={network!r} must build a torch.nn.Module. It built {net!r} instead.")
    try:
        return net, *_measured(net.eval(), _inputs(torch.zeros(1, n_in), network, role))
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{role}={network!r} built a module that fails on one row of width {n_in}: {error}") from error


def _inputs(x: Tensor, network: Network, role: str) -> tuple[Tensor | None, ...]:
    """What a net is called with for complete x (B, n_in)."""
    return (x, None) if role == "encoder" and network.reads == "rows" else (x,)


def _is_loud(net: nn.Module, network: Network, role: str, n_in: int) -> bool:
    with torch.no_grad():
        return bool(net(*_inputs(torch.ones(1, n_in), network, role)).any())


def _measured(net: nn.Module, probe: tuple[Tensor | None, ...]) -> tuple[tuple[int, ...], int, int]:
    """Shape of what a net gives for one row, its multiply-adds, and the numbers of its widest layer."""
    products, widths = [0], [1]

    def count(module: nn.Module, _: Any, output: Any) -> None:
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1 and isinstance(output, Tensor):
            products.append(output.numel() * weight[0].numel())
            widths.append(output.numel())

    hooks = [module.register_forward_hook(count) for module in net.modules()]
    with torch.no_grad():
        shape = tuple(net(*probe).shape)
    for hook in hooks:
        hook.remove()
    return shape, sum(products), max(widths)
