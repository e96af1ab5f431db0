"""Log-likelihood of dynamically binarised MNIST: the one-layer setting of the IWAE paper (Burda et al. 2016, table 1).

    python docs/benchmarks/binarized_mnist.py --data PATH/mnist_train.npz [--objective elbo] [--n-samples 1]
        [--minutes 20] [--checkpoint FILE] [--test-draws 5000] [--test-rows N] [--device auto]

50 latents, 2 x 200 tanh units on either side, Bernoulli pixels. Our networks also have an affine path beside the tanh
layers, which the paper's have not. 50 000 training and 10 000 test images by a fixed split of MNIST's training images
(array X, 0 to 255), so the test images are not the paper's. Binarisation is *dynamic*: every epoch sees a fresh draw,
P(pixel = 1) = value / 255. The test images are drawn once, with a fixed seed. Numbers for *fixed* binarisation
(Larochelle & Murray 2011; mnist_binarized.npz) are other data: never compare them with these, nor mix the two.

Batches of 100 instead of the paper's 20, the rate 3e-3 / sqrt(1 + epoch / 10) instead of stages from 1e-3 to 1e-4,
init="pca", and averaged weights (`skvae._training`). They were chosen to go far in 20 minutes on two CPU cores: after
80 seconds each, on 45 000 of the training images, by the bound on 1000 of the other 5000; no test image was looked at.
Orientation after the paper's 3280 epochs: 86.8 (ELBO, k = 1), 84.8 (IWAE, k = 50).

An epoch is one `partial_fit`. Minutes count binarisation and `partial_fit`, not the curve and the test. After every
epoch, and every 100 tested rows, the state goes to the checkpoint; the same command goes on from it, and with more
minutes trains further. The curve is the bound with 50 draws on 500 test rows: to look at, nothing is chosen by it.
Test ELBO and NLL (minus the importance-weighted bound) are those of `score_samples`, with standard errors over rows.
5000 draws of a row take 0.05 to 0.12 s on one CPU core: the whole test set takes 10 to 20 minutes, in constant memory.
On a GPU say `--device cuda`: "auto" takes it for larger steps than these only.
"""

import argparse
import os
import pickle
import platform
import time
from datetime import date

import numpy as np
import sklearn
import torch

import skvae
from skvae import ELBO, IWAE, VAETransformer

N_TRAIN, SPLIT_SEED, TEST_SEED, TRAIN_SEED = 50_000, 0, 1, 2
CURVE_ROWS, CURVE_DRAWS = 500, 50
TEST_BLOCK = 100  # rows between two checkpoints of the test


def split(path):
    """Training and test images, uint8, always the same."""
    X = np.load(path)["X"]
    X = X[np.random.default_rng(SPLIT_SEED).permutation(len(X))]
    return X[:N_TRAIN], X[N_TRAIN:]


def binarized(images, *seed):
    """Draw binary images with P(1) = value / 255, exactly: an integer below 255 is smaller than the value."""
    return (np.random.default_rng(seed).integers(0, 255, images.shape, np.uint8) < images).astype(np.float32)


def model(args):
    """The untrained estimator."""
    objective = {"elbo": ELBO, "iwae": IWAE}[args.objective](n_samples=args.n_samples)
    return VAETransformer(50, hidden_layer_sizes=(200, 200), activation="tanh", likelihood="bernoulli", scaling=None,
                          objective=objective, init=args.init, batch_size=args.batch_size,
                          learning_rate=args.learning_rate, learning_rate_schedule="inverse_sqrt",
                          device=args.device, random_state=0)  # fmt: skip


def load(args):
    """The checkpoint's state, or a new one."""
    new = {"model": model(args), "epoch": 0, "seconds": 0.0, "test": [], "draws": args.test_draws}
    if not (args.checkpoint and os.path.exists(args.checkpoint)):
        return new
    with open(args.checkpoint, "rb") as file:
        state = pickle.load(file)
    held, asked = (str(sorted(s["model"].get_params(deep=False).items())) for s in (state, new))
    if held != asked:
        raise SystemExit(f"{args.checkpoint} was made with other settings:\n{held}\nasked for are\n{asked}")
    return state


def save(state, path):
    """Write the state; an interruption leaves the old file."""
    if path:
        with open(f"{path}.new", "wb") as file:
            pickle.dump(state, file)
        os.replace(f"{path}.new", path)


def train(state, images, look, args):
    """Epochs until the minutes are over, with a look at the model every few minutes."""
    looked = -np.inf
    while state["seconds"] < 60 * args.minutes:
        tick = time.perf_counter()
        state["model"].partial_fit(binarized(images, TRAIN_SEED, state["epoch"]))
        state["seconds"] += time.perf_counter() - tick
        state["epoch"] += 1
        state["test"] = []
        save(state, args.checkpoint)
        if state["seconds"] - looked >= 60 * args.look_every:
            looked = state["seconds"]
            print(f"epoch {state['epoch']:5}  {looked:7.0f} s  bound {look(state['model']):8.2f}", flush=True)


def test(state, X, args):
    """Importance-weighted bound of each test row, block by block."""
    if state["draws"] != args.test_draws:
        state |= {"test": [], "draws": args.test_draws}
    tick, last = time.perf_counter(), time.perf_counter()
    begun = len(state["test"])
    for i in range(begun, len(X), TEST_BLOCK):
        state["test"] += state["model"].score_samples(X[i : i + TEST_BLOCK], args.test_draws).tolist()
        save(state, args.checkpoint)
        if time.perf_counter() - last > 60 * args.look_every:
            last = time.perf_counter()
            n = len(state["test"])
            rate = (last - tick) / (n - begun)
            print(f"tested {n:5} rows, {rate:.2f} s each, NLL {-np.mean(state['test']):8.2f}", flush=True)
    return np.array(state["test"][: len(X)])


def main():
    """Train, print the curve, test, print one row of a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="npz with X, (60000, 784) uint8")
    parser.add_argument("--objective", choices=["elbo", "iwae"], default="elbo")
    parser.add_argument("--n-samples", type=int, default=1, metavar="K")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--checkpoint", metavar="FILE")
    parser.add_argument("--test-draws", type=int, default=5000)
    parser.add_argument("--test-rows", type=int, default=10_000)
    parser.add_argument("--look-every", type=float, default=2, metavar="MINUTES")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--init", choices=["pca", "factor_analysis", "random"], default="pca")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    train_images, test_images = split(args.data)
    X = binarized(test_images, TEST_SEED)
    state = load(args)
    train(state, train_images, lambda vae: vae.score_samples(X[:CURVE_ROWS], CURVE_DRAWS).mean(), args)

    X = X[: args.test_rows]
    vae = state["model"]
    elbo, nll = vae.score_samples(X), -test(state, X, args)
    both = [f"{v.mean():.2f} +- {v.std(ddof=1) / np.sqrt(len(v)):.2f}" for v in (elbo, nll)]
    device = next(vae.module_.parameters()).device
    cpu = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    versions = f"skvae {skvae.__version__}, torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    print(f"| objective | k | epochs | minutes | test ELBO | test NLL ({args.test_draws} draws) | test rows | machine "
          "| date | versions |\n" + "| --- " * 10 + "|")  # fmt: skip
    print(f"| {args.objective} | {args.n_samples} | {state['epoch']} | {state['seconds'] / 60:.1f} | {both[0]} "
          f"| {both[1]} | {len(X)} | {machine} | {date.today()} | {versions} |")  # fmt: skip


if __name__ == "__main__":
    main()
