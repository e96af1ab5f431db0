"""Warnings of skvae point at the line that called it, whatever stands between: here always a line of this file."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from skvae import ELBO, VAETransformer

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=(150, 5))
INCOMPLETE = np.where(rng.random(X.shape) < 0.3, np.nan, X)
FAST = {"n_components": 2, "max_iter": 3, "random_state": 0}
# A KL of this weight switches components off that were live at the start.
COLLAPSING = VAETransformer(
    **{**FAST, "max_iter": 40},
    objective=ELBO(beta=50.0),
    learning_rate=0.1,
    hidden_layer_sizes=(),
    early_stopping=False,
)
ALONE = VAETransformer(**FAST, distributed=True)


def chunks():
    return iter([X[:100], X[100:]])


def warned(call):
    """What warns once, and where: the file and line of the call, which is the line of the caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (warning,) = caught
    assert warning.category is UserWarning
    return warning


def fit():
    COLLAPSING.fit(X)


def fit_transform():
    COLLAPSING.fit_transform(X)


def fit_in_a_pipeline():
    make_pipeline(StandardScaler(), COLLAPSING).fit_transform(X)


def fit_in_a_search():
    GridSearchCV(COLLAPSING, {"n_components": [2]}, cv=[(np.arange(150), np.arange(9))], refit=False).fit(X)


@pytest.mark.parametrize("call", [fit, fit_transform, fit_in_a_pipeline, fit_in_a_search])
def test_a_collapse_points_at_the_call_of_fit(call):
    warning = warned(call)
    assert "have collapsed" in str(warning.message)
    assert (warning.filename, warning.lineno) == (__file__, call.__code__.co_firstlineno + 1)


def fit_alone():
    ALONE.fit(X)


def fit_batches_alone():
    ALONE.fit_batches(chunks)


def partial_fit_alone():
    ALONE.partial_fit(X)


@pytest.mark.parametrize("call", [fit_alone, fit_batches_alone, partial_fit_alone])
def test_a_fit_without_a_launch_points_at_its_call(call):
    warning = warned(call)
    assert "torchrun" in str(warning.message)
    assert (warning.filename, warning.lineno) == (__file__, call.__code__.co_firstlineno + 1)


def test_poor_weights_point_at_the_call_of_impute():
    vae = VAETransformer(**FAST).fit(X)
    far = INCOMPLETE * 30
    warning = warned(lambda: vae.impute(far, n_importance_samples=2))
    assert "importance weights" in str(warning.message)
    assert (warning.filename, warning.lineno) == (__file__, sys._getframe().f_lineno - 2)


def test_rare_cells_point_at_the_call_of_sample(cancer):
    vae = VAETransformer(10, max_iter=50, random_state=0).fit(cancer)  # a start that is linear is exact
    rare = dict(enumerate(cancer.mean(0) + 3 * (-1.0) ** np.arange(30) * cancer.std(0)))  # of correlated columns
    warning = warned(lambda: vae.sample(3, given=rare, random_state=0))
    assert "so rare" in str(warning.message)
    assert (warning.filename, warning.lineno) == (__file__, sys._getframe().f_lineno - 2)


def test_no_warning_goes_another_way():
    """A `stacklevel` is right for one way to a warning only."""
    files = Path(skvae.__file__).parent.rglob("*.py")
    assert [path.name for path in files if "warnings.warn(" in path.read_text()] == []
