"""What a column of 1000 levels adds to a training step, and where the rest of a step on a raw table goes.

    python docs/benchmarks/wide_category.py [--levels 1000] [--batch 512] [--rounds 30]

A made table of six numbers and eight categories of 2 to 41 levels, some cells missing, like the adult table of the UCI
repository; the same with one more column. Steps are those of the loop (loss, backward, clipping, fused AdamW), one
thread, interleaved in one process; medians and the range of the middle half of the ratios.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch

from skvae import ELBO, VAETransformer
from skvae._tables.validation import validated
from skvae._training.batches import TrainingRows

LEVELS = (2, 5, 6, 7, 8, 14, 16, 41)
STEPS = 10


def table(n=8000):
    """Numbers and categories of one cause, 2 % of the cells missing."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    columns = {f"number {i}": z + rng.normal(size=n) for i in range(6)}
    for C in LEVELS:
        codes = np.digitize(z + rng.normal(size=n), np.linspace(-2, 2, C - 1)) if C > 2 else (z > 0).astype(int)
        columns[f"{C} levels"] = np.char.add("level ", codes.astype(str))
    frame = pd.DataFrame(columns)
    return frame.mask(rng.uniform(size=frame.shape) < 0.02)


def step_of(frame, batch):
    """A training step on one batch of the table."""
    vae = VAETransformer(max_iter=0, random_state=0).fit(frame)
    module = vae.module_.train()
    rows = TrainingRows(validated(vae, vae.fitted_.schema, frame), np.ones(len(frame)), vae.fitted_.columns, "cpu")
    x, mask = rows.take(np.arange(batch))
    u = torch.randn(1, batch, module.n_noise)
    parameters, objective = list(module.parameters()), ELBO()
    optimizer = torch.optim.AdamW(parameters, lr=0.0, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        objective(module, x, mask, u)["loss"].mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 100.0)
        optimizer.step()

    return step


def milliseconds(step):
    """Time of one step, the mean of ten."""
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS * 1e3


def main():
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    frame = table()
    codes = np.random.default_rng(1).integers(0, args.levels, len(frame))
    steps = [step_of(f, args.batch) for f in (frame, frame.assign(wide=np.char.add("level ", codes.astype(str))))]
    times = np.array([[milliseconds(step) for step in steps] for _ in range(args.rounds + 2)])[2:]
    ratios = times[:, 1] / times[:, 0]
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    without, with_wide = np.median(times, axis=0)
    print("| batch | levels | ms without | ms with | ratio |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| {args.batch} | {args.levels} | {without:.2f} | {with_wide:.2f} | {middle:.2f} [{low:.2f}, {high:.2f}] |")


if __name__ == "__main__":
    main()
