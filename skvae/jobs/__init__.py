"""Estimators that do one job with a `VAETransformer`: impute, find outliers, make rows of rare classes."""

from .imputer import VAEImputer
from .outlier_detector import VAEOutlierDetector

__all__ = ["VAEImputer", "VAEOutlierDetector"]
