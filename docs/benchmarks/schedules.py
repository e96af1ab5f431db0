"""Schedules from a random initialisation, the setting of posterior collapse: live components and held-out score.

    python docs/benchmarks/schedules.py [--seeds 6]

breast_cancer, K = 15, init="random", default arguments otherwise; a quarter of the rows held out, another split and
another initialisation for each seed. Live is KL > 0.05 nats on the training rows; the score is the ELBO in nats a row.
The last line has the same model from its closed-form initialisation.
"""

import argparse

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skvae import VAETransformer, metrics

VARIANTS = {
    "joint": {"init": "random"},
    "em": {"init": "random", "schedule": "em"},
    "aggressive": {"init": "random", "schedule": "aggressive"},
    "joint, init='pca'": {},
}


def main():
    """Print one row per variant: live components and held-out score of every seed, and the median gain over joint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    n_seeds = parser.parse_args().seeds
    X = load_breast_cancer().data
    print(f"| schedule | live, seeds 0 to {n_seeds - 1} | held-out score | median gain over joint |")
    print("| --- | --- | --- | --- |")
    scores = {}
    for name, parameters in VARIANTS.items():
        live, scores[name] = [], []
        for seed in range(n_seeds):
            train, test = train_test_split(X, random_state=seed)
            vae = VAETransformer(15, random_state=seed, **parameters).fit(train)
            live.append(metrics.live_components(vae, train))
            scores[name].append(vae.score(test))
        gain = np.median(np.subtract(scores[name], scores["joint"]))
        listed = " ".join(map(str, live)), " ".join(f"{score:.1f}" for score in scores[name])
        print(f"| {name} | {listed[0]} | {listed[1]} | {gain:+.2f} |", flush=True)


if __name__ == "__main__":
    main()
