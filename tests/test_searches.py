"""Searches run under every engine with the scores of a serial one. The code of the guide's page is what runs here."""

import contextlib
import functools
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - offers the next line's
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

X = load_wine().data
FOLDS = KFold(3, shuffle=True, random_state=0)
VAE = VAETransformer(max_iter=2, early_stopping=False, random_state=0)  # with early stopping the start might win
PIPE = Pipeline([("scale", StandardScaler()), ("vae", VAE)])
GRID = {"vae__n_components": [1, 2, 4]}
SEARCHES = {
    "grid": GridSearchCV(PIPE, GRID, cv=FOLDS),
    "halving epochs": HalvingGridSearchCV(
        PIPE, GRID, cv=FOLDS, resource="vae__max_iter", min_resources=1, max_resources=3, random_state=0
    ),
    "halving rows": HalvingGridSearchCV(PIPE, GRID, cv=FOLDS, min_resources=40, random_state=0),
}
GUIDE = (Path(__file__).parents[1] / "docs" / "guide" / "searches.md").read_text()


def code_of(*words):
    """The one piece of code of the guide in which all words stand."""
    pieces = re.findall(r"```python\n(?!>>>)(.*?)```", GUIDE, re.DOTALL)
    (piece,) = [piece for piece in pieces if all(word in piece for word in words)]
    return piece


def scores(search):
    """The test scores of every candidate and fold."""
    return {name: values for name, values in search.cv_results_.items() if re.fullmatch(r"split\d+_test_score", name)}


@functools.cache
def serial_scores(kind):
    return scores(clone(SEARCHES[kind]).fit(X))


def assert_as_serial(kind, fit):
    """`fit(search)` gives a search of this kind the scores that it has without any engine."""
    search = clone(SEARCHES[kind])
    fit(search)
    for name, expected in serial_scores(kind).items():
        np.testing.assert_array_equal(scores(search)[name], expected, err_msg=name)
    assert search.best_estimator_.transform(X).shape == (178, search.best_params_["vae__n_components"])


def test_halving_by_steps_gives_candidates_as_many_steps():
    """The refit to 178 rows makes whole epochs, of three steps with batches of 60 rows or of six with batches of 30."""
    search = HalvingGridSearchCV(
        clone(VAE).set_params(max_iter=300),
        {"batch_size": [30, 60]},
        cv=FOLDS,
        resource="max_steps",
        min_resources=8,
        max_resources=16,
        factor=2,
        random_state=0,
    ).fit(X)
    assert search.n_resources_ == [8, 16]
    best = search.best_estimator_
    assert best.max_steps == 16
    assert best.n_iter_ == 16 // -(-178 // best.batch_size)


