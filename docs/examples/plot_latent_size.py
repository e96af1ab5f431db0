"""How many components? GridSearchCV over the latent size
======================================================

Reconstruction improves with every component that is added, so it cannot say when to stop. The score of
:class:`~skvae.VAETransformer` can: it is a bound on the log-likelihood of held-out rows, and falls once a component
costs more than it explains. We search the latent size for a table of wines, like any other parameter in scikit-learn.

In the user guide: :doc:`/guide/n_components`, :doc:`/guide/density`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer, metrics

X = StandardScaler().fit_transform(load_wine().data)  # for PCA; VAETransformer standardises by itself

# %%
# We use two scorers at once: the estimator's score, by which the best size is chosen, and the squared error of the
# reconstruction, as a fraction of each column's variance.
sizes = {"n_components": [1, 2, 3, 4, 6, 8, 12]}
scoring = {"nats": lambda model, X, y=None: model.score(X), "error": metrics.neg_reconstruction_error}
folds = KFold(4, shuffle=True, random_state=0)
vae = GridSearchCV(VAETransformer(random_state=0), sizes, scoring=scoring, refit="nats", cv=folds).fit(X)
pca = GridSearchCV(PCA(), sizes, cv=folds).fit(X)
print("VAE: ", vae.best_params_, f"{vae.best_score_:.2f} nats per row")
print("PCA: ", pca.best_params_, f"{pca.best_score_:.2f} nats per row")

# %%
# The error falls throughout, whereas the score has a maximum. Folds differ in difficulty, which affects all sizes
# alike: the bars are standard errors, over the folds, of the difference to the best size. The maximum is flat, so
# choose a small size near it. PCA is linear, and needs about twice as many components to explain as much of these
# wines; with them, it is as good.
n = vae.cv_results_["param_n_components"].data.astype(int)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, results, key, color in (("VAE", vae.cv_results_, "nats", "C1"), ("PCA", pca.cv_results_, "score", "C0")):
    scores = np.array([results[f"split{fold}_test_{key}"] for fold in range(4)])
    differences = scores - scores[:, [scores.mean(0).argmax()]]
    left.errorbar(n, scores.mean(0), differences.std(0, ddof=1) / 2, fmt="o-", capsize=3, color=color, label=name)
left.set(xlabel="n_components", ylabel="nats per row, held out", title="score")
left.legend()
right.plot(n, -vae.cv_results_["mean_test_error"], "o-", color="C1")
right.set(xlabel="n_components", ylabel="fraction of variance, held out", title="reconstruction error of the VAE")
right.set_ylim(0, None)
plt.show()
