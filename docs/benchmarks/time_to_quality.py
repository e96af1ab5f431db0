"""Seconds of training until the held-out ELBO that another package reaches at its own end.

    python docs/benchmarks/time_to_quality.py [--data PATH] [--tables NAME ...] [--methods NAME ...] [--seeds 1]
        [--rows 3000] [--images 6000] [--components 10] [--set PARAMETER=VALUE ...]
        [--plot FILE] [--threads 1] [--clock cpu]

VAETransformer has its default arguments and the raw table. The others get standardised columns (pythae as it is: in
[0, 1], for its decoder ends in a sigmoid), the same number of components, else their own defaults: pythae 100 epochs
(also with our network and rate), encdr 100, dimkit 100, pyod 30. The hand-written loop of steps.py has our network, a
random weights, AdamW at 1e-3, a tenth of the rows for early stopping with our patience, and its best state. Packages
that cannot be imported are left out and named.

Quality is the ELBO of held-out rows in nats per row and in data space, for all by the same formula, E[ln N(x; f(z), s)]
- KL, over 16 antithetic draws of z, plus the log-Jacobian of the scaling; VAETransformer's is its `score`. The noise s
is a package's own where it has one (pythae: 1 in its units, encdr: 1/2, dimkit: D / 2K, by their losses; pyod trains
without a KL), and in two further columns the best that can be had for its networks after training: one number, or one
per column, fitted in closed form on training rows, with our floor. Its mark is the best of the three. A quarter of the
rows is held out (at most 1000 of them, and 250 000 cells, are looked at); columns where one value takes 99 % of the
training rows are dropped for all, since there a density only rewards the sharpest spike.

The clock runs from the call of `fit`, after a warm-up fit, and stands still while the model is copied to be evaluated
later; progress bars are off. It counts the seconds of the processor, which on a quiet machine and one thread are those
of the wall, and bear other jobs better; `--clock wall` for more threads. A method "is there" when the held-out ELBO of
its current state passes its mark for the first time, so that nobody pays for patience: "ratio" is the quotient of these
seconds, "of the fit" that of the whole fit, which a user waits for, and of our seconds. Both are medians over seeds
(smallest to largest). The ELBO of pyod falls while it trains, so it has the whole fit only. PATH is a folder with a
`load.py` that offers `matrix(name)` and `mnist()`; without it the tables inside scikit-learn are used.
"""

import argparse
import ast
import copy
import importlib.metadata
import importlib.util
import logging
import math
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import sklearn.datasets
import torch
from peers import pythae_networks
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback
from steps import HandWritten
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from skvae import VAETransformer

TABLES = ("wine", "breast_cancer", "digits")
MORE = ("california_housing", "mnist")  # with --data
FLOOR = 1e-3  # of a column's variance, as in skvae.Gaussian
HIDDEN, PATIENCE = (128,), 20  # VAETransformer's defaults
N_DRAWS, N_ROWS, N_CELLS = 16, 1000, 250_000  # to evaluate with: draws, rows at most, cells at most
KINDS = ("own", "shared", "column")


class Curve:
    """Copies of a model while it trains, and the seconds of training until each."""

    clock = staticmethod(time.process_time)

    def __init__(self):
        self.copies, self.begin, self.paused = [], self.clock(), 0.0

    def seconds(self):
        """Since the call of fit, without the time of copying."""
        return self.clock() - self.begin - self.paused

    def look(self, model):
        """Copy the model, unless little time has gone since the last copy."""
        now = self.seconds()
        if not self.copies or now > 1.06 * self.copies[-1][0] + 1e-3:
            self.copies.append((now, copy.deepcopy(model)))
            self.paused += self.seconds() - now

    def every_step(self, model):
        """Look after each step of any torch optimizer; give back what ends that."""
        return register_optimizer_step_post_hook(lambda *_: self.look(model()))


# ------------------------------------------------------------------------------------------------ the methods
# Each `fit` takes rows in the method's units, K, a seed and a curve, and gives the model at its end.


def fit_hand(X, K, seed, curve):
    """Random start, early stopping, best state."""
    torch.manual_seed(seed)
    x = torch.from_numpy(X)[torch.randperm(len(X))]
    n = max(1, len(x) // 10)
    valid, x = x[:n], x[n:]
    batch = min(128, max(32, 2 ** round(math.log2(len(x) / 16))))
    model = HandWritten(X.shape[1], K, HIDDEN)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    best, waited = math.inf, 0
    while waited < PATIENCE and curve.seconds() < 120:
        for part in x[torch.randperm(len(x))].split(batch):
            optimizer.zero_grad(set_to_none=True)
            model.loss(part).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 100.0)
            optimizer.step()
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(seed)  # the same draws every epoch
            value = float(model.loss(torch.cat([valid, valid])))
        waited += 1
        if value < best:
            best, waited, state = value, 0, copy.deepcopy(model.state_dict())
        curve.look(model)
    model.load_state_dict(state)
    return model


