"""Pictures of a fitted model, as scikit-learn's Display classes.

Each has ``from_estimator(estimator, X, ..., ax=None)``, which computes the numbers and draws them, and ``plot``, which
draws them again. Numbers are attributes, and so are the artists, with an underscore at the end. A display of several
panels takes an array of axes, or a single one, which it divides. matplotlib is imported when something is drawn
(``pip install matplotlib``). Estimators are fitted VAETransformers, or Pipelines that end in one.
"""

from ._display_bounds import BoundDisplay
from ._display_components import ComponentDisplay
from ._display_latent import LatentSpaceDisplay
from ._display_manifold import ManifoldDisplay
from ._display_reconstruction import ReconstructionDisplay
from ._display_samples import SampleDisplay
from ._display_training import TrainingCurveDisplay

__all__ = [
    "BoundDisplay",
    "ComponentDisplay",
    "LatentSpaceDisplay",
    "ManifoldDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "TrainingCurveDisplay",
]
