"""Digests of what fits of every kind give, to hold a refactoring to the same bits.

    python docs/benchmarks/same_bits.py before.json           # at the commit before
    python docs/benchmarks/same_bits.py --against before.json # at the commit after: exit code 1 where a bit differs

It uses the public interface alone. The digests belong to one machine and its libraries.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.datasets import load_iris, load_wine

import skvae
from skvae import VAETransformer

POSTERIORS = (
    *("diag", "full", "point", "categorical", "flow", "implicit", "dirichlet", "elliptical"),
    *("laplace", "student_t", "logistic", "gumbel", "log_normal", "gamma", "beta"),
)
PRIORS = ("normal", "mixture", "vamp", "flow")
OBJECTIVES = ("elbo", "iwae", "ae", "wae_mmd", "aae", "avb", "gan")
SCHEDULES = ("joint", "em", "exact_em", "aggressive")
INITS = ("pca", "early_factor_analysis", "factor_analysis", "random")

iris, wine = load_iris().data, load_wine().data
rng = np.random.default_rng(0)
iris_missing = np.where(rng.random(iris.shape) < 0.2, np.nan, iris)


def mixed_frame():
    """A frame of strings, integers, booleans and floats with missing values."""
    n = 240
    kind = rng.choice(["cat", "dog", "bird"], n, p=[0.5, 0.4, 0.1])
    weight = np.where(kind == "cat", 4.0, np.where(kind == "dog", 20.0, 0.3)) + rng.normal(size=n).round(1)
    frame = pd.DataFrame({"kind": kind, "weight": weight, "age": rng.integers(1, 15, n), "tame": rng.random(n) < 0.7})
    frame["size"] = pd.Categorical.from_codes(rng.integers(0, 3, n), ["s", "m", "l"], ordered=True)
    frame.loc[rng.random(n) < 0.2, "kind"] = None
    frame.loc[rng.random(n) < 0.2, "weight"] = np.nan
    return frame


frame = mixed_frame()
counts = rng.poisson(3.0 * (1 + iris[:, :2]))


def make(n_components=2, **parameters):
    """A quick estimator with a seed."""
    return VAETransformer(n_components, **{"max_iter": 4, "random_state": 0, **parameters})


def resumed(folder):
    """A fit that is interrupted in its third epoch and goes on from its checkpoint."""
    from skorch.callbacks import Callback

    class Interruption(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

    vae = make(checkpoint=skvae.Checkpoint(folder, every_n_epochs=1), callbacks=[Interruption()])
    try:
        vae.fit(wine)
    except KeyboardInterrupt:
        vae.set_params(callbacks=None, checkpoint__resume=True).fit(wine)
    return vae


def memory_mapped(folder):
    """A fit of a numpy.memmap."""
    path = Path(folder) / "rows.dat"
    rows = np.memmap(path, np.float64, "w+", shape=(400, 5))
    rows[:] = np.random.default_rng(1).normal(size=(400, 5)) @ np.triu(np.ones((5, 5)))
    return make().fit(rows), np.asarray(rows)


def cases(folder):
    """Pairs (name, a function that returns a fitted estimator and rows)."""
    yield "defaults iris", lambda: (make(max_iter="auto").fit(iris), iris)
    yield "defaults wine", lambda: (make(5, max_iter=20).fit(wine), wine)
    yield "few rows", lambda: (make(max_iter="auto").fit(iris[:60]), iris)
    yield "missing", lambda: (make().fit(iris_missing), iris_missing)
    yield "mixed frame", lambda: (make(max_iter=10).fit(frame), frame)
    yield "polars", lambda: (make().fit(_polars()), _polars())
    for posterior in POSTERIORS:
        yield (
            f"posterior {posterior}",
            lambda p=posterior: (make(posterior=p, objective=_objective_of(p)).fit(wine), wine),
        )
    for prior in PRIORS:
        yield f"prior {prior}", lambda p=prior: (make(prior=p).fit(wine), wine)
    for objective in OBJECTIVES:
        yield f"objective {objective}", lambda o=objective: (make(objective=o).fit(wine), wine)
    yield "objective beta", lambda: (make(objective=skvae.ELBO(beta=4.0, free_bits=0.1)).fit(wine), wine)
    yield "objective annealed", lambda: (make(objective=skvae.ELBO(beta=skvae.LinearAnnealing(3))).fit(wine), wine)
    for schedule in SCHEDULES:
        own = {"hidden_layer_sizes": ()} if schedule == "exact_em" else {}
        yield f"schedule {schedule}", lambda s=schedule, own=own: (make(schedule=s, **own).fit(wine), wine)
    for init in INITS:
        yield f"init {init}", lambda i=init: (make(init=i).fit(wine), wine)
    for scaling in ("global", "power", "quantile", None):
        yield f"scaling {scaling}", lambda s=scaling: (make(scaling=s).fit(wine), wine)
    yield "counts", lambda: (make(likelihood="poisson").fit(counts), counts)
    yield "likelihoods", lambda: (make(likelihood=[("gamma", [0]), ("student_t", [1, 2])]).fit(iris), iris)
    yield "csr", lambda: (make().fit(sparse.csr_matrix(np.where(wine > wine.mean(0), wine, 0))), wine)
    yield "weights", lambda: (make().fit(wine, sample_weight=np.arange(len(wine)) % 4), wine)
    yield "repeats", lambda: (make().fit(np.repeat(wine, 3, axis=0)), wine)
    yield "held-out table", lambda: (make().fit(wine[:120], X_val=wine[120:]), wine)
    yield "column weights", lambda: (make(column_weights={0: 2.0}).fit(wine), wine)
    yield "networks", lambda: (make(decoder=skvae.MLP((8,), "tanh"), dropout=0.1).fit(wine), wine)
    yield "float32", lambda: (make().fit(wine.astype(np.float32)), wine.astype(np.float32))
    yield "linear", lambda: (make(hidden_layer_sizes=(), max_iter=0).fit(wine), wine)
    yield "memmap", lambda: memory_mapped(folder)
    yield "fit_batches", lambda: (make().fit_batches(lambda: iter(np.array_split(wine, 4))), wine)
    yield "fit_batches, frame", lambda: (make().fit_batches(lambda: iter([frame[:100], frame[100:]])), frame)
    yield "partial_fit", lambda: (make().partial_fit(wine[:90]).partial_fit(wine[90:]), wine)
    yield "fit_statistics", lambda: (_after_statistics(), wine)
    yield "warm start", lambda: (make(warm_start=True).fit(wine).fit(wine), wine)
    yield "checkpoint", lambda: (resumed(folder), wine)


def _polars():
    import polars

    return polars.from_pandas(frame)


def _objective_of(posterior):
    return {"point": "ae", "implicit": "avb"}.get(posterior, "elbo")


def _after_statistics():
    chunks = np.array_split(wine, 3)
    vae = make().fit_statistics(lambda: iter(chunks))
    for chunk in chunks:
        vae.partial_fit(chunk)
    return vae


def digest(value):
    """A hash of arrays, frames and plain data, to the last bit."""
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        content = str(value.dtype).encode() + str(value.shape).encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(value, np.ndarray):
        content = repr(value.tolist()).encode()
    else:
        content = repr(value).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def described(vae, X):
    """Digests of what the fitted estimator gives."""
    found = {"history_": digest([{k: v for k, v in r.items() if "dur" not in k} for r in vae.history_])}
    methods = {
        "transform": lambda: vae.transform(X),
        "score_samples": lambda: vae.score_samples(X),
        "importance": lambda: vae.score_samples(X, n_importance_samples=5),
        "score_columns": lambda: vae.score_columns(X),
        "sample": lambda: vae.sample(20, random_state=0),
        "impute": lambda: vae.impute(_with_missing(X)),
        "reconstruct": lambda: vae.reconstruct(X, sample=True, random_state=0),
        "order_": lambda: np.asarray(vae.order_),
        "noise_variance_": lambda: np.asarray(vae.noise_variance_),
        "kl_per_component_": lambda: np.asarray(vae.kl_per_component_),
    }
    for name, method in methods.items():
        try:
            found[name] = digest(method())
        except AttributeError:
            found[name] = "hidden"
    return found


def _with_missing(X):
    if hasattr(X, "columns"):
        return X
    X = np.array(X[:40], dtype=X.dtype if X.dtype.kind == "f" else float)
    X[::3, 0] = np.nan
    return X


def two_processes():
    """The digest of a model that two processes have fitted together."""
    script = Path(__file__).resolve()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", script, "--as-rank"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def as_rank():
    """One of the two processes."""
    vae = make(distributed=True, device="cpu", batch_size=32).fit(wine)
    if os.environ["RANK"] == "0":
        print(json.dumps(described(vae, wine)))


def main():
    """Write the digests, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?")
    parser.add_argument("--against")
    parser.add_argument("--as-rank", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.as_rank:
        return as_rank()
    with tempfile.TemporaryDirectory() as folder:
        found = {name: described(*fit()) for name, fit in cases(folder)}
    found["two processes"] = two_processes()
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(found, indent=1))
    if arguments.against:
        before = json.loads(Path(arguments.against).read_text())
        wrong = [
            f"{case}: {what}" for case in before for what in before[case] if found[case].get(what) != before[case][what]
        ]
        if wrong:
            sys.exit("\n".join(wrong))
    print(f"{len(found)} fits")


if __name__ == "__main__":
    main()
