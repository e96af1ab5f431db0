"""Distributions that torch lacks, and divergences between distributions."""

from .latent import (
    Flow,
    Implicit,
    OneHots,
    PointMass,
    SideBySide,
    has_closed_form,
    joint_log_prob,
    kl,
    mixture,
    monte_carlo_kl,
    reordered,
    summed,
)

__all__ = [
    "Flow",
    "Implicit",
    "OneHots",
    "PointMass",
    "SideBySide",
    "has_closed_form",
    "joint_log_prob",
    "kl",
    "mixture",
    "monte_carlo_kl",
    "reordered",
    "summed",
]
