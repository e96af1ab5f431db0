"""AdamW, Adam and SGD over groups of parameters: torch.optim's own updates, called as functions.

torch.optim's classes do the same sums. On a small network they spend more on Python, and on one tensor after the other,
than the update itself takes (a tenth of a step of a 64-128-128 network), and the first one that a process makes imports
torch._dynamo, which takes 1 to 2 seconds.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

__all__ = ["OPTIMIZERS", "Fused", "clip_", "load_state", "set_rate"]


class Fused:
    """One kernel per group of parameters; its methods are those of torch.optim.Optimizer.

    Parameters
    ----------
    update : callable (parameters, gradients, state, lr, weight_decay)
    slots : tuple of str
        What the update keeps of each parameter's shape, zero at first.
    groups : list of dict
        "params" of each; "lr" and "weight_decay" where they are not the common ones.
    lr, weight_decay : float
    """

    def __init__(
        self,
        update: Callable[..., None],
        slots: Sequence[str],
        groups: Sequence[dict[str, Any]],
        lr: float,
        weight_decay: float,
    ) -> None:
        self.update = update
        self.param_groups: list[dict[str, Any]] = [
            {"lr": lr, "weight_decay": weight_decay, **group} for group in groups
        ]
        self.kept = [_zeros(group["params"], slots) for group in groups]

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters that have a gradient."""
        for group, kept in zip(self.param_groups, self.kept, strict=True):
            parameters, gradients = group["params"], [p.grad for p in group["params"]]
            if any(gradient is None for gradient in gradients):
                moved = [i for i, gradient in enumerate(gradients) if gradient is not None]
                parameters, gradients = [parameters[i] for i in moved], [gradients[i] for i in moved]
                kept = {name: [tensors[i] for i in moved] for name, tensors in kept.items()}
            if gradients:
                options = {name: group[name] for name in ("lr", "weight_decay", "betas") if name in group}
                self.update(parameters, gradients, kept, **options)

    def state_dict(self) -> dict[str, Any]:
        """What the updates keep; learning rates are set anew in every epoch."""
        return {"kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy into the updates' tensors what another optimizer of the same parameters kept."""
        for mine, theirs in zip(self.kept, state_dict["kept"], strict=True):
            for name, tensors in mine.items():
                for tensor, other in zip(tensors, theirs[name], strict=True):
                    tensor.copy_(other)


def load_state(optimizer: Any, state: dict[str, Any]) -> None:
    """Take over the state of an optimizer but for its rates, which torch keeps and `learning_rate` may have changed."""
    rates = [{key: group[key] for key in ("lr", "rate")} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, rates, strict=True):
        group.update(own)
        group.pop("scheduled", None)


def set_rate(group: dict[str, Any], scheduled: float) -> None:
    """Set the learning rate of an epoch; what a callback has made of that of the epoch before stays as a factor."""
    before = group.get("scheduled", group["lr"])
    factor = group["lr"] / before if before and group["lr"] != before else 1.0
    group["lr"] = factor * scheduled
    group["scheduled"] = scheduled


def clip_(parameters: Sequence[torch.nn.Parameter], most: float) -> None:
    """Scale the gradients to a norm of at most `most`: clip_grad_norm_ with a third of its kernels."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (most / (norm + 1e-6)).clamp(max=1.0))


Kept = dict[str, list[Any]]  # what an update keeps, by name: a tensor for each parameter


def _zeros(parameters: Sequence[torch.nn.Parameter], slots: Sequence[str]) -> Kept:
    kept = {name: [torch.zeros_like(p, requires_grad=False) for p in parameters] for name in slots}
    return kept | {"step": [torch.zeros((), dtype=torch.float32, device=p.device) for p in parameters]}


def _adam(
    function: Callable,
    parameters: list[torch.Tensor],
    gradients: list[torch.Tensor],
    state: Kept,
    betas: tuple[float, float] = (0.9, 0.999),
    **options: Any,
) -> None:
    function(
        parameters, gradients, state["exp_avg"], state["exp_avg_sq"], [], state["step"],
        fused=True, amsgrad=False, maximize=False, beta1=betas[0], beta2=betas[1], eps=1e-8, **options,
    )  # fmt: skip


def _sgd(
    parameters: list[torch.Tensor],
    gradients: list[torch.Tensor],
    state: Kept,
    betas: tuple[float, ...] = (0.9,),
    **options: Any,
) -> None:
    sgd(
        parameters, gradients, state["momentum_buffer"],
        fused=True, momentum=betas[0], dampening=0.0, nesterov=False, maximize=False, **options,
    )  # fmt: skip


#: Short name -> optimizer of (groups, lr=..., weight_decay=...).
OPTIMIZERS: dict[str, Callable[..., Fused]] = {
    "adamw": partial(Fused, partial(_adam, adamw), ("exp_avg", "exp_avg_sq")),
    "adam": partial(Fused, partial(_adam, adam), ("exp_avg", "exp_avg_sq")),
    "sgd": partial(Fused, _sgd, ("momentum_buffer",)),
}
