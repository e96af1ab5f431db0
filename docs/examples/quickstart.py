"""Compare VAETransformer with PCA, FactorAnalysis and GaussianMixture on three tables; then search, map and sample.

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
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, ParameterGrid, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.display import LatentSpaceDisplay, ManifoldDisplay

TABLES = {"breast_cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
K = 10
PICTURE = Path(__file__).parents[1] / "images" / "quickstart.png"


def probe(codes_train, y_train, codes_test, y_test):
    """Return the accuracy of a logistic regression on the codes."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return model.fit(codes_train, y_train).score(codes_test, y_test)


class BestMixture(GaussianMixture):
    """A Gaussian mixture of as many members, with as much regularisation, as a tenth of the rows like best."""

    def fit(self, X):
        """Keep the fit to the other nine tenths that has the best score."""
        A, B = train_test_split(X, test_size=0.1, random_state=0)
        options = ParameterGrid({"n_components": [1, 2, 3, 5, 8, 12, 20], "reg_covar": [1e-3, 1e-2, 1e-1]})
        fits = [GaussianMixture(**option, random_state=0).fit(A) for option in options]
        self.__dict__.update(vars(max(fits, key=lambda fit: fit.score(B))))
        return self


def compare(name, load):
    """Print held-out score in data space and accuracy of the codes, for four models."""
    X, y = load(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    A, B = scaler.transform(X_train), scaler.transform(X_test)
    log_jacobian = -np.log(scaler.scale_).sum()  # of the scaling; VAETransformer adds it itself
    for label, model, train, test, jacobian in (
        ("PCA", PCA(K), A, B, log_jacobian),
        ("FactorAnalysis", FactorAnalysis(K), A, B, log_jacobian),
        ("GaussianMixture", BestMixture(), A, B, log_jacobian),
        ("VAETransformer", VAETransformer(K, random_state=0), X_train, X_test, 0.0),  # raw columns
    ):
        tick = time.perf_counter()
        model.fit(train)
        seconds = time.perf_counter() - tick
        score = model.score(test) + jacobian
        accuracy = "-"  # a mixture has no codes
        if hasattr(model, "transform"):
            accuracy = f"{probe(model.transform(train), y_train, model.transform(test), y_test):.3f}"
        print(f"{name:14} {label:15} {score:14,.2f} {accuracy:>9} {seconds:8.1f}", flush=True)
    return model, X_train, X_test, y_test


def search():
    """Search the latent size by held-out score, as for every scikit-learn estimator."""
    X, _ = load_wine(return_X_y=True)
    pipe = Pipeline([("scale", StandardScaler()), ("vae", VAETransformer(random_state=0))])
    grid = GridSearchCV(pipe, {"vae__n_components": [1, 2, 4, 8]}, cv=4, n_jobs=2, verbose=1).fit(X)
    print("n_components   mean score   std")
    results = grid.cv_results_
    for k, mean, std in zip(
        results["param_vae__n_components"], results["mean_test_score"], results["std_test_score"], strict=True
    ):
        print(f"{k:12} {mean:12.2f} {std:5.2f}{'   <- best' if k == grid.best_params_['vae__n_components'] else ''}")


def draw(vae, X_train, X, y):
    """Draw two components of PCA and of a VAETransformer, held-out digits, and rows that the model makes."""
    figure = plt.figure(figsize=(10, 7.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[3, 2.2])
    left, right = upper.subplots(1, 2)
    LatentSpaceDisplay(PCA(2).fit(X_train).transform(X), y=y).plot(left).ax_.set_title("PCA(2)")
    two = VAETransformer(2, random_state=0).fit(X_train)
    LatentSpaceDisplay.from_estimator(two, X, y, ax=right).ax_.set_title("VAETransformer(2)")
    made = vae.sample(60, random_state=0)
    images = np.stack([X[:60], made]).reshape(2, 3, 20, 64).clip(0, 16)
    titles = ["held-out digits", f"digits that VAETransformer({K}) makes"]
    ManifoldDisplay(images, (8, 8), titles=titles).plot(lower.subplots(2, 1))
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=100, metadata={"Software": None})
    print(f"wrote {PICTURE}")


def main():
    """Run the example."""
    print(f"{K} components, held-out quarter\ntable          model           nats per row  accuracy  seconds")
    for name, load in TABLES.items():
        last = compare(name, load)
    print("(a held-out digit uses a pixel that is constant in training; FactorAnalysis has no noise floor)")
    print("\nGridSearchCV over n_components, wine")
    search()
    vae, X_train, X, y = last
    back = vae.inverse_transform(vae.transform(X))
    print(f"\ndigits: mean squared pixel error of the reconstruction {np.mean((X - back) ** 2):.2f}")
    print("KL per component:", vae.kl_per_component_.round(2))
    draw(vae, X_train, X, y)


if __name__ == "__main__":
    main()
