"""Sphinx extension: names of the package lead from the guide to the API reference, and back.

A public name in code, such as ``VAEImputer(random_state=0)`` or ``impute``, becomes a link to its page at its first
place in a section. Pages stay plain Markdown. For the way back the templates of API pages ask `guide_pages`.
"""

import importlib
import inspect
import re
from collections import Counter

from docutils import nodes
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.mixture import GaussianMixture
from sphinx import addnodes

import skvae

__all__ = ["GUIDE", "guide_pages", "setup", "target_of"]

#: Page of the guide -> what it explains; names of displays and metrics as on the API pages.
GUIDE = {
    "start": "VAETransformer",
    "guide/parameters": "VAETransformer",
    "guide/missing": "VAEImputer multiple_imputation pool_estimates PooledEstimates",
    "guide/anomalies": "VAEOutlierDetector display.AnomalyDisplay",
    "guide/coming_from": "VAEImputer VAEOutlierDetector VAEOversampler",
    "guide/components": "VAEEmbedding VonMisesFisher DirichletPosterior FullCovariance display.ComponentDisplay "
    "metrics.live_components metrics.active_units metrics.explained_variance_ratio",
    "guide/density": "metrics.marginal_log_likelihood metrics.effective_sample_size display.BoundDisplay",
    "guide/labels": "VAEClassifier LabeledKFold",
    "guide/synthetic": "metrics.synthesis_report metrics.SynthesisReport display.SynthesisDisplay "
    "display.SampleDisplay",
    "guide/clusters": "NormalMixture VampPrior CategoricalPosterior CategoricalPrior Product ProductPrior",
    "guide/conditions": "Given Poisson NegativeBinomial VAEOversampler",
    "guide/tables": "Gaussian ContaminatedGaussian Laplace StudentT LogNormal Gamma ZeroInflatedLogNormal "
    "ZeroInflatedGamma Beta ZeroOneInflatedBeta ContinuousBernoulli Poisson NegativeBinomial ZeroInflatedPoisson "
    "ZeroInflatedNegativeBinomial Bernoulli Categorical Ordinal Constant",
    "guide/alternatives": "AE RAE WAEMMD AAE GAN VAEGAN BetaTCVAE FactorVAE InfoVAE",
    "guide/initialisation": "LinearAnnealing",
    "guide/searches": "metrics.neg_reconstruction_error",
    "guide/larger_than_memory": "TableStatistics",
    "guide/long_runs": "Checkpoint",
    "guide/pictures": "display.BoundDisplay display.ComponentDisplay display.LatentSpaceDisplay "
    "display.ManifoldDisplay display.ReconstructionDisplay display.SampleDisplay display.SynthesisDisplay "
    "display.TrainingCurveDisplay",
    "deployment": "onnx.to_onnx",
    "developers": "Objective Annealing Posterior Head Prior Family Network Schedule",
}

_NAME = re.compile(r"(?:skvae\.)?([A-Za-z_][\w.]*)(?:\(.*\))?", re.DOTALL)
_OF_OTHERS = {*dir(PCA), *dir(GaussianMixture), *dir(IsolationForest), *dir(HistGradientBoostingClassifier)}
_ELSEWHERE = (nodes.reference, nodes.title, addnodes.pending_xref)


def guide_pages(name):
    """Pages of the guide that explain a name of the API reference, such as "VAEImputer" or "metrics.mmd_to_prior"."""
    return [page for page, names in GUIDE.items() if name in names.split()]


def _targets():
    """Spelling in code -> full name: names, displays also without their module, methods that one estimator alone has.

    "One alone" counts scikit-learn's: the words ``predict`` and ``transform`` are not about one class.
    """
    targets = {name: f"skvae.{name}" for name in skvae.__all__} | {"onnx.to_onnx": "skvae.onnx.to_onnx"}
    for module in ("display", "metrics"):
        for name in importlib.import_module(f"skvae.{module}").__all__:
            targets[f"{module}.{name}"] = f"skvae.{module}.{name}"
            if module == "display":
                targets[name] = f"skvae.{module}.{name}"
    estimators = [cls for name in skvae.__all__ if hasattr(cls := getattr(skvae, name), "fit")]
    methods = {cls: set(_own_methods(cls)) for cls in estimators}
    counts = Counter(method for names in methods.values() for method in names)
    for cls, names in methods.items():
        targets |= {f"{cls.__name__}.{name}": f"skvae.{cls.__name__}.{name}" for name in names}
        targets |= {
            name: f"skvae.{cls.__name__}.{name}" for name in names if counts[name] == 1 and name not in _OF_OTHERS
        }
    return targets


def _own_methods(cls):
    """Public methods that skvae writes."""
    for base in cls.__mro__:
        if base.__module__.startswith("skvae."):
            members = vars(base).items()
            yield from (name for name, member in members if not name.startswith("_") and inspect.isroutine(member))


TARGETS = _targets()


def target_of(code):
    """Full name of the thing that a piece of code is, or None."""
    match = _NAME.fullmatch(code)
    return TARGETS.get(match[1]) if match else None


def link_names(app, doctree):
    """Lead the first mention of a name in each section of a page to the reference."""
    page, seen = app.env.docname, set()
    if page.startswith("api/"):
        return
    for literal in list(doctree.findall(nodes.literal)):
        target = target_of(literal.astext())
        parents = list(_parents(literal))
        if target is None or any(isinstance(parent, _ELSEWHERE) for parent in parents):
            continue
        section = next((parent for parent in parents if isinstance(parent, nodes.section)), doctree)
        if (id(section), target) not in seen:
            seen.add((id(section), target))
            link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=target, refdoc=page)
            literal.replace_self(link)
            link += literal


def _parents(node):
    """From the inside out."""
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-read", link_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
