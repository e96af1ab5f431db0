"""Estimators that do one job with a `VAETransformer`: impute, find outliers, draw rows of rare classes."""

from .embedding import VAEEmbedding
from .imputer import VAEImputer
from .multiple_imputation import multiple_imputation
from .outlier_detector import VAEOutlierDetector
from .oversampler import VAEOversampler
from .pooling import PooledEstimates, pool_estimates

__all__ = [
    "PooledEstimates",
    "VAEEmbedding",
    "VAEImputer",
    "VAEOutlierDetector",
    "VAEOversampler",
    "multiple_imputation",
    "pool_estimates",
]
