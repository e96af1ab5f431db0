"""
How many components? GridSearchCV over the latent size
======================================================

Reconstruction improves with every component that is added, so it cannot say when to stop. The score of
:class:`~skvae.VAETransformer` can: it is a bound on the log-likelihood of held-out rows, and falls once a component
costs more than it explains. We search the latent size for a table of wines, as one searches any parameter in
scikit-learn.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer, metrics

X = StandardScaler().fit_transform(load_wine().data)  # for PCA's sake; VAETransformer scales inside

# %%
# Two scorers at once: the estimator's own, by which the best size is chosen, and the squared error of the
# reconstruction, in shares of each column's variance.
sizes = {"n_components": [1, 2, 3, 4, 6, 8, 12]}
scoring = {"nats": lambda model, X, y=None: model.score(X), "error": metrics.neg_reconstruction_error}
folds = KFold(4, shuffle=True, random_state=0)
vae = GridSearchCV(VAETransformer(random_state=0), sizes, scoring=scoring, refit="nats", cv=folds).fit(X)
pca = GridSearchCV(PCA(), sizes, cv=folds).fit(X)
print("VAE: ", vae.best_params_, f"{vae.best_score_:.2f} nats per row")
print("PCA: ", pca.best_params_, f"{pca.best_score_:.2f} nats per row")

# %%
# The error falls to the end, the score has a top. PCA needs more components to say as much, since its axes are straight.
# The thin lines are the four folds: they lie further apart than the sizes do, because some quarters of the table are
# easier than others, but each of them turns in the same region. Among sizes whose scores hardly differ take the
# smallest.
n = vae.cv_results_["param_n_components"].data.astype(int)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, results, key, color in (("VAE", vae.cv_results_, "nats", "C1"), ("PCA", pca.cv_results_, "score", "C0")):
    left.plot(n, results[f"mean_test_{key}"], "o-", color=color, label=name)
    for fold in range(folds.get_n_splits()):
        left.plot(n, results[f"split{fold}_test_{key}"], color=color, lw=0.6, alpha=0.6)
left.axvline(vae.best_params_["n_components"], color="C1", ls=":", label="best VAE")
left.set(xlabel="n_components", ylabel="nats per row, held out", title="score")
left.legend()
right.plot(n, -vae.cv_results_["mean_test_error"], "o-", color="C1")
right.set(xlabel="n_components", ylabel="share of variance, held out", title="error of the VAE's reconstruction")
right.set_ylim(0, None)
plt.show()
