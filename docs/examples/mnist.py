"""MNIST by VAETransformer: the manifold of two components, and images drawn from a model with more of them.

    python docs/examples/mnist.py --data PATH [--network conv] [--n-components 16] [--rows 60000] [--epochs 30]

PATH is a folder with the four files of the data base (train-images-idx3-ubyte.gz and so on, also unpacked), or an npz
with x_train and x_test, as in keras, or X. Nothing is downloaded. Pixels are Bernoulli: grey levels divided by 255 are
used as probabilities, and one draw of them is the training set. The script writes mnist_manifold.png and
mnist_samples.png. All rows and 30 epochs need a GPU or a long time; --rows 10000 --epochs 10 is a quick run on a CPU.
"""

import argparse
import gzip
import time
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from skvae import MLP, ConvNet, VAETransformer, metrics
from skvae.display import ManifoldDisplay, ReconstructionDisplay

N_TEST = 10_000  # of an npz without test images
NETWORKS = {"mlp": MLP((500, 500)), "conv": ConvNet((28, 28), channels=(16, 32, 64), hidden_size=256)}
IDX = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


def idx_images(folder, stem):
    """Read the rows (n, 784) of one idx file; its name is spelled in two ways."""
    for name in (stem, stem.replace("-idx", ".idx")):
        for path in (folder / f"{name}.gz", folder / name):
            if path.is_file():
                raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
                return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)
    raise SystemExit(f"{folder} has no {stem}.gz")


def load(path):
    """Load training and test images, uint8 (n, 784)."""
    if path.is_dir():
        return idx_images(path, IDX["train"]), idx_images(path, IDX["test"])
    with np.load(path) as file:
        names = ("x_train", "x_test") if "x_train" in file else ("X",)
        parts = [file[name].reshape(-1, 784) for name in names]
    return parts if len(parts) == 2 else (parts[0][:-N_TEST], parts[0][-N_TEST:])


def binarized(images, rng):
    """Draw each pixel with P(1) = value / 255."""
    return (rng.random(images.shape) * 255 < images).astype(np.float32)


def fit(n_components, X, X_test, args):
    """Fit a VAE with Bernoulli pixels, and print its score."""
    tick = time.perf_counter()
    vae = VAETransformer(
        n_components,
        encoder=NETWORKS[args.network],
        decoder=NETWORKS[args.network],
        likelihood="bernoulli",
        scaling=None,
        max_iter=args.epochs,
        device=args.device,
        random_state=0,
    ).fit(X)
    print(
        f"{n_components:3} components, {vae.n_iter_} epochs, {time.perf_counter() - tick:.0f} s: "
        f"bound {vae.score(X_test):.2f} nats per test image, {metrics.live_components(vae, X_test)} live",
        flush=True,
    )
    return vae


def main():
    """Train the models, print their scores and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of idx files, or an npz")
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--n-components", type=int, default=16)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the pictures")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    train, test = load(args.data)
    X, X_test = (binarized(part[:n], rng) for part, n in ((train, args.rows), (test, args.test_rows)))
    args.out.mkdir(parents=True, exist_ok=True)

    ManifoldDisplay.from_estimator(fit(2, X, X_test, args), (28, 28), n=20, cmap="gray_r")
    plt.savefig(args.out / "mnist_manifold.png", dpi=120)

    vae = fit(args.n_components, X, X_test, args)
    figure, axes = plt.subplots(2, 1, figsize=(10, 5.6), height_ratios=[2, 5], layout="constrained")
    ReconstructionDisplay.from_estimator(vae, X_test, image_shape=(28, 28), n_images=14, ax=axes[0], cmap="gray_r")
    means = vae.inverse_transform(rng.normal(size=(70, args.n_components))).reshape(1, 5, 14, 784)
    ManifoldDisplay(means, (28, 28), titles=["means of draws of the prior"]).plot(axes[1], cmap="gray_r")
    figure.savefig(args.out / "mnist_samples.png", dpi=120)
    print(f"wrote mnist_manifold.png and mnist_samples.png in {args.out.resolve()}")


if __name__ == "__main__":
    main()
