"""
The two-dimensional manifold of digit images
============================================

What do the codes mean between the rows? With two components every point of the plane can be decoded: we walk it on a
grid and look at the image that belongs to each place.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.datasets import load_digits

from skvae import Gaussian, VAETransformer

X, y = load_digits(return_X_y=True)

# %%
# The pixels share a unit and a noise variance, as images do. The decoder may bend, the start may not: with
# ``max_iter=0`` the model is the linear one, probabilistic PCA.
vae = VAETransformer(2, scaling="global", likelihood=Gaussian(noise="shared"), random_state=0).fit(X)
linear = VAETransformer(2, scaling="global", likelihood=Gaussian(noise="shared"), max_iter=0).fit(X)
print(f"nats per image: linear {linear.score(X):.1f}, bent {vae.score(X):.1f}")

# %%
# The prior is a standard normal, so a grid of its quantiles has about as many rows of the table around each node. The
# linear model's images all lie in one plane of the space of images: each is a mixture of two patterns and looks like
# no digit in most places. Bent, the plane holds most of the ten digits, and turns one into the next: the sharper a
# border, the fewer rows lie across it. What has no place of its own on the plane is blurred here, too.
side = 11
quantiles = norm.ppf(np.linspace(0.03, 0.97, side))
grid = np.stack(np.meshgrid(quantiles, quantiles[::-1]), axis=-1).reshape(-1, 2)


def picture(model):
    images = model.inverse_transform(grid).reshape(side, side, 8, 8)
    framed = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1)])
    return framed.transpose(0, 2, 1, 3).reshape(10 * side, 10 * side)


figure, axes = plt.subplots(1, 2, figsize=(10, 5.2), layout="constrained")
for axis, (name, model) in zip(axes, {"bent: VAE": vae, "linear: its start": linear}.items(), strict=True):
    axis.imshow(picture(model), cmap="gray_r", vmin=0, vmax=16)
    axis.set(xticks=[], yticks=[], title=name, xlabel="component 0", ylabel="component 1")
plt.show()
