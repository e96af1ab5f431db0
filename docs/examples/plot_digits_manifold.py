"""The two-dimensional manifold of digit images
============================================

What do the codes mean between the rows? With two components every point of the plane can be decoded: we walk it on a
grid and look at the image that belongs to each place.
"""

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.datasets import load_digits

from skvae import Gaussian, VAETransformer
from skvae.display import ManifoldDisplay

X, y = load_digits(return_X_y=True)

# %%
# The pixels share a unit and a noise variance, as images do. The decoder may bend, the start may not: with
# ``max_iter=0`` the model is the linear one, probabilistic PCA.
vae = VAETransformer(2, scaling="global", likelihood=Gaussian(noise="shared"), random_state=0)
linear = clone(vae).set_params(max_iter=0).fit(X)
vae.fit(X)
print(f"nats per image: linear {linear.score(X):.1f}, bent {vae.score(X):.1f}")

# %%
# A grid goes through the quantiles of the prior, so that about as many rows belong to each picture. The linear model's
# images are all mixtures of two patterns, and most of them look like no digit. Bent, the plane holds nearly all of the
# ten digits and turns one into the next. What has little place on a plane is blurred here, too.
figure, axes = plt.subplots(1, 2, figsize=(11, 5.9), layout="constrained")
for axis, (name, model) in zip(axes, {"bent: the VAE": vae, "linear: its start": linear}.items(), strict=True):
    ManifoldDisplay.from_estimator(model, (8, 8), n=12, ax=axis, cmap="gray_r")
    axis.set_title(name)
plt.show()