def fit_pythae(X, K, seed, curve, own=True):
    """pythae's VAE with its own networks and rate, or with ours."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.base_trainer import base_trainer

    base_trainer.ProgressBarCallback = base_trainer.TrainingCallback  # it has no switch
    D = X.shape[1]

    torch.manual_seed(seed)
    networks = {} if own else pythae_networks(D, K, HIDDEN)
    model = VAE(VAEConfig(input_dim=(D,), latent_dim=K), **networks)
    with tempfile.TemporaryDirectory() as folder:
        settings = {} if own else {"learning_rate": 1e-3}
        config = BaseTrainerConfig(output_dir=folder, seed=seed, no_cuda=True, **settings)
        trainer = BaseTrainer(model, BaseDataset(torch.from_numpy(X), torch.zeros(len(X))), training_config=config)
        hook = curve.every_step(lambda: model)
        trainer.train()
        hook.remove()
    return trainer._best_model


def fit_encdr(X, K, seed, curve):
    """encdr's VENCDR; on the CPU, without a progress bar."""
    from encdr.encdr import VENCDR

    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    estimator = VENCDR(latent_dim=K, random_state=seed, trainer_kwargs=quiet)
    hook = curve.every_step(lambda: bare(estimator.model_))
    estimator.fit(X)
    hook.remove()
    return bare(estimator.model_)


def bare(model):
    """encdr's networks without Lightning, whose module holds the trainer."""
    return nn.ModuleList([model.encoder_backbone, model.fc_mu, model.fc_logvar, model.decoder])


def fit_dimkit(X, K, seed, curve):
    """dimkit's VAEReducer."""
    from dimkit.reducers.vae import VAEReducer

    reducer = VAEReducer(K, random_state=seed)
    networks = lambda: nn.ModuleList([reducer._encoder, reducer._fc_mu, reducer._fc_log_var, reducer._decoder])  # noqa: E731
    hook = curve.every_step(networks)
    reducer.fit(X)
    hook.remove()
    return networks()


def fit_pyod(X, K, seed, curve):
    """pyod's VAE."""
    from pyod.models.vae import VAE

    detector = VAE(latent_dim=K, random_state=seed, device=torch.device("cpu"), verbose=0)
    hook = curve.every_step(lambda: detector.model)
    detector.fit(X)
    hook.remove()
    return detector.model


def heads(model, x):
    """Mean and log variance of encdr's and dimkit's networks."""
    h = model[0](x)
    return model[1](h), model[2](h)


@dataclass
class Method:
    """How to fit it, what its model's functions are, its own noise variance in its units, and these units."""

    fit: Callable
    encode: Callable
    decode: Callable
    noise: Callable  # (model, D, K) -> variance or None
    package: str = "torch"
    units: str = "standard"
    is_warm: bool = False


