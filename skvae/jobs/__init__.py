"""Estimators that do one job with a `VAETransformer`: impute, find outliers, make rows of rare classes."""

from .imputer import VAEImputer
from .outlier_detector import VAEOutlierDetector
from .oversampler import VAEOversampler

__all__ = ["VAEImputer", "VAEOutlierDetector", "VAEOversampler"]
