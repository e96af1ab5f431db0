"""VAETransformer next to PCA and FactorAnalysis on three tables, then a grid search, reconstructions and samples.

python docs/examples/quickstart.py          (about a minute on two cores; writes docs/images/quickstart.png)
"""

import time
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

TABLES = {"breast_cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
K = 10
PICTURE = Path(__file__).parents[1] / "images" / "quickstart.png"


def probe(codes_train, y_train, codes_test, y_test):
    """Accuracy of a logistic regression on the codes."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return model.fit(codes_train, y_train).score(codes_test, y_test)


def compare(name, load):
    """Held-out score in the table's own units and accuracy of the codes, for three models with K components."""
    X, y = load(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    A, B = scaler.transform(X_train), scaler.transform(X_test)
    log_jacobian = -np.log(scaler.scale_).sum()  # what scaling does to a density; VAETransformer adds it itself
    for label, model, train, test, jacobian in (
        ("PCA", PCA(K), A, B, log_jacobian),
        ("FactorAnalysis", FactorAnalysis(K), A, B, log_jacobian),
        ("VAETransformer", VAETransformer(K, random_state=0), X_train, X_test, 0.0),  # raw columns
    ):
        tick = time.perf_counter()
        model.fit(train)
        seconds = time.perf_counter() - tick
        score = model.score(test) + jacobian
        accuracy = probe(model.transform(train), y_train, model.transform(test), y_test)
        print(f"{name:14} {label:15} {score:14,.2f} {accuracy:9.3f} {seconds:8.1f}", flush=True)
    return model, X_test, y_test


def search():
    """The latent size by held-out score, the way every scikit-learn estimator is searched."""
    X, _ = load_wine(return_X_y=True)
    pipe = Pipeline([("scale", StandardScaler()), ("vae", VAETransformer(random_state=0))])
    grid = GridSearchCV(pipe, {"vae__n_components": [1, 2, 4, 8]}, cv=4, n_jobs=2, verbose=1).fit(X)
    print("n_components   mean score   std")
    results = grid.cv_results_
    for k, mean, std in zip(
        results["param_vae__n_components"], results["mean_test_score"], results["std_test_score"], strict=True
    ):
        print(f"{k:12} {mean:12.2f} {std:5.2f}{'   <- best' if k == grid.best_params_['vae__n_components'] else ''}")


def draw(vae, X, y):
    """One picture: latent scatter, training curve, digits with their reconstructions, samples."""
    codes = vae.transform(X)
    figure, axes = plt.subplot_mosaic(
        [["codes", "curve"], ["rows", "rows"], ["samples", "samples"]],
        figsize=(9, 8),
        height_ratios=[3, 1.3, 0.75],
        layout="constrained",
    )
    scatter = axes["codes"].scatter(codes[:, 0], codes[:, 1], c=y, s=10, cmap="tab10")
    axes["codes"].legend(*scatter.legend_elements(), title="digit", ncols=2, fontsize="x-small")
    axes["codes"].set(xlabel="most informative component", ylabel="second", title="posterior means, held-out rows")

    epochs = [record["epoch"] for record in vae.history_]
    axes["curve"].plot(epochs[1:], [-r["train_loss"] for r in vae.history_[1:]], label="training")
    axes["curve"].plot(epochs, [-r["valid_loss"] for r in vae.history_], label="held out")
    axes["curve"].axhline(-vae.history_[0]["valid_loss"], color="gray", ls=":", label="PCA start, held out")
    axes["curve"].axvline(vae.best_iter_, color="black", lw=0.8, label="best epoch")
    axes["curve"].set(xlabel="epoch", ylabel="ELBO in nats per row", title="training")
    axes["curve"].legend(fontsize="x-small")

    def strip(rows):
        return np.hstack([np.pad(row.reshape(8, 8), 1, constant_values=0) for row in rows])

    shown = X[:16]
    pairs = np.vstack([strip(shown), strip(vae.inverse_transform(vae.transform(shown)))])
    axes["rows"].imshow(pairs, cmap="gray", vmin=0, vmax=16)
    axes["rows"].set(title="held-out digits (top) and their reconstructions from 10 components")
    axes["samples"].imshow(strip(vae.sample(16, random_state=0)), cmap="gray", vmin=0, vmax=16)
    axes["samples"].set(title="sampled digits: sample() draws the pixel noise too")
    for name in ("rows", "samples"):
        axes[name].axis("off")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=100, metadata={"Software": None})
    print(f"wrote {PICTURE}")


def main():
    """Run the whole road."""
    print(f"{K} components, held-out quarter\ntable          model           nats per row  accuracy  seconds")
    for name, load in TABLES.items():
        last = compare(name, load)
    print("(a held-out digit uses a pixel that is constant in training; FactorAnalysis has no noise floor)")
    print("\nGridSearchCV over n_components, wine")
    search()
    vae, X, y = last
    back = vae.inverse_transform(vae.transform(X))
    print(f"\ndigits: mean squared pixel error of the reconstruction {np.mean((X - back) ** 2):.2f}")
    print("KL per component:", vae.kl_per_component_.round(2))
    draw(vae, X, y)


if __name__ == "__main__":
    main()
