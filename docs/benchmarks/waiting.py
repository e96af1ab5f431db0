"""How long one waits for each call, ours next to what one would use else, from 150 rows to 1 500 000.

    python docs/benchmarks/waiting.py [--rows 150,1500,15000,150000,1500000] [--columns 4,30,500] [--components 10]
        [--kinds numbers,mixed] [--models NAME,...] [--threads 1] [--json FILE] [--plot FILE]

Every model and table is a process of its own: wall and processor seconds of each call, and what the process had in
memory at most. A model that takes more than ten minutes or 12 GB is left out at that size, and the line says so; tables
above 4 GB are not made. Columns depend on five factors through tanh; in a mixed table a third of them have seven levels
and a tenth of the cells is missing, and models that take numbers alone see ordinal or one-hot codes behind a
SimpleImputer. For the imputers, and for our `impute`, a tenth of the cells of either table is missing.

- VAETransformer: defaults, with as many components as asked for, D - 1 at most; `first row` is a new process that loads
  the saved model and transforms one row, imports included; `search` is 12 sizes x 5 folds, up to 1500 rows; the last
  cell has the shares of the phases of the fit, as of `verbose=2`.
- loop: a plain PyTorch VAE of the same widths, batches and number of epochs, with a standard normal prior.
- GaussianMixture: full covariances, 1 to 20 members by held-out rows; MLPRegressor: (128, K, 128), of the columns on
  themselves; UMAP where it is installed.

With --json every line is kept in FILE and not repeated. --plot draws the processor time of the fits by rows, by columns
and by components.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np

MODELS = (
    "VAETransformer",
    "loop",
    "PCA",
    "FactorAnalysis",
    "GaussianMixture",
    "MLPRegressor",
    "UMAP",
    "IterativeImputer",
    "KNNImputer",
)
MOST_SECONDS, MOST_BYTES, MOST_TABLE = 600, 12e9, 4e9
MOST_ROWS_OF_A_SEARCH = 1500
PHASES = "phases"


# ---------------------------------------------------------------- tables


def made(kind, n, D, with_missing):
    """A table of numbers (float32), or a frame with levels in a third of the columns."""
    rng = np.random.default_rng(0)
    loadings, X = rng.normal(size=(5, D)), np.empty((n, D), np.float32)
    for block in np.array_split(X, max(1, n * D // 1_000_000)):
        block[:] = np.tanh(rng.normal(size=(len(block), 5)) @ loadings) + 0.3 * rng.normal(size=block.shape)
    levels = range(0, D, 3) if kind == "mixed" else ()
    for j in levels:
        X[:, j] = np.clip(np.round(2 * X[:, j]), -3, 3)
    if with_missing:
        for block in np.array_split(X, max(1, n * D // 1_000_000)):
            block[rng.random(block.shape) < 0.1] = np.nan
    if kind == "numbers":
        return X
    import pandas as pd

    frame = pd.DataFrame(X).add_prefix("x")
    return frame.astype({f"x{j}": pd.CategoricalDtype(np.arange(-3.0, 4.0)) for j in levels})


def as_numbers(X, one_hot):
    """The table as an array for models that take numbers alone; missing cells stay unless it is one-hot."""
    if isinstance(X, np.ndarray):
        return X
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    levels, numbers = make_column_selector(dtype_include="category"), make_column_selector(dtype_exclude="category")
    if not one_hot:
        return make_column_transformer((OrdinalEncoder(), levels), ("passthrough", numbers)).fit_transform(X)
    codes = OneHotEncoder(sparse_output=False)
    return make_column_transformer(
        (codes, levels), (make_pipeline(SimpleImputer(), StandardScaler()), numbers)
    ).fit_transform(X)


# ---------------------------------------------------------------- what is timed


class Clock:
    """Wall and processor seconds by name."""

    def __init__(self):
        self.seconds = {}

    def __call__(self, name, call):
        """Time a call and give its value."""
        wall, cpu = time.perf_counter(), processor_seconds()
        value = call()
        self.seconds[name] = time.perf_counter() - wall, processor_seconds() - cpu
        return value


def processor_seconds():
    """Of this process and of those that it has started and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def run_vae(clock, X, holes, K):
    """Everything that one waits for with our estimator."""
    from sklearn.model_selection import GridSearchCV

    from skvae import VAETransformer

    VAETransformer(1, max_iter=1, random_state=0).fit(np.random.default_rng(0).normal(size=(100, 3)))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        vae = clock("fit", lambda: VAETransformer(K, random_state=0, verbose=2).fit(X)).set_params(verbose=0)
    lines = [line.split("] ")[1] for line in said.getvalue().splitlines() if line.endswith("%")]
    clock.seconds[PHASES] = {line[:14].strip(): float(line[14:].split()[1]) for line in lines}
    clock.seconds["epochs"] = vae.n_iter_
    clock("transform", lambda: vae.transform(X))
    clock("score", lambda: vae.score(X))
    clock("score_columns", lambda: vae.score_columns(X))
    clock("sample", lambda: vae.sample(len(X)))
    clock("impute", lambda: vae.impute(holes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        clock("save", lambda: vae.save(path))
        clock("load", lambda: VAETransformer.load(path))
        np.save(Path(folder) / "row.npy", np.asarray(holes)[:1].astype(float))
        code = (
            "import sys, numpy as np; from skvae import VAETransformer; "
            "VAETransformer.load(sys.argv[1]).transform(np.load(sys.argv[2]))"
        )
        if isinstance(X, np.ndarray):
            command = [sys.executable, "-c", code, path, Path(folder) / "row.npy"]
            clock("first row", lambda: subprocess.run(command, check=True))
    if len(X) <= MOST_ROWS_OF_A_SEARCH and X.shape[1] > 12:
        search = GridSearchCV(VAETransformer(random_state=0), {"n_components": list(range(1, 13))}, cv=5, refit=False)
        clock("search", lambda: search.fit(X))


def run_loop(clock, X, holes, K):
    """The same networks, batches and number of steps without any of ours."""
    import torch
    from torch import nn

    from skvae import VAETransformer

    ours = VAETransformer(K, random_state=0).fit(X)
    x = torch.from_numpy(as_numbers(X, one_hot=True).astype(np.float32))
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-6)
    D, B = x.shape[1], int(2 ** np.clip(np.round(np.log2(0.9 * len(x) / 16)), 5, 9))
    hidden = lambda a, b: nn.Sequential(nn.Linear(a, 128), nn.ELU(), nn.Linear(128, 128), nn.ELU(), nn.Linear(128, b))  # noqa: E731

    def fit():
        encoder, decoder = hidden(D, 2 * K), hidden(K, 2 * D)
        optimizer = torch.optim.AdamW([*encoder.parameters(), *decoder.parameters()], lr=4e-3)
        for _ in range(ours.n_iter_):
            for batch in x[torch.randperm(len(x))[: int(0.9 * len(x))]].split(B):
                loc, log_scale = encoder(batch).chunk(2, -1)
                q = torch.distributions.Normal(loc, log_scale.clamp(-7, 7).exp())
                z = q.rsample((4,))
                mean, log_noise = decoder(z).chunk(2, -1)
                p = torch.distributions.Normal(mean, log_noise.clamp(-3.5, 7).exp())
                kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
                loss = (kl - p.log_prob(batch).sum(-1).mean(0)).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        return encoder

    encoder = clock("fit", fit)
    with torch.no_grad():
        clock("transform", lambda: encoder(x))


def run_linear(name):
    """Models of scikit-learn with `fit`, `transform` and `score`."""

    def run(clock, X, holes, K):
        import sklearn.decomposition

        numbers = as_numbers(X, one_hot=True)
        model = clock("fit", lambda: getattr(sklearn.decomposition, name)(K).fit(numbers))
        clock("transform", lambda: model.transform(numbers))
        clock("score", lambda: model.score(numbers))
        if name == "PCA" and len(X) <= MOST_ROWS_OF_A_SEARCH and X.shape[1] > 12:
            from sklearn.model_selection import GridSearchCV

            search = GridSearchCV(model, {"n_components": list(range(1, 13))}, cv=5, refit=False)
            clock("search", lambda: search.fit(numbers))

    return run


def run_mixture(clock, X, holes, K):
    """Members by a tenth of the rows, as in `default_model.py`."""
    from sklearn.mixture import GaussianMixture
    from sklearn.model_selection import train_test_split

    numbers = as_numbers(X, one_hot=True)

    def fit():
        inner, valid = train_test_split(numbers, test_size=0.1, random_state=0)
        members = [m for m in (1, 2, 3, 5, 8, 12, 20) if m < len(inner)]
        models = [GaussianMixture(m, reg_covar=1e-2).fit(inner) for m in members]
        return max(models, key=lambda model: model.score(valid))

    model = clock("fit", fit)
    clock("score", lambda: model.score(numbers))
    clock("sample", lambda: model.sample(len(X)))


def run_mlp(clock, X, holes, K):
    """A regression of the columns on themselves through K units."""
    from sklearn.neural_network import MLPRegressor
    from sklearn.preprocessing import StandardScaler

    numbers = StandardScaler().fit_transform(as_numbers(X, one_hot=True))
    model = MLPRegressor(hidden_layer_sizes=(128, K, 128), early_stopping=True, max_iter=300, random_state=0)
    clock("fit", lambda: model.fit(numbers, numbers))
    clock("transform", lambda: model.predict(numbers))


def run_umap(clock, X, holes, K):
    """The map of umap-learn."""
    from umap import UMAP

    numbers = as_numbers(X, one_hot=True)
    model = clock("fit", lambda: UMAP(n_components=K, random_state=0).fit(numbers))
    clock("transform", lambda: model.transform(numbers))


def run_imputer(name):
    """Missing cells filled by a fit on the same table."""

    def run(clock, X, holes, K):
        import sklearn.impute
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401

        imputer = getattr(sklearn.impute, name)()
        clock("impute", lambda: imputer.fit_transform(as_numbers(holes, one_hot=False)))

    return run


RUNS = {
    "VAETransformer": run_vae,
    "loop": run_loop,
    "GaussianMixture": run_mixture,
    "MLPRegressor": run_mlp,
    "UMAP": run_umap,
    **{name: run_linear(name) for name in ("PCA", "FactorAnalysis")},
    **{name: run_imputer(name) for name in ("IterativeImputer", "KNNImputer")},
}


# ---------------------------------------------------------------- processes, tables and figures


def child(model, kind, n, D, K):
    """Time a model's calls in this process and print them as JSON."""
    import warnings

    import torch
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)  # of GaussianMixture, MLPRegressor and IterativeImputer
    torch.manual_seed(0)
    resource.setrlimit(resource.RLIMIT_DATA, (int(MOST_BYTES), int(MOST_BYTES)))
    clock = Clock()
    X, holes = (made(kind, n, D, with_missing) for with_missing in (kind == "mixed", True))
    RUNS[model](clock, X, holes, min(K, D - 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({**clock.seconds, "peak MB": round(peak)}))


def measured(threads, *line):
    """What a child prints, or the reason why there is nothing."""
    environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    command = [sys.executable, __file__, "--child", *map(str, line)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        return {"left out": "ten minutes"}
    if done.returncode:
        return {"left out": done.stderr.strip().splitlines()[-1][:60]}
    return json.loads(done.stdout.splitlines()[-1])


def told(result):
    """The cells of a line: wall / processor seconds of every call."""
    times = {k: v for k, v in result.items() if isinstance(v, list)}
    calls = ", ".join(f"{name} {wall:.3g} / {cpu:.3g}" for name, (wall, cpu) in times.items())
    rest = [f"{result['epochs']} epochs" if "epochs" in result else "", result.get("left out", "")]
    phases = result.get(PHASES, {})
    whole = phases.get("in all") or 1.0
    shares = ", ".join(f"{name} {s / whole:.0%}" for name, s in phases.items() if s > 0.01 * whole and name != "in all")
    return "; ".join(filter(None, [calls, *rest, shares]))


def draw(lines, path):
    """Processor seconds of the fits by rows, columns and components, with the others at 1500 x 30 and 10."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    usual = {"rows": 1500, "columns": 30, "components": 10}
    for ax, (i, name) in zip(axes, enumerate(usual), strict=True):
        for model in MODELS:
            points = sorted(
                (size[i], result["fit"][1])
                for (kind, own, *size), result in lines
                if (kind, own) == ("numbers", model) and "fit" in result
                if all(size[j] == usual[other] for j, other in enumerate(usual) if j != i)
            )
            if len(points) > 1:
                ax.plot(*zip(*points, strict=True), "o-", label=model)
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel="processor seconds of a fit")
    axes[0].legend()
    figure.savefig(path, dpi=120)


def main():
    """Print one line per model and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="150,1500,15000,150000,1500000")
    parser.add_argument("--columns", default="4,30,500")
    parser.add_argument("--kinds", default="numbers,mixed")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--components", default="10")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        model, kind, *shape = args.child
        child(model, kind, *map(int, shape))
        return
    kept = dict(map(json.loads, args.json.read_text().splitlines())) if args.json and args.json.exists() else {}
    sizes = [[int(word) for word in words.split(",")] for words in (args.rows, args.columns, args.components)]
    lines = []
    print("| table | rows x D, K | model | wall / processor seconds | peak MB |\n| --- | --- | --- | --- | --- |")
    for kind, n, D, K, model in product(args.kinds.split(","), *sizes, args.models.split(",")):
        if 4 * n * D > MOST_TABLE:
            continue
        line = kind, model, n, D, K
        key = f"{' '.join(map(str, line))} threads {args.threads}"
        if key not in kept:
            kept[key] = measured(args.threads, model, kind, n, D, K)
            if args.json:
                with args.json.open("a") as file:
                    print(json.dumps([key, kept[key]]), file=file)
        lines.append((line, kept[key]))
        print(f"| {kind} | {n} x {D}, {K} | {model} | {told(kept[key])} | {kept[key].get('peak MB', '')} |", flush=True)
    if args.plot:
        draw(lines, args.plot)


if __name__ == "__main__":
    main()
