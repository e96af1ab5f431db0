"""Counts of single cells: batches and depths of reading are given
===============================================================

A cell is a row of counts, one per gene. How many there are depends on how deeply the cell was read, its size factor,
and two batches of the same tissue differ in each gene. Neither is what a study is about. With
``conditions=["depth", "batch"]`` and ``NegativeBinomial(exposure="depth")`` the model of
:class:`~skvae.VAETransformer` is p(counts | z, depth, batch), as in scVI: codes say what neither of the two explains.
We make cells of four types, the rarest a tenth of them, of which the second batch is read more deeply.

In the user guide: :doc:`/guide/conditions`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from skvae import NegativeBinomial, VAETransformer

rng = np.random.default_rng(0)
n_cells, genes = 700, [f"gene {g}" for g in range(24)]
kind, batch = rng.choice(4, n_cells, p=[0.4, 0.3, 0.2, 0.1]), rng.integers(2, size=n_cells)
marked = rng.random((4, 24)) < 0.25  # genes that a type has more of
of_type = rng.normal(-0.5, 1.0, size=24) + np.where(marked, rng.normal(1.5, 0.4, size=(4, 24)), 0.0)
of_batch = 0.6 * rng.normal(size=(2, 24))
depth = rng.lognormal(np.log([1.0, 2.5])[batch], 0.4)
rate = np.exp(of_type[kind] + of_batch[batch]) * rng.gamma(2.0, 0.5, size=(n_cells, 24))
counts = pd.DataFrame(rng.poisson(depth[:, None] * rate), columns=genes)
total = counts.sum(axis=1)
cells = counts.assign(depth=total / total.mean(), batch=np.array(["one", "two"])[batch])
print(f"{(counts == 0).to_numpy().mean():.0%} of the counts are zero, the mean is {counts.to_numpy().mean():.1f}")

# %%
# The usual way without a model is PCA of log rates. Its components show batches beside types. Given depth and batch,
# 15 neighbours hardly tell the batch from codes (a half is chance), and the type about as well as before or better.
log_rates = np.log1p(counts.div(cells["depth"], axis=0))
likelihood = [(NegativeBinomial(exposure="depth"), genes)]
vae = VAETransformer(2, conditions=["depth", "batch"], likelihood=likelihood, random_state=0)
codes = {"PCA of log rates": PCA(2).fit_transform(log_rates), "depth and batch given": vae.fit_transform(cells)}
print("balanced accuracy of 15 neighbours  batch  type")
for name, Z in codes.items():
    neighbours = KNeighborsClassifier(15)
    told = [cross_val_score(neighbours, Z, label, scoring="balanced_accuracy").mean() for label in (batch, kind)]
    print(f"{name:35s} {told[0]:.2f}   {told[1]:.2f}")

# %%
# ``reconstruct`` with both conditions gives each cell's rates as if all had been read equally deeply, in batch one. For
# each gene, by how much do the two batches differ, in the middle of the logarithms?
as_if = vae.reconstruct(cells, given={"depth": 1.0, "batch": "one"})[genes]


def differences(rates):
    """By gene, the difference of log means between the batches, averaged over types."""
    of_one, of_two = (np.log(rates[batch == b].groupby(kind[batch == b]).mean()) for b in range(2))
    return (of_two - of_one).mean()


print("mean absolute difference of the batches in log rates")
for name, rates in (("as counted, by depth", counts.div(cells["depth"], axis=0)), ("as if in batch one", as_if)):
    print(f"{name:35s} {differences(rates).abs().mean():.2f}")

# %%
# Colours are types, markers are batches. On the left types run into each other, and batches lie beside each other; on
# the right the four types are apart, the rarest too, and each has cells of both batches.
figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
for ax, (name, Z) in zip(axes, codes.items(), strict=True):
    for b, marker in enumerate("o^"):
        for c in range(4):
            rows = (batch == b) & (kind == c)
            ax.scatter(*Z[rows].T, s=14, marker=marker, color=f"C{c}", alpha=0.6)
    ax.set(title=name, xlabel="component 0")
axes[0].set_ylabel("component 1")
handles = [plt.Line2D([], [], ls="", marker=marker, color="black") for marker in "o^"]
axes[1].legend(handles, ["batch one", "batch two"])
plt.show()
