"""`VAEClassifier`, a classifier for tables of which few rows have a label, and `LabeledKFold` for cross-validation."""

from .splits import LabeledKFold
from .vae_classifier import VAEClassifier

__all__ = ["LabeledKFold", "VAEClassifier"]
