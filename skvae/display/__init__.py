"""Pictures of a fitted model, as Display classes in the manner of scikit-learn.

Each class has ``from_estimator(estimator, X, ..., ax=None)``, which computes the numbers and draws them, and ``plot``,
which draws them again. Its parameters are numbers and are stored as attributes; attributes with an underscore at the
end are matplotlib's artists. A display of several panels takes an array of axes, or a single one, which it divides.
matplotlib (extra "plot") is imported only when something is drawn. Estimators are fitted VAETransformers, or Pipelines
that end in one; `AnomalyDisplay` takes detectors, too.
"""

from .anomalies import AnomalyDisplay
from .bounds import BoundDisplay
from .components import ComponentDisplay
from .latent import LatentSpaceDisplay
from .manifold import ManifoldDisplay
from .reconstruction import ReconstructionDisplay
from .samples import SampleDisplay
from .synthesis import SynthesisDisplay
from .training import TrainingCurveDisplay

__all__ = [
    "AnomalyDisplay",
    "BoundDisplay",
    "ComponentDisplay",
    "LatentSpaceDisplay",
    "ManifoldDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "SynthesisDisplay",
    "TrainingCurveDisplay",
]
