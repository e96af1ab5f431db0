"""A fit as tasks of scikit-learn's callbacks."""

import re

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae._training.tasks import Tasks
from skvae._utils.compat import CallbackSupportMixin

X = np.random.default_rng(0).normal(size=(200, 8))
FAST = {"n_components": 2, "hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}

needs_callbacks = pytest.mark.skipif(not hasattr(CallbackSupportMixin, "set_callbacks"), reason="scikit-learn < 1.9")


def chunks():
    return iter(np.split(X, 2))


class Recorder:
    """A scikit-learn callback that stops after three epochs and looks at the fitted estimator."""

    def __init__(self):
        self.events, self.scores = [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        if context.task_name == "epoch":
            self.scores.append(fitted_estimator.score(X))
        return self.events.count("end epoch") == 3


@needs_callbacks
def test_scikit_learn_callbacks(cancer):
    recorder = Recorder()
    vae = VAETransformer(3, prior="normal", max_iter=10, early_stopping=False, random_state=0)
    vae.set_callbacks(recorder).fit(cancer)
    assert vae.n_iter_ == 3
    epochs = ["begin epoch", "end epoch"] * 3
    assert recorder.events == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    assert recorder.scores[-1] == pytest.approx(vae.score(cancer))


@needs_callbacks
def test_progress_bar_through_pipeline_and_grid_search(cancer):
    from sklearn.callback import ProgressBar

    pipe = make_pipeline(StandardScaler(), VAETransformer(max_iter=2, random_state=0))
    search = GridSearchCV(pipe, {"vaetransformer__n_components": [1, 2]}, cv=2, n_jobs=2)
    search.set_callbacks(ProgressBar()).fit(cancer)
    assert search.best_params_


def test_scoring_callbacks_see_a_consistent_estimator(cancer):
    callback = pytest.importorskip("sklearn.callback")
    seen = []

    def scoring(estimator, X, y):
        seen.append((estimator.n_iter_, len(estimator.history_)))
        return {"score": estimator.score(X)}

    vae = VAETransformer(3, max_iter=3, early_stopping=False, random_state=0)
    vae.set_callbacks(callback.ScoringMonitor(scoring=scoring)).fit(cancer)
    assert seen == [(1, 1), (2, 2), (3, 3), (3, 3)]


class Names:
    """A scikit-learn callback that writes tasks down."""

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        pass

    teardown = setup

    def on_fit_task_begin(self, estimator, context):
        self.events.append((context.task_name, context.max_subtasks))

    def on_fit_task_end(self, estimator, context):
        self.events.append(context.task_name)


@needs_callbacks
def test_passes_and_epochs_are_tasks(capsys):
    names = Names()
    VAETransformer(**FAST, verbose=1).set_callbacks(names).fit_batches(chunks)
    passes = [[("read", n), *[("chunk", 0), "chunk"] * 2, "read"] for n in (None, 2)]
    assert names.events == [("fit", 5), *passes[0], *passes[1], *[("epoch", 0), "epoch"] * 3, "fit"]
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["[VAETransformer] Read 200 rows in 2 chunks", "[VAETransformer] Wrote 200 rows, 0.0128 MB"]


def test_without_callbacks_nothing_is_a_task():
    """Before scikit-learn 1.9."""
    tasks = Tasks(object(), None, None, 1)
    assert list(tasks.read(iter("ab"), 1)) == ["a", "b"]
    assert tasks.epochs(None) is None
    tasks.end({})


@needs_callbacks
def test_the_progress_bar_shows_both_passes(capsys):
    from sklearn.callback import ProgressBar

    VAETransformer(**FAST).set_callbacks(ProgressBar()).fit_batches(chunks)
    bars = capsys.readouterr().out
    assert re.findall(r"VAETransformer - (\w+)", bars) == ["fit", "read", "read"]
