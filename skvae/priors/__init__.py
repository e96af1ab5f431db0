"""Priors p(z), and their short names."""

from .base import Prior
from .fixed import Standard, StandardNormal, UniformCategorical, UniformPrior
from .joint import DirichletPrior, EllipticalPrior, UniformSphere
from .learned import CategoricalPrior, FlowPrior, NormalMixture, VampPrior
from .product import ProductPrior

__all__ = [
    "PRIORS",
    "CategoricalPrior",
    "DirichletPrior",
    "EllipticalPrior",
    "FlowPrior",
    "NormalMixture",
    "Prior",
    "ProductPrior",
    "Standard",
    "StandardNormal",
    "UniformCategorical",
    "UniformPrior",
    "UniformSphere",
    "VampPrior",
]

PRIORS: dict[str, type[Prior]] = {
    "normal": StandardNormal,
    "mixture": NormalMixture,
    "vamp": VampPrior,
    "categorical": CategoricalPrior,
    "flow": FlowPrior,
    "uniform": UniformPrior,
    "dirichlet": DirichletPrior,
    "elliptical": EllipticalPrior,
    "product": ProductPrior,
    "sphere": UniformSphere,
}
