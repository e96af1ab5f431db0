"""Plain, variational, Wasserstein and adversarial autoencoders on digits: codes against the prior, and reconstruction.

    python docs/benchmarks/autoencoders.py [--seeds 3]

K = 8, scaling="global", batches of 128, 250 epochs at most; a quarter of the rows held out, all numbers on them, mean
over the seeds. MMD is the unbiased squared one with the IMQ kernel; error the share of the variance not reconstructed.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import VAETransformer, metrics


def main():
    """Print one row per objective."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    n_seeds = parser.parse_args().seeds
    print("| objective | MMD | error | error against ae |\n| --- | --- | --- | --- |")
    plain = None
    for objective in ("ae", "elbo", "wae_mmd", "aae"):
        measured = []
        for seed in range(n_seeds):
            train, test = train_test_split(load_digits().data, random_state=seed)
            vae = VAETransformer(
                8, objective=objective, scaling="global", batch_size=128, max_iter=250, random_state=seed
            )
            vae.fit(train)
            measured.append((metrics.mmd_to_prior(vae, test), metrics.reconstruction_error(vae, test)))
        discrepancy, error = np.mean(measured, axis=0)
        plain = plain or error
        print(f"| {objective} | {discrepancy:.4f} | {error:.4f} | {error / plain:.3f} |", flush=True)


if __name__ == "__main__":
    main()