def test_candidates_differ():
    """Otherwise equal scores would say nothing."""
    values = np.stack(list(serial_scores("halving epochs").values()))
    assert len(np.unique(values)) == values.size


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("backend", ["threading", pytest.param("multiprocessing", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python's, of any fork
def test_scores_are_those_of_a_serial_search(backend, kind):
    def fit(search):
        with parallel_config(backend, n_jobs=2):
            search.fit(X)

    assert_as_serial(kind, fit)


def test_scores_under_loky(request):
    """One test, since workers take seconds to start; the last table is so large that joblib maps it into memory."""
    request.addfinalizer(lambda: get_reusable_executor().shutdown())
    code = code_of('parallel_config("loky"')
    for kind in SEARCHES:
        assert_as_serial(kind, lambda search: exec(code, {"search": search, "X": X}))
    large = np.random.default_rng(0).normal(size=(4000, 40))
    serial, parallel = (GridSearchCV(VAE, {"n_components": [1, 2]}, cv=2, refit=False) for _ in range(2))
    exec(code, {"search": parallel, "X": large})
    for name, expected in scores(serial.fit(large)).items():
        np.testing.assert_array_equal(scores(parallel)[name], expected, err_msg=name)


@pytest.mark.slow
def test_scores_under_dask():
    """Two processes. One cluster for all, of which the guide's code is handed no dashboard."""
    distributed = pytest.importorskip("distributed")
    code = code_of("LocalCluster").replace("from distributed import Client, LocalCluster\n", "")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        names = {"LocalCluster": lambda **_: contextlib.nullcontext(cluster), "Client": distributed.Client, "X": X}
        for kind in SEARCHES:
            assert_as_serial(kind, lambda search: exec(code, {**names, "search": search}))
        assert len(cluster.workers) == 2


def test_fits_have_one_thread_each(tmp_path):
    """Of OpenMP and of MKL, in workers, threads and the refit of the parent, where two are set; two are there after."""
    script = Path(__file__).with_name("thread_counts.py")
    process = subprocess.Popen(
        [sys.executable, script, tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        found = json.loads(process.communicate(timeout=120)[0])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # forked processes that wait for OpenMP's pool wait for ever
    for backend in ("multiprocessing", "threading"):
        epochs = found[backend]
        assert len(epochs) == 3 * (2 * 2 + 1)
        assert {n for _, *counts in epochs for n in counts} == {1}
        assert found["parent"] == epochs[-1][0]
        assert (backend == "threading") == ({process for process, *_ in epochs} == {found["parent"]})
    limited, free = found["overlapping"][::2], found["overlapping"][1::2]
    assert {n for counts in limited for n in counts} == {1}
    assert {n for counts in [*free, found["after"]] for n in counts} == {2}


# ---------------------------------------------------------------- Optuna


def trains_with_optuna(function):
    """Without its warnings about itself."""
    for message in ("OptunaSearchCV is experimental", "`optuna.terminator` module has been deprecated"):
        function = pytest.mark.filterwarnings(f"ignore:{message}")(function)
    return function


def optuna_search(code):
    """The search that a piece of the guide leaves."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = {"OptunaSearchCV": pytest.importorskip("optuna_integration").OptunaSearchCV, "optuna": optuna}
    names |= {"IntDistribution": optuna.distributions.IntDistribution, "VAETransformer": VAETransformer}
    names |= {"folds": FOLDS, "X": X, "pipe": PIPE}
    exec(code, names)
    return names["search"]


@trains_with_optuna
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_optuna_scores_are_those_of_cross_validation(n_jobs):
    code = code_of("OptunaSearchCV(pipe").replace("n_trials=10", f"n_trials=3, n_jobs={n_jobs}")
    search = optuna_search(code)
    assert len(search.trials_) == 3
    for trial in search.trials_:
        expected = cross_val_score(clone(PIPE).set_params(**trial.params), X, cv=FOLDS).mean()
        assert trial.value == pytest.approx(expected, rel=1e-12)
    assert search.best_score_ == max(trial.value for trial in search.trials_)


@trains_with_optuna
def test_optuna_prunes_through_partial_fit():
    """Trials that go on have the scores of fits; one that is behind ends after its first epoch."""
    code = code_of("enable_pruning=True").replace("n_trials=10", "n_trials=3").replace("max_iter=30", "max_iter=3")
    queue = "study.enqueue_trial({'n_components': 8}); study.enqueue_trial({'n_components': 1})\n"
    search = optuna_search(code.replace("search = ", queue + "search = "))
    first, second = search.trials_[:2]
    assert (first.state.name, second.state.name) == ("COMPLETE", "PRUNED")
    assert len(second.intermediate_values) == 1
    for trial in (first, second):
        for step, value in trial.intermediate_values.items():
            passes = {"max_iter": step + 1, "early_stopping": False, "prior": "normal"}  # fitted by no `partial_fit`
            vae = VAETransformer(random_state=0, **passes, **trial.params)
            assert value == pytest.approx(cross_val_score(vae, X, cv=FOLDS).mean(), rel=1e-9)


@trains_with_optuna
def test_optuna_does_not_prune_pipelines():
    """As the guide says."""
    with pytest.raises(ValueError, match="estimator must support partial_fit"):
        optuna_search(code_of("OptunaSearchCV(pipe").replace("cv=folds", "cv=folds, enable_pruning=True"))
    assert "estimator must support partial_fit" in " ".join(GUIDE.split())


@pytest.fixture
def worker(tmp_path):
    """The guide's script, with shorter trials, as (path, module)."""
    pytest.importorskip("optuna").logging.set_verbosity(30)
    path = tmp_path / "worker.py"
    path.write_text(code_of("JournalFileBackend").replace("range(30)", "range(3)").replace("n_trials=10", "n_trials=2"))
    spec = importlib.util.spec_from_file_location("worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return path, module


def test_a_pipeline_is_pruned(worker):
    optuna, module = worker[1].optuna, worker[1]
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=1))
    for n_components in (8, 1):
        study.enqueue_trial({"n_components": n_components})
    study.optimize(module.objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"]
    assert [len(trial.intermediate_values) for trial in study.trials] == [3, 1]


def test_two_processes_share_a_journal(worker):
    """Each adds its trials to the one study, all complete, with the values of a serial run."""
    path, module = worker
    running = [
        subprocess.Popen([sys.executable, path], cwd=path.parent, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], errors
    storage = module.JournalStorage(module.JournalFileBackend(str(path.parent / "wine.journal")))
    trials = module.optuna.load_study(study_name="wine", storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    for trial in trials:
        assert trial.value == module.objective(module.optuna.trial.FixedTrial(trial.params))
