"""PCA against VAE: two components of the digits
=============================================

How much of a table do a few components keep, if they may be non-linear? We encode 8 x 8 images of digits by
:class:`~sklearn.decomposition.PCA` and by :class:`~skvae.VAETransformer`, which is initialised as PCA and then trained,
and look at held-out rows only.

In the user guide: :doc:`/guide/alternatives`.
"""

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skvae import Gaussian, VAETransformer

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# Both have the same methods. PCA leaves the pixels in their common unit, grey levels from 0 to 16, and has one noise
# variance for all; ``scaling="global"`` and ``Gaussian(noise="shared")`` do the same for the VAE. Two numbers measure
# what the codes keep: the accuracy of a classifier by the ten nearest neighbours, and the mean squared error of the
# decoded images, per pixel.
sizes = [2, 4, 8, 16]
vae = VAETransformer(scaling="global", likelihood=Gaussian(noise="shared"), random_state=0)
models = {
    "PCA": [PCA(k).fit(X_train) for k in sizes],
    "VAE": [clone(vae).set_params(n_components=k).fit(X_train) for k in sizes],
}


def accuracy(model):
    classifier = KNeighborsClassifier(10).fit(model.transform(X_train), y_train)
    return classifier.score(model.transform(X_test), y_test)


def squared_error(model):
    return ((X_test - model.inverse_transform(model.transform(X_test))) ** 2).mean()


for name, fitted in models.items():
    for k, model in zip(sizes, fitted, strict=True):
        print(f"{name}  {k:2} components: accuracy {accuracy(model):.3f}, squared error {squared_error(model):5.2f}")

# %%
# With two linear components most digits overlap. Two non-linear ones separate them, and the codes fill the plane like
# the standard normal, which is the VAE's prior.
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
for axis, (name, fitted) in zip(axes, models.items(), strict=True):
    codes = fitted[0].transform(X_test)
    shown = axis.scatter(codes[:, 0], codes[:, 1], c=y_test, s=14, cmap="tab10", vmin=-0.5, vmax=9.5)
    axis.set(xlabel="component 0", ylabel="component 1", title=f"{name}: accuracy {accuracy(fitted[0]):.2f}")
figure.colorbar(shown, ax=axes, ticks=range(10), label="digit")
plt.show()

# %%
# The advantage holds for few components. With sixteen the VAE still reconstructs the images better, but PCA's
# components separate the digits as well. So use the VAE for a picture or a short code; for sixteen inputs to a
# classifier PCA is as good, and far faster.
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for axis, measure, label in zip(axes, (accuracy, squared_error), ("accuracy", "squared error"), strict=True):
    for (name, fitted), marker in zip(models.items(), "so", strict=True):
        axis.plot(sizes, [measure(model) for model in fitted], marker=marker, label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, sizes)
    axis.set(xlabel="components", ylabel=f"{label}, held out")
    axis.legend()
axes[0].set_ylim(0.5, 1.0)
axes[1].set_ylim(0.0, None)
plt.show()
