"""Few labels: accuracy of VAEClassifier on held-out rows next to logistic regression and LabelSpreading.

    python docs/benchmarks/few_labels.py [--tables digits wine breast_cancer] [--splits 5] [--draws 4]

Each split holds out three tenths of the rows. Of the training rows, draws of 3 rows a class of digits and of wine and
of 5 rows a class of breast_cancer keep their label. Logistic regression is fitted to these, on columns that are
standardised by all training rows; LabelSpreading (kernel="knn") to all training rows, with standardised columns and as
they are. The VAE does not see labels, so that one fit per split serves all its draws. Differences are paired over
draws, with their standard error. The second table has all labels, of each split.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from skvae import VAEClassifier, VAETransformer

TABLES = {"digits": (load_digits, 3), "wine": (load_wine, 3), "breast_cancer": (load_breast_cancer, 5)}
FEW = ("VAEClassifier", "LogisticRegression", "LabelSpreading, standardised", "LabelSpreading, as they are")


def accuracies(frozen, X, label, test, y_test):
    """Accuracy of each classifier, by name, of training rows of which those with -1 have no label."""
    known, scaler = label >= 0, StandardScaler().fit(X)
    linear = LogisticRegression(max_iter=1000).fit(scaler.transform(X[known]), label[known])
    found = {
        "VAEClassifier": VAEClassifier(frozen, unlabeled=-1).fit(X, label).score(test, y_test),
        "LogisticRegression": linear.score(scaler.transform(test), y_test),
    }
    if not known.all():
        spreading = LabelSpreading(kernel="knn", max_iter=1000)
        scaled = make_pipeline(StandardScaler(), spreading).fit(X, label)
        found["LabelSpreading, standardised"] = scaled.score(test, y_test)
        found["LabelSpreading, as they are"] = spreading.fit(X, label).score(test, y_test)
    return found


def measured(name, n_splits, n_draws):
    """Accuracies with few labels, one dict per draw, and with all, one per split."""
    load, n_each = TABLES[name]
    rows, labels = load(return_X_y=True)
    few, full = [], []
    for split in range(n_splits):
        X, test, y, y_test = train_test_split(rows, labels, test_size=0.3, stratify=labels, random_state=1000 + split)
        frozen = FrozenEstimator(VAETransformer(16, random_state=split).fit(X))
        full.append(accuracies(frozen, X, y, test, y_test))
        for draw in range(n_draws):
            rng = np.random.default_rng([split, draw])
            label = np.full(len(y), -1)
            for c in np.unique(y):
                known = rng.permutation(np.flatnonzero(y == c))[:n_each]
                label[known] = c
            few.append(accuracies(frozen, X, label, test, y_test))
    return few, full


def difference(found, other):
    """Mean and standard error of the paired differences to another classifier."""
    gain = np.array([f["VAEClassifier"] - f[other] for f in found])
    return f"{gain.mean():+.3f} ± {gain.std(ddof=1) / np.sqrt(len(gain)):.3f}"


def main():
    """Print a table of few labels, and one of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args()
    found = {}
    for name in options.tables:
        start = time.process_time()
        found[name] = measured(name, options.splits, options.draws)
        print(f"{name}: {time.process_time() - start:.0f} CPU seconds", flush=True)
    others = ", ".join(f"minus {other}" for other in FEW[1:])
    print(f"\nfew labels: {others}")
    print("| table | labels | " + " | ".join(FEW) + " | " + " | ".join(f"- {other}" for other in FEW[1:]) + " |")
    print("| --- " * (2 + len(FEW) + len(FEW) - 1) + "|")
    for name, (few, _) in found.items():
        means = [f"{np.mean([f[c] for f in few]):.3f}" for c in FEW]
        n_labels = TABLES[name][1] * len(np.unique(TABLES[name][0](return_X_y=True)[1]))
        print("| " + " | ".join([name, str(n_labels), *means, *(difference(few, c) for c in FEW[1:])]) + " |")
    print("\nall labels\n| table | VAEClassifier | LogisticRegression | difference |\n| --- | --- | --- | --- |")
    for name, (_, full) in found.items():
        means = [f"{np.mean([f[c] for f in full]):.3f}" for c in FEW[:2]]
        print("| " + " | ".join([name, *means, difference(full, "LogisticRegression")]) + " |")


if __name__ == "__main__":
    main()
