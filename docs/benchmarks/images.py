"""ConvNet against an MLP of equal size on scikit-learn's 8 x 8 digits: held-out score, size, processor time.

python docs/benchmarks/images.py            (about six minutes on one core)

A quarter of the rows is the test; the architecture was chosen on the other three. Seeds of the fit differ.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import MLP, ConvNet, VAETransformer

NETWORKS = {"ConvNet": ConvNet((8, 8)), "MLP of equal size": MLP((160, 160)), "default MLP": MLP((128, 128))}
COMBINATIONS = {name: (name, name) for name in NETWORKS} | {"MLP before ConvNet": ("MLP of equal size", "ConvNet")}
TABLES = {
    "binary": (lambda X: (X > 8).astype(float), {"likelihood": "bernoulli"}),
    "grey": (lambda X: X, {"scaling": "global"}),
}


def n_numbers(vae):
    """Trained numbers of both nets."""
    return sum(p.numel() for coder in (vae.module_.encoder, vae.module_.decoder) for p in coder.net.parameters())


def main():
    """Print one line per table and pair of networks: the mean over the seeds, and each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    X, _ = load_digits(return_X_y=True)
    print("table    networks               numbers   nats per row   per seed                             seconds")
    for table, (prepare, parameters) in TABLES.items():
        X_train, X_test = train_test_split(prepare(X), random_state=100)
        for name, (encoder, decoder) in COMBINATIONS.items():
            networks = {"encoder": NETWORKS[encoder], "decoder": NETWORKS[decoder]}
            tick = time.process_time()
            fits = [VAETransformer(10, random_state=s, **networks, **parameters).fit(X_train) for s in seeds]
            seconds = (time.process_time() - tick) / len(fits)
            scores = np.array([vae.score(X_test) for vae in fits])
            each = " ".join(f"{score:8.2f}" for score in scores)
            print(
                f"{table:8} {name:20} {n_numbers(fits[0]):9d} {scores.mean():14.2f}   {each} {seconds:8.1f}", flush=True
            )


if __name__ == "__main__":
    main()
