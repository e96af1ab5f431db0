"""Encoder and decoder networks: an affine path plus an MLP that is silent at the start (its last layer is zero).

The affine path carries the closed-form start; the MLP learns what is not linear.
"""

import torch
from torch import nn

__all__ = ["ACTIVATIONS", "Decoder", "Encoder"]

ACTIVATIONS = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}


def mlp(n_in, n_out, hidden_layer_sizes, activation, dropout):
    """Stack Linear, activation, dropout; the last layer is zero. None where there are no hidden layers."""
    if not hidden_layer_sizes:
        return None
    layers = []
    for n_hidden in hidden_layer_sizes:
        layers += [nn.Linear(n_in, n_hidden), ACTIVATIONS[activation]()]
        layers += [nn.Dropout(dropout)] if dropout else []
        n_in = n_hidden
    last = nn.Linear(n_in, n_out, bias=False)  # the affine path has the bias
    nn.init.zeros_(last.weight)
    return nn.Sequential(*layers, last)


class Decoder(nn.Module):
    """z (S, B, K) -> raw numbers (S, B, R): affine(z) + net(z)."""

    def __init__(self, n_in, n_out, hidden_layer_sizes=(), activation="silu", dropout=0.0):
        super().__init__()
        self.affine = nn.Linear(n_in, n_out)
        self.net = mlp(n_in, n_out, hidden_layer_sizes, activation, dropout)

    def forward(self, z):
        """The two paths added."""
        return self.affine(z) if self.net is None else self.affine(z) + self.net(z)


class Encoder(Decoder):
    """x (B, D), mask (B, D) or None -> raw numbers (B, R): missing cells take the column's mean `fill` first.

    Columns that the model does not standardise, such as counts, are shifted by `center` and divided by `unit` for the
    network: a step of Adam moves every weight alike, and so would move the output by the size of the column.
    """

    def __init__(self, n_in, n_out, has_own_units=False, **network):
        super().__init__(n_in, n_out, **network)
        self.has_own_units = has_own_units  # two kernels a step that standardised tables do without
        self.register_buffer("fill", torch.zeros(n_in))
        self.register_buffer("center", torch.zeros(n_in))
        self.register_buffer("unit", torch.ones(n_in))

    def forward(self, x, mask=None):
        """The two paths added."""
        x = x if mask is None else torch.where(mask, x, self.fill)
        return super().forward((x - self.center) / self.unit if self.has_own_units else x)
