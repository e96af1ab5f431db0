"""The two-dimensional manifold of digit images
============================================

What do latent codes between those of the rows mean? With two components every point of the plane can be decoded: we
decode a grid and look at the image of each point.

In the user guide: :doc:`/guide/pictures`.
"""

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.datasets import load_digits

from skvae import Gaussian, VAETransformer
from skvae.display import ManifoldDisplay

X, y = load_digits(return_X_y=True)

# %%
# The pixels have a common unit and noise variance, as is usual for images. The decoder is non-linear, but the
# initialisation is not: with ``max_iter=0`` the model is probabilistic PCA.
vae = VAETransformer(2, scaling="global", likelihood=Gaussian(noise="shared"), random_state=0)
linear = clone(vae).set_params(max_iter=0).fit(X)
vae.fit(X)
print(f"nats per image: linear {linear.score(X):.1f}, non-linear {vae.score(X):.1f}")

# %%
# The grid consists of quantiles of the prior, so that about equally many rows belong to each image. The linear model's
# images are all mixtures of two patterns, and most of them do not look like digits. The plane of the non-linear model
# has nearly all of the ten digits, and continuous transitions between them. What two components cannot represent is
# blurred here, too. ``docs/examples/faces.py --data PATH`` draws the plane of the Frey faces, where you have them.
figure, axes = plt.subplots(1, 2, figsize=(11, 5.9), layout="constrained")
for axis, (name, model) in zip(
    axes, {"non-linear: the VAE": vae, "linear: its initialisation": linear}.items(), strict=True
):
    ManifoldDisplay.from_estimator(model, (8, 8), n=12, ax=axis, cmap="gray_r")
    axis.set_title(name)
plt.show()