METHODS = {
    "hand-written loop": Method(
        fit_hand, lambda m, x: m.encoder(x).chunk(2, -1), lambda m, z: m.decoder(z),
        lambda m, D, K: m.log_variance.exp()),
    "pythae": Method(
        fit_pythae, lambda m, x: (m.encoder(x).embedding, m.encoder(x).log_covariance),
        lambda m, z: m.decoder(z).reconstruction, lambda m, D, K: 1.0, "pythae", "unit interval"),
    "pythae, our network": Method(
        lambda *args: fit_pythae(*args, own=False), lambda m, x: (m.encoder(x).embedding, m.encoder(x).log_covariance),
        lambda m, z: m.decoder(z).reconstruction, lambda m, D, K: 1.0, "pythae"),
    "encdr": Method(fit_encdr, heads, lambda m, z: m[3](z), lambda m, D, K: 0.5, "encdr"),
    "dimkit": Method(fit_dimkit, heads, lambda m, z: m[3](z), lambda m, D, K: D / (2 * K), "dimkit"),
    "pyod": Method(fit_pyod, lambda m, x: m.encode(x), lambda m, z: m.decode(z), lambda m, D, K: None, "pyod"),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------ evaluation


@torch.no_grad()
def expected_errors(method, model, x, K):
    """E_q (x - f(z))^2 of each cell (B, D), and the KL of each row (B,)."""
    mean, log_variance = method.encode(model, x)
    half = torch.randn(N_DRAWS // 2, len(x), K, generator=torch.Generator().manual_seed(0))
    total = torch.zeros_like(x)
    for u in (*half, *-half):
        total += (x - method.decode(model, mean + torch.exp(0.5 * log_variance) * u)).square()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    return total.double() / N_DRAWS, kl.double()


def elbos(method, model, train, test, K):
    """Held-out ELBO in the method's units, nats per row: with its own noise, with the best shared and per column."""
    model = model.eval()
    fitted = expected_errors(method, model, train, K)[0].mean(0)
    error, kl = expected_errors(method, model, test, K)
    variance = train.double().var(0)
    own = method.noise(model, train.shape[1], K)
    noises = {"own": own, "shared": torch.maximum(fitted.mean(), FLOOR * variance.mean()),
              "column": torch.maximum(fitted, FLOOR * variance)}  # fmt: skip
    out = {}
    for kind, noise in noises.items():
        if noise is not None:
            noise = torch.as_tensor(noise).detach().double().expand(train.shape[1])
            log_px = -0.5 * (error / noise + torch.log(2 * math.pi * noise)).sum(-1)
            out[kind] = float((log_px - kl).mean())
    return {kind: out.get(kind, -math.inf) if math.isfinite(out.get(kind, math.nan)) else -math.inf for kind in KINDS}


@dataclass
class Result:
    """ELBOs at the end by kind of noise, seconds of the fit, and the curve: seconds and ELBO of the best kind."""

    end: dict
    fit_seconds: float
    seconds: np.ndarray
    values: np.ndarray

    @property
    def mark(self):
        """The ELBO at the end, with the kind of noise that is best for it."""
        return max(self.end.values())

    def reaches(self, value):
        """Seconds until the curve passes a value; inf if never."""
        there = np.flatnonzero(self.values >= value)
        return self.seconds[there[0]] if len(there) else math.inf


def looked_at(rows):
    """The first rows, fewer of wide tables."""
    return rows[: min(N_ROWS, N_CELLS // rows.shape[1])]


def run(method, train, test, K, seed):
    """Fit a method and evaluate its copies afterwards."""
    if method.units == "standard":
        shift, scale = train.mean(0), train.std(0)
    else:
        shift, scale = train.min(0), np.ptp(train, axis=0)
    a, b = (((rows - shift) / scale).astype(np.float32) for rows in (train, test))
    if not method.is_warm:
        method.fit(a[:200], 2, seed, Curve())
        method.is_warm = True
    curve = Curve()
    model = method.fit(a, K, seed, curve)
    total = curve.seconds()
    rows = [torch.from_numpy(looked_at(part)) for part in (a, b)]
    jacobian = -np.log(scale).sum()
    copies = [*curve.copies, (total, model)]
    tracks = [elbos(method, copied, *rows, K) for _, copied in copies]
    end = {kind: value + jacobian for kind, value in tracks[-1].items()}
    kind = max(end, key=end.get)
    values = [track[kind] + jacobian for track in tracks]
    return Result(end, total, np.array([seconds for seconds, _ in copies]), np.array(values))


class Keep(Callback):
    """Shows the model to a curve at the start and after each epoch."""

    def __init__(self, curve):
        self.curve = curve

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, net, **kwargs):
        """The closed-form initialisation."""
        self.curve.look(net.averaged_)

    def on_epoch_end(self, net, **kwargs):
        """The averaged weights, which are what is returned."""
        self.curve.look(net.averaged_)


def run_ours(train, test, K, seed, settings):
    """VAETransformer with its defaults, but for `settings`."""
    VAETransformer(2, max_iter=2, random_state=0).fit(train[:200])
    curve = Curve()
    vae = VAETransformer(K, random_state=seed, callbacks=[Keep(curve)], **settings).fit(train)
    total = curve.seconds()
    test, fitted = looked_at(test), vae.module_
    values = []
    for _, module in [*curve.copies, (total, fitted)]:
        vae.module_ = module.eval()
        values.append(vae.score(test))
    seconds = [seconds for seconds, _ in curve.copies]
    return Result({"column": values[-1]}, total, np.array([*seconds, total]), np.array(values))


# ------------------------------------------------------------------------------------------------ tables


def tables(args):
    """Names and functions that give X."""
    bundled = lambda name: getattr(sklearn.datasets, f"load_{name}")().data  # noqa: E731
    names, matrix = TABLES, bundled
    if args.data:
        sys.path.insert(0, args.data)
        import load

        names = TABLES + MORE
        matrix = lambda name: load.mnist()[0] / 255.0 if name == "mnist" else load.matrix(name)[0]  # noqa: E731
    for name in args.tables or names:
        X = matrix(name)
        n = args.images if name == "mnist" else args.rows
        yield name, X[np.random.default_rng(0).permutation(len(X))[:n]].astype(np.float64)


def without_spikes(train, test):
    """Columns where no value takes 99 % of the training rows."""
    kept = [np.unique(column, return_counts=True)[1].max() < 0.99 * len(column) for column in train.T]
    return train[:, kept], test[:, kept]


def available(names):
    """Those that can be imported; the others are named."""
    missing = [name for name in names if importlib.util.find_spec(METHODS[name].package) is None]
    for name in missing:
        print(f"{name}: not installed")
    return [name for name in names if name not in missing]


def shown(values, digits, spread=False):
    """The median, with the range where there are several; "-" for none, "never" for infinity."""
    number = lambda value: f"{value:.{digits}f}" if math.isfinite(value) else "never"  # noqa: E731
    if np.isnan(values).any():
        return "-"
    text = number(np.median(values))
    return f"{text} ({number(values.min())} to {number(values.max())})" if spread and len(values) > 1 else text


def lines(results):
    """Rows of the markdown table; medians over seeds, and the range of the ratio."""
    ours = [result["skvae"] for result in results]
    for name in results[0]:
        theirs = [result[name] for result in results]
        ends = [np.median([r.end.get(kind, -math.inf) for r in theirs]) for kind in KINDS]
        cells = [f"{end:.2f}" if math.isfinite(end) else "-" for end in ends]
        cells.append(f"{np.median([r.fit_seconds for r in theirs]):.2f}")
        if name != "skvae":
            there = np.array([r.reaches(r.mark) if math.isfinite(r.end["own"]) else math.nan for r in theirs])
            we = np.array([o.reaches(r.mark) for o, r in zip(ours, theirs, strict=True)])
            cells += [shown(there, 2), shown(we, 3)]
            cells += [shown(part / we, 1, spread=True) for part in (there, np.array([r.fit_seconds for r in theirs]))]
        yield f"| {name} | " + " | ".join(cells + [""] * (8 - len(cells))) + " |"


def plot(all_results, path):
    """One panel per table: held-out ELBO against seconds, first seed."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    n_columns = min(3, len(all_results))
    shape = (math.ceil(len(all_results) / n_columns), n_columns)
    figure, axes = plt.subplots(*shape, figsize=(4.6 * shape[1], 3.6 * shape[0]), squeeze=False, layout="constrained")
    for ax in axes.flat[len(all_results) :]:
        ax.axis("off")
    for ax, (name, results) in zip(axes.flat, all_results.items(), strict=False):
        marks = sorted(r.mark for r in results[0].values())
        room = marks[-1] - marks[len(marks) // 3]
        for i, (method, r) in enumerate(results[0].items()):
            ours = method == "skvae"
            style = {"color": "black" if ours else f"C{i}", "lw": 2.2 if ours else 1.2, "zorder": 3 if ours else 2}
            ax.plot(r.seconds[:-1], r.values[:-1], label=method, **style)
            ax.plot(r.fit_seconds, r.mark, "o", ms=4, **style)
        ax.set(title=name, xscale="log", xlabel="seconds of training", ylabel="held-out ELBO, nats per row")
        ax.set_ylim(marks[-1] - 2.5 * room, marks[-1] + 0.15 * room)
        ax.grid(alpha=0.3)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=round(2.4 * n_columns), frameon=False)
    figure.savefig(path, dpi=110)


def main():
    """Print one table of markdown per table of data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with load.py")
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--set", nargs="*", default=[], metavar="PARAMETER=VALUE", help="of VAETransformer")
    parser.add_argument("--plot", metavar="FILE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    args = parser.parse_args()
    settings = dict(item.split("=", 1) for item in args.set)
    settings = {k: ast.literal_eval(v) if v[0] in "0123456789([-TFN'" else v for k, v in settings.items()}
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    if args.clock == "wall":
        Curve.clock = staticmethod(time.perf_counter)
    names = available(args.methods)
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in sorted({METHODS[n].package for n in names}))
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, {args.threads} thread(s), {args.clock} "
          f"clock, load {os.getloadavg()[0]:.1f}; {versions}; skvae: {settings or 'defaults'}")  # fmt: skip
    all_results = {}
    for table, X in tables(args):
        K = min(args.components, X.shape[1] - 1)
        results = []
        for seed in range(args.seeds):
            train, test = without_spikes(*train_test_split(X, test_size=0.25, random_state=seed))
            results.append({"skvae": run_ours(train, test, K, seed, settings)})
            for name in names:
                results[-1][name] = run(METHODS[name], train, test, K, seed)
        all_results[table] = results
        print(f"\n{table}: {len(train)} training rows x {train.shape[1]} columns, K = {K}\n")
        print("| | own noise | shared noise | noise per column | fit, s | there, s | we, s | ratio | of the fit |")
        print("| --- " * 9 + "|", *lines(results), sep="\n", flush=True)
    if args.plot:
        plot(all_results, args.plot)


if __name__ == "__main__":
    main()
