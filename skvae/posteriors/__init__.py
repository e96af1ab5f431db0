"""Posteriors q(z given x), and their short names."""

from collections.abc import Callable
from functools import partial

from ..families import FAMILIES
from .base import Head, Posterior
from .discrete import CategoricalPosterior, Point
from .flexible import FlowPosterior, Implicit
from .joint import DirichletPosterior, Elliptical, VonMisesFisher
from .normal import FullCovariance, MeanField
from .product import Product

__all__ = [
    "POSTERIORS",
    "CategoricalPosterior",
    "DirichletPosterior",
    "Elliptical",
    "FlowPosterior",
    "FullCovariance",
    "Head",
    "Implicit",
    "MeanField",
    "Point",
    "Posterior",
    "Product",
    "VonMisesFisher",
]

POSTERIORS: dict[str, Callable[[], Posterior]] = {
    "diag": MeanField,
    "full": FullCovariance,
    "point": Point,
    "categorical": CategoricalPosterior,
    "flow": FlowPosterior,
    "implicit": Implicit,
    **{name: partial(MeanField, name) for name, family in FAMILIES.items() if family.reparameterized},
    "dirichlet": DirichletPosterior,
    "elliptical": Elliptical,
    "product": Product,
    "von_mises_fisher": VonMisesFisher,
}
