"""Critics: GAN, AAE and VAE-GAN on three blobs
============================================

A critic is a network that learns to tell two sources apart, while another one learns to leave it nothing to tell. In a
GAN these sources are rows of the table and generated ones; in an adversarial autoencoder (AAE) they are draws of the
prior and codes of rows; a VAE-GAN has the critic of a GAN beside the bound of a VAE. Three separate blobs in five
columns are hard for all of them: two components have to be cut into three parts.

In the user guide: :doc:`/guide/alternatives`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from skvae import VAETransformer

rng = np.random.default_rng(0)
centers = 4 * rng.normal(size=(3, 5))
X = np.repeat(centers, 100, axis=0) + rng.normal(size=(300, 5))

# %%
# They differ in one argument. A game of two players has no loss by which it could be stopped, so that the number of
# steps ends it, with some 3000 by default; gradient penalties on the critic and little momentum keep it near its
# equilibrium, where each blob has its third of the draws.
models = {
    name: VAETransformer(2, objective=objective, prior="normal", random_state=0).fit(X)
    for name, objective in {"VAE": "elbo", "AAE": "aae", "GAN": "gan", "VAE-GAN": "vae_gan"}.items()
}

# %%
# The rows in gray and 500 draws of each model, in the plane of the three centres. The percentages are the share of the
# draws nearest to each blob, and how many of all lie within four standard deviations of a centre, where 99 % of the
# rows do. A VAE under N(0, I) draws rows between the blobs, since its prior has no gaps and its decoder is smooth. The
# AAE has two layers and no noise in its codes, and draws fewer. A critic of rows sees what lies between.
plane = PCA(2).fit(centers)
figure, axes = plt.subplots(1, 4, figsize=(12, 2.8), sharex=True, sharey=True, layout="constrained")
for axis, (name, model) in zip(axes, models.items(), strict=True):
    draws = model.sample(500, random_state=0)
    distance = np.linalg.norm(draws[:, None] - centers, axis=-1)
    shares = np.bincount(distance.argmin(1), minlength=3) / len(draws)
    inside = np.mean(distance.min(1) < 4)
    axis.scatter(*plane.transform(X).T, s=8, color="lightgray")
    axis.scatter(*plane.transform(draws).T, s=4, c=distance.argmin(1), cmap="viridis", vmax=2.5)
    percent = ", ".join(f"{share:.0%}" for share in shares)
    axis.set(title=f"{name}: {percent}\n{inside:.0%} within a blob", xticks=[], yticks=[], aspect="equal")
plt.show()
