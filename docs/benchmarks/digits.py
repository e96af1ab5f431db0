"""Codes of scikit-learn's digits, 10 components, default training: reconstruction and neighbours next to PCA.

    python docs/benchmarks/digits.py [--seeds 3] [--set max_iter=50]

R2 is the mean over the non-constant standardised columns of a held-out quarter; 5-NN accuracy is
StratifiedKFold(5, shuffle=True, random_state=0) on the codes of a model fitted to all rows. PCA's columns are
standardised for "standard" and raw for "global".
"""

import argparse
import ast

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
args = parser.parse_args()
settings = {k: ast.literal_eval(v) for k, v in (item.split("=", 1) for item in args.set)}

X, y = load_digits(return_X_y=True)
folds = StratifiedKFold(5, shuffle=True, random_state=0)


def r2(model, A, B, scaler):
    """Held-out R2 of the reconstruction, mean over the columns that vary on both sides, in standardised units."""
    truth, guess = scaler.transform(B), scaler.transform(model.inverse_transform(model.transform(B)))
    varies = (A.std(0) > 0) & (B.std(0) > 0)
    return r2_score(truth[:, varies], guess[:, varies])


def neighbours(codes):
    """5-NN accuracy on codes."""
    return cross_val_score(KNeighborsClassifier(5), codes, y, cv=folds).mean()


print(f"{'scaling':10} {'seed':>4} {'R2':>7} {'PCA':>7} {'5-NN':>7} {'PCA':>7}  same codes for X and X / 16")
for scaling in ("standard", "global"):
    for seed in range(args.seeds):
        A, B = train_test_split(X, test_size=0.25, random_state=seed)
        scaler = StandardScaler().fit(A)
        unit = scaler if scaling == "standard" else None
        a, b, all_rows = (unit.transform(part) if unit else part for part in (A, B, X))
        pca = PCA(10).fit(a)
        back = pca.inverse_transform(pca.transform(b))
        varies = (A.std(0) > 0) & (B.std(0) > 0)
        truth = scaler.transform(B)
        guess = back if unit else scaler.transform(back)
        pca_r2 = r2_score(truth[:, varies], guess[:, varies])
        vae = VAETransformer(10, scaling=scaling, random_state=seed, **settings)
        held_out = r2(vae.fit(A), A, B, scaler)
        codes = vae.fit_transform(X)
        same = np.abs(codes - vae.fit_transform(X / 16)).max()
        pca_codes = PCA(10).fit_transform(all_rows)
        numbers = f"{held_out:7.3f} {pca_r2:7.3f} {neighbours(codes):7.3f} {neighbours(pca_codes):7.3f}"
        print(f"{scaling:10} {seed:4} {numbers}  {same:.1e}", flush=True)
