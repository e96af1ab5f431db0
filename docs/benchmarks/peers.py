"""Time of training, per row, next to other packages: same table, batch size and, where a package allows it, network.

    python docs/benchmarks/peers.py [--peers NAME ...] [--rounds 10] [--threads 1] [--cases 0 1]
        [--python scvi=/path/to/another/venv/bin/python ...] [--show-errors]

Of every package one epoch is timed as its own `fit` runs it, without validation and progress bars, from one step of the
optimizer to the same step an epoch later; set-up, the first epoch and what comes after training do not count. All wait
in processes of their own and are called in turn, EPOCHS epochs each, round by round; VAETransformer and the
hand-written loops share one process. The ratio to the loop of steps.py is taken round by round: median and 10th to 90th
percentile. `--threads 0` lets each use all cores (VAETransformer's `fit` decides for itself). What cannot be imported
is said to be "not installed"; `--python` runs a package in another environment, which needs skvae, too.

The same network (affine path + SiLU layers) have VAETransformer, the loop, JAX and pythae. The others have ReLU layers
of the same widths, mirrored in the decoder, and no affine path. The second loop is for them: less work in a step of the
narrow case, more in the wide one. VAETransformer, the first loop and JAX clip gradients and learn the noise. Columns of
TVAE are one-hot modes of a mixture (fitted once, on 500 rows; left out of the wide case, where that takes minutes).
scvi-tools has counts, a negative binomial and batch norm, and one width for all layers, so no wide case either.
"""

import argparse
import importlib.metadata
import json
import logging
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from datetime import date
from itertools import pairwise

import numpy as np
import torch
from steps import CASES, HandWritten, Net, hand_epoch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

EPOCHS = 3


class LeftOut(Exception):
    """A case that a package cannot do, or not in minutes."""


@contextmanager
def step_times():
    """A list that gets the time of every step of any torch optimizer."""
    stamps = []
    handle = register_optimizer_step_post_hook(lambda *_: stamps.append(time.perf_counter()))
    try:
        yield stamps
    finally:
        handle.remove()


def seconds_per_step(fit, n_steps):
    """Of whole epochs, after the first step; `fit(n)` trains n epochs."""
    with step_times() as stamps:
        fit(EPOCHS + 1)
    if len(stamps) != (EPOCHS + 1) * n_steps:
        raise RuntimeError(f"{len(stamps)} steps instead of {EPOCHS + 1} x {n_steps}")
    return (stamps[EPOCHS * n_steps] - stamps[0]) / (EPOCHS * n_steps)


def table(D, n):
    """The rows all train on."""
    return np.random.default_rng(0).normal(size=(n, D)).astype(np.float32)


# Each peer takes a case and gives a function that runs one round: seconds per step.


def ours(D, hidden, K, batch, n):
    """VAETransformer's public `fit`, by the epoch durations of its history."""
    from skvae import ELBO, VAETransformer

    X = table(D, n)
    vae = VAETransformer(K, hidden_layer_sizes=hidden, batch_size=batch, init="random", early_stopping=False,
                         objective=ELBO(n_samples=1), max_iter=EPOCHS + 1, random_state=0)  # fmt: skip

    def run():
        durations = [record["dur"] for record in vae.fit(X).history_ if "dur" in record]
        return sum(durations[1:]) / (EPOCHS * n / batch)

    return run


def hand(D, hidden, K, batch, n):
    """The loop of steps.py."""
    x = torch.from_numpy(table(D, n))
    model = HandWritten(D, K, hidden)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)

    def run():
        tick = time.perf_counter()
        for _ in range(EPOCHS):
            hand_epoch(model, optimizer, x, batch)
        return (time.perf_counter() - tick) / (EPOCHS * n / batch)

    return run


