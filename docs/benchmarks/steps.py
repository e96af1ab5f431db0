"""Time of a training step next to a hand-written PyTorch loop with the same network, clipping and optimizer.

    python docs/benchmarks/steps.py [--rounds 15] [--threads 1] [--compile] [--profile]

Both take one draw of z for each row, and train in one process, alternating epoch by epoch; the ratio is taken round by
round, so that a busy machine hits both. That is done with the likelihood that a net is trained under by default, and
with one noise variance per column.
The median and the interval from the 10th to the 90th percentile are printed; and what validating a ninth as many rows
takes, as a share of an epoch. With --profile also the kernels in which both spend most time, by torch.profiler, in
microseconds per step (its own cost included).
"""

import argparse
import math
import time
from itertools import pairwise, product

import numpy as np
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from skvae import ELBO, ContaminatedGaussian, Gaussian, VAETransformer
from skvae._fitting.plan import Plan, parameters_of
from skvae._fitting.start import Start
from skvae._fitting.training import training_options
from skvae._training import loop
from skvae._training.batches import TrainingRows

CASES = [(64, (128, 128), 10, 128, 128 * 40), (784, (512, 256), 16, 256, 256 * 8)]


class Net(nn.Module):
    """Affine path + MLP, as a good engineer would write it."""

    def __init__(self, n_in, n_out, hidden):
        super().__init__()
        sizes = [n_in, *hidden]
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], n_out, bias=False))
        self.affine = nn.Linear(n_in, n_out)

    def forward(self, x):
        """The two paths added."""
        return self.affine(x) + self.net(x)


class HandWritten(nn.Module):
    """VAE with one noise variance per column."""

    n_raw = 1

    def __init__(self, D, K, hidden):
        super().__init__()
        self.encoder, self.decoder = Net(D, 2 * K, hidden), Net(K, self.n_raw * D, hidden)
        self.own = nn.Parameter(torch.zeros(D))

    def loss(self, x):
        """Negative ELBO, mean over the batch."""
        mean, log_variance = self.encoder(x).chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        return kl - self.log_likelihood(x, self.decoder(z))

    def log_likelihood(self, x, raw):
        """Mean over the batch."""
        error = (x - raw).square() * torch.exp(-self.own)
        return -0.5 * (error.sum(-1).mean() + self.own.sum() + x.shape[1] * math.log(2 * math.pi))


class WithBackground(HandWritten):
    """The same with a variance for each row, and a background."""

    n_raw = 2

    def log_likelihood(self, x, raw):
        """Mean over the batch."""
        loc, log_variance = raw.chunk(2, -1)
        variance = 1e-3 + log_variance.exp()
        normal = -0.5 * ((x - loc).square() / variance + variance.log() + math.log(2 * math.pi))
        background = math.log(2 / (math.pi * math.sqrt(3))) - 2 * torch.log1p(x.square() / 3)
        usual, wild = normal + logsigmoid(-self.own), background + logsigmoid(self.own)
        return torch.logaddexp(usual, wild).sum(-1).mean()


MODELS = [
    ("default", ContaminatedGaussian("row"), WithBackground),
    ("one variance", Gaussian(noise="feature", background=0), HandWritten),
]


def hand_epoch(model, optimizer, x, batch):
    """One epoch over slices of a permuted tensor."""
    shuffled, total = x[torch.randperm(len(x))], 0.0
    for part in shuffled.split(batch):
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(part)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
        total += loss.detach()
    return float(total)


def profiled(ours, hand, n_steps, n_kernels=16):
    """Print the kernels on top: microseconds and calls per step of ours, and by hand."""
    tables = []
    for epoch in (ours, hand):
        epoch()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            epoch()
        tables.append({event.key: event for event in profile.key_averages()})
    for name, event in sorted(tables[0].items(), key=lambda item: -item[1].self_cpu_time_total)[:n_kernels]:
        both = (event, tables[1].get(name))
        cells = [f"{e.self_cpu_time_total / n_steps:8.1f} x{e.count / n_steps:5.1f}" if e else " " * 15 for e in both]
        print(f"    {name[:44]:44} {cells[0]}   by hand {cells[1]}", flush=True)


def case(D, hidden, K, batch, n, likelihood, by_hand, args):
    """Seconds per step of ours, by hand, and of a validation, round by round."""
    X = np.random.default_rng(0).normal(size=(n, D))
    x = torch.from_numpy(X).float()
    theirs = by_hand(D, K, hidden)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, weight_decay=0.0, fused=True)

    vae = VAETransformer(K, hidden_layer_sizes=hidden, batch_size=batch, compile=args.compile, random_state=0)
    vae.set_params(likelihood=likelihood, objective=ELBO(n_samples=1), max_iter=0).fit(X)
    rows, held_out = (TrainingRows(part, np.ones(len(part)), vae.fitted_.columns, "cpu") for part in (X, X[: n // 9]))
    plan = Plan.of(parameters_of(vae), "VAETransformer")
    options = training_options(plan, Start.of(vae.fitted_, plan), rows)
    net = loop.Net(vae.module_, options, seed=0, first_epoch=0, callbacks=[])
    net.initialize()
    net.load_training_state(None)

    if args.profile:
        profiled(
            lambda: net.fit_loop((rows, None), epochs=1), lambda: hand_epoch(theirs, optimizer, x, batch), n // batch
        )
    seconds = []
    for _ in range(args.rounds + 2):
        stamps = [time.perf_counter()]
        for part in (
            lambda: net.fit_loop((rows, None), epochs=1),
            lambda: hand_epoch(theirs, optimizer, x, batch),
            lambda: net.validate(held_out),
        ):
            part()
            stamps.append(time.perf_counter())
        seconds.append(np.diff(stamps))
    return np.array(seconds[2:]) / (n / batch)


def main():
    """Print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for (D, hidden, K, batch, n), (model, *made_of) in product(CASES, MODELS):
        ours, hand, validation = case(D, hidden, K, batch, n, *made_of, args).T
        low, median, high = np.percentile(ours / hand, [10, 50, 90])
        name = f"{D} columns, {'-'.join(map(str, hidden))}, K={K}, batch {batch}, {model}"
        times = f"{1e6 * np.median(ours):6.0f} us against {1e6 * np.median(hand):6.0f} us by hand"
        ratio = f"ratio {median:.2f} [{low:.2f}, {high:.2f}], validation {np.median(validation / ours):.1%} of an epoch"
        print(f"{name:56} {times}: {ratio}", flush=True)


if __name__ == "__main__":
    main()