def plain(D, hidden, K, batch, n):
    """A loop over what most packages have: ReLU layers, squared error, Adam, no clipping."""
    x = torch.from_numpy(table(D, n))
    layers = lambda *sizes: [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())][:-1]  # noqa: E731
    encoder, decoder = nn.Sequential(*layers(D, *hidden, 2 * K)), nn.Sequential(*layers(K, *hidden[::-1], D))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], fused=True)

    def epoch():
        for part in x[torch.randperm(n)].split(batch):
            optimizer.zero_grad(set_to_none=True)
            mean, log_variance = encoder(part).chunk(2, -1)
            error = part - decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
            kl = mean.square() + log_variance.exp() - 1 - log_variance
            (0.5 * (error.square().sum(-1) + kl.sum(-1)).mean()).backward()
            optimizer.step()

    def run():
        tick = time.perf_counter()
        for _ in range(EPOCHS):
            epoch()
        return (time.perf_counter() - tick) / (EPOCHS * n / batch)

    return run


def with_jax(D, hidden, K, batch, n):
    """The same network, loss, clipping and Adam; a whole epoch is one jitted scan."""
    import jax
    import jax.numpy as jnp

    def start(key, n_in, n_out):
        sizes = [n_in, *hidden, n_out]
        keys = iter(jax.random.split(key, 2 * len(sizes)))
        draw = lambda fan_in, *shape: jax.random.uniform(next(keys), shape, minval=-1, maxval=1) / math.sqrt(fan_in)  # noqa: E731
        layers = [{"w": draw(a, a, b), "b": draw(a, b)} for a, b in pairwise(sizes)]
        del layers[-1]["b"]
        return {"layers": layers, "w": draw(n_in, n_in, n_out), "b": draw(n_in, n_out)}

    def net(p, x):
        h = x
        for layer in p["layers"][:-1]:
            h = jax.nn.silu(h @ layer["w"] + layer["b"])
        return x @ p["w"] + p["b"] + h @ p["layers"][-1]["w"]

    def negative_elbo(p, x, key):
        mean, log_variance = jnp.split(net(p["encoder"], x), 2, -1)
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
        error = (x - net(p["decoder"], z)) ** 2 * jnp.exp(-p["log_variance"])
        reconstruction = 0.5 * (error.sum(-1).mean() + p["log_variance"].sum() + D * math.log(2 * math.pi))
        return reconstruction + 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(-1).mean()

    def step(state, x_and_key):
        p, m, v, t = state
        loss, g = jax.value_and_grad(negative_elbo)(p, *x_and_key)
        norm = jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(g)))
        g = jax.tree.map(lambda leaf: leaf * jnp.minimum(1.0, 100.0 / (norm + 1e-6)), g)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b**2, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        p = jax.tree.map(lambda a, b, c: a - rate * b / (jnp.sqrt(c) + 1e-8), p, m, v)
        return (p, m, v, t + 1), loss

    @jax.jit
    def epoch(state, x, key):
        order, noise = jax.random.split(key)
        batches = x[jax.random.permutation(order, n)].reshape(n // batch, batch, D)
        return jax.lax.scan(step, state, (batches, jax.random.split(noise, n // batch)))

    keys = jax.random.split(jax.random.key(0), 2)
    p = {"encoder": start(keys[0], D, 2 * K), "decoder": start(keys[1], K, D), "log_variance": jnp.zeros(D)}
    zeros = jax.tree.map(jnp.zeros_like, p)
    state, x, epochs = (p, zeros, zeros, jnp.float32(1)), jnp.asarray(table(D, n)), iter(range(10**9))

    def run():
        nonlocal state
        tick = time.perf_counter()
        for _ in range(EPOCHS):
            state, losses = epoch(state, x, jax.random.key(next(epochs)))
            float(losses.mean())
        return (time.perf_counter() - tick) / (EPOCHS * n / batch)

    return run


def pythae_networks(D, K, hidden):
    """Our networks as pythae takes them."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.net = Net(D, 2 * K, hidden)

        def forward(self, x):
            mean, log_variance = self.net(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.net = Net(K, D, hidden)

        def forward(self, z):
            return ModelOutput(reconstruction=self.net(z))

    return {"encoder": Encoder(), "decoder": Decoder()}


def pythae(D, hidden, K, batch, n):
    """pythae's VAE and BaseTrainer around the network of steps.py."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    rows = BaseDataset(torch.from_numpy(table(D, n)), torch.zeros(n))
    folder = tempfile.TemporaryDirectory()

    def fit(epochs):
        config = BaseTrainerConfig(output_dir=folder.name, num_epochs=epochs, learning_rate=1e-3, no_cuda=True,
                                   per_device_train_batch_size=batch)  # fmt: skip
        model = VAE(VAEConfig(input_dim=(D,), latent_dim=K), **pythae_networks(D, K, hidden))
        BaseTrainer(model, rows, training_config=config).train()

    return lambda: seconds_per_step(fit, n // batch)


def encdr(D, hidden, K, batch, n):
    """encdr's VENCDR on Lightning, on the CPU and without a progress bar."""
    from encdr.encdr import VENCDR

    X = table(D, n)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}

    def fit(epochs):
        VENCDR(hidden_dims=list(hidden), latent_dim=K, batch_size=batch, max_epochs=epochs, validation_split=0,
               random_state=0, trainer_kwargs=quiet).fit(X)  # fmt: skip

    return lambda: seconds_per_step(fit, n // batch)


def dimkit(D, hidden, K, batch, n):
    """dimkit's VAEReducer."""
    from dimkit.reducers.vae import VAEReducer

    X = table(D, n)
    fit = lambda epochs: VAEReducer(K, hidden_dims=list(hidden), epochs=epochs, batch_size=batch).fit(X)  # noqa: E731
    return lambda: seconds_per_step(fit, n // batch)


def pyod(D, hidden, K, batch, n):
    """pyod's VAE, without its dropout."""
    from pyod.models.vae import VAE

    X = table(D, n)

    def fit(epochs):
        VAE(epoch_num=epochs, batch_size=batch, encoder_neuron_list=list(hidden), latent_dim=K, dropout_rate=0,
            decoder_neuron_list=list(hidden[::-1]), device=torch.device("cpu"), verbose=0).fit(X)  # fmt: skip

    return lambda: seconds_per_step(fit, n // batch)


def tvae(D, hidden, K, batch, n):
    """ctgan's TVAE; the mixtures of its columns are fitted once."""
    import ctgan.synthesizers.tvae as module

    if D > 100:
        raise LeftOut
    transformer = module.DataTransformer()
    X = table(D, n)
    transformer.fit(X[:500])
    rows = transformer.transform(X)
    transformer.fit, transformer.transform = lambda *_: None, lambda _: rows
    module.DataTransformer = lambda: transformer

    def fit(epochs):
        module.TVAE(embedding_dim=K, compress_dims=hidden, decompress_dims=hidden[::-1], batch_size=batch,
                    epochs=epochs, enable_gpu=False).fit(X)  # fmt: skip

    return lambda: seconds_per_step(fit, n // batch)


def scvi(D, hidden, K, batch, n):
    """scvi-tools' SCVI on counts, defaults but for the sizes and dropout."""
    if len(set(hidden)) > 1:
        raise LeftOut
    from anndata import AnnData
    from scvi.model import SCVI

    adata = AnnData(np.random.default_rng(0).poisson(3, (n, D)).astype(np.float32))
    SCVI.setup_anndata(adata)

    def fit(epochs):
        model = SCVI(adata, n_hidden=hidden[0], n_latent=K, n_layers=len(hidden), dropout_rate=0, gene_likelihood="nb")
        model.train(epochs, accelerator="cpu", train_size=1.0, batch_size=batch, enable_progress_bar=False,
                    enable_model_summary=False, logger=False, datasplitter_kwargs={"drop_last": False})  # fmt: skip

    return lambda: seconds_per_step(fit, n // batch)


#: Name -> (function, distribution, printed as)
PEERS = {
    "hand": (hand, "torch", "hand-written loop"),
    "skvae": (ours, "skvae", "skvae VAETransformer"),
    "plain": (plain, "torch", "loop, ReLU layers alone"),
    "jax": (with_jax, "jax", "JAX, jitted epoch"),
    "pythae": (pythae, "pythae", "pythae VAE"),
    "encdr": (encdr, "encdr", "encdr VENCDR"),
    "dimkit": (dimkit, "dimkit", "dimkit VAEReducer"),
    "pyod": (pyod, "pyod", "pyod VAE"),
    "tvae": (tvae, "ctgan", "ctgan TVAE"),
    "scvi": (scvi, "scvi-tools", "scvi-tools SCVI"),
}


def serve(args):
    """A worker: answers each name on stdin with the seconds per step of a round."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what packages print goes to stderr
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads or os.cpu_count())
    rounds = {}
    for line in sys.stdin:
        name = line.strip()
        try:
            if name not in rounds:
                function, distribution, _ = PEERS[name]
                rounds[name] = function(*CASES[args.serve])
                answer = importlib.metadata.version(distribution)
            else:
                answer = rounds[name]()
        except Exception as error:
            if args.show_errors and not isinstance(error, LeftOut):
                raise
            known = {ImportError: "not installed", ModuleNotFoundError: "not installed", LeftOut: "left out"}
            answer = {"error": known.get(type(error), f"{type(error).__name__}: {error}"[:200])}
        answers.write(json.dumps(answer) + "\n")


class Worker:
    """The process of a peer; `ask` waits for its answer."""

    def __init__(self, python, case, args):
        n_threads = str(args.threads or os.cpu_count())
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" if args.threads == 1 else ""
        env = os.environ | {"OMP_NUM_THREADS": n_threads, "MKL_NUM_THREADS": n_threads, "XLA_FLAGS": flags,
                            "JAX_PLATFORMS": "cpu", "TQDM_DISABLE": "1"}  # fmt: skip
        command = [python, __file__, "--serve", str(case), "--threads", str(args.threads)]
        command += ["--show-errors"] * args.show_errors
        stderr = None if args.show_errors else subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                                        text=True, env=env)  # fmt: skip

    def ask(self, name):
        """The worker's answer; an error where it has died."""
        try:
            self.process.stdin.write(name + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline() or '{"error": "process ended"}')
        except BrokenPipeError:
            return {"error": "process ended"}

    def stop(self):
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def measure(case, names, args):
    """Seconds per step of each peer, round by round, its version, and why some have none."""
    pythons = dict(item.split("=", 1) for item in args.python)
    shared = Worker(sys.executable, case, args)
    start = lambda name: Worker(pythons.get(name, sys.executable), case, args)  # noqa: E731
    workers = {name: shared if name in ("hand", "plain", "skvae") else start(name) for name in names}
    versions = {name: worker.ask(name) for name, worker in workers.items()}
    seconds, errors = {name: [] for name in names}, {}
    for name, answer in versions.items():
        if isinstance(answer, dict):
            errors[name] = answer["error"]
    for _ in range(args.rounds + 1):  # the first is for compilers and caches
        for name in names:
            answer = {"error": errors[name]} if name in errors else workers[name].ask(name)
            if isinstance(answer, dict):
                errors[name] = answer["error"]
            else:
                seconds[name].append(answer)
    for worker in {shared, *workers.values()}:
        worker.stop()
    return {name: np.array(seconds[name][1:]) for name in names if name not in errors}, versions, errors


def main():
    """Print one table per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", type=int, nargs="*", default=range(len(CASES)))
    parser.add_argument("--python", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--show-errors", action="store_true", help="let workers speak, and stop at their first error")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        return serve(args)

    names = ["hand", *(name for name in args.peers if name != "hand")]
    threads = f"{args.threads} thread" if args.threads else f"{os.cpu_count()} threads"
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, {threads}, torch {torch.__version__}, "
          f"load {os.getloadavg()[0]:.1f} at the start")  # fmt: skip
    for case in args.cases:
        D, hidden, K, batch, n = CASES[case]
        print(f"\n{n} rows x {D} columns, {'-'.join(map(str, hidden))}, K = {K}, batches of {batch}\n")
        print("| | version | us per row | ratio to the loop | 10 to 90 % |\n| --- | --- | --- | --- | --- |")
        seconds, versions, errors = measure(case, names, args)
        for name in names:
            if name in errors:
                print(f"| {PEERS[name][2]} | | {errors[name]} | | |")
                continue
            low, median, high = np.percentile(seconds[name] / seconds["hand"], [10, 50, 90])
            us = 1e6 * np.median(seconds[name]) / batch
            print(f"| {PEERS[name][2]} | {versions[name]} | {us:.2f} | {median:.2f} | {low:.2f} to {high:.2f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
