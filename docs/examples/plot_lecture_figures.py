"""The figures of the lectures: latent sizes, discrete codes, perceptual loss
==========================================================================

Lectures on variational autoencoders show the same three pictures of images: what a model draws as its code grows, what
a discrete code finds, and what changes when reconstructions are compared by features in place of pixels. Here they are
for the digits of scikit-learn.

In the user guide: :doc:`/guide/components`.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skvae import CategoricalPosterior, FeatureLoss, Gaussian, MeanField, Product, VAETransformer

X, y = load_digits(return_X_y=True)
options = {"scaling": "global", "likelihood": Gaussian(noise="shared"), "random_state": 0}


def tiled(images, n_columns):
    """Images (n, 64) side by side in rows of so many, with a margin of one pixel."""
    framed = np.pad(images.reshape(-1, n_columns, 8, 8), [(0, 0), (0, 0), (1, 1), (1, 1)])
    return np.block([list(row) for row in framed])


def drawn(vae, n):
    """Rows that the model makes, decoded once more: without the noise of single pixels."""
    return vae.reconstruct(vae.sample(n, random_state=0))


# %%
# Two components cannot hold all digits: what they draw is blurred, or between two digits. With more components strokes
# become sharper and their shapes more varied, and the bound rises; so does the number of draws that are no digit, since
# more directions have to agree.
sizes = (2, 5, 10, 20)
models = {K: VAETransformer(K, max_iter=40, **options).fit(X) for K in sizes}
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for axis, (K, vae) in zip(axes, models.items(), strict=True):
    axis.imshow(tiled(drawn(vae, 49), 7), cmap="gray_r", vmin=0, vmax=16)
    axis.set(title=f"{K} components: {vae.score(X):.0f} nats", xticks=[], yticks=[])
plt.show()

# %%
# A discrete code beside normal ones, :class:`~skvae.Product`: each row is a class, each column one style, a code z that
# all classes share. No label has shown the classes: most are one digit, and digits that are written in several ways,
# such as the one, the two and the four, have two or three of them. With the class said, z is left with slant and
# thickness.
posterior = Product(CategoricalPosterior(n_classes=15), MeanField())
vae = VAETransformer(5, posterior=posterior, max_iter=40, **options).fit(X)
group = vae.predict(X)
print(f"adjusted Rand index of classes and digits: {adjusted_rand_score(y, group):.2f}")
usual = np.argsort([np.bincount(y[group == c], minlength=10).argmax() for c in range(15)], kind="stable")
styles = np.random.default_rng(0).normal(size=(12, 4)) * (np.arange(12) > 0)[:, None]
codes = np.array([[*np.eye(15)[c], *z] for c in usual for z in styles])
figure, axis = plt.subplots(figsize=(6.5, 7.5), layout="constrained")
axis.imshow(tiled(vae.inverse_transform(codes), 12), cmap="gray_r", vmin=0, vmax=16)
axis.set(xticks=[], yticks=4.5 + 10 * np.arange(15), xlabel="style; the first column is z = 0", ylabel="class")
axis.set_yticklabels([f"{c}: {np.mean(group == c):.0%}" for c in usual])
plt.show()

# %%
# The perceptual loss compares features of images. Lectures take them from a network that has been trained on
# photographs; ours is trained here, in a second, to tell the digits apart, and :class:`~skvae.FeatureLoss` takes its
# convolutions. With two components pixels have to be given up somewhere. Features give up those that do not tell digits
# apart: the classifier recognises a few more of the reconstructions, at a larger squared error. On images this small
# the eye sees little of it; what photographs gain is texture, of which digits have none.
torch.manual_seed(0)
convolutions = nn.Sequential(
    nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()
)
classifier = nn.Sequential(convolutions, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10))
optimizer = torch.optim.Adam(classifier.parameters(), lr=3e-3)
images, labels = torch.from_numpy(X).float(), torch.from_numpy(y)
for batch in torch.cat([torch.randperm(len(X)) for _ in range(15)]).split(100):
    loss = nn.functional.cross_entropy(classifier(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

plain = models[2]
perceptual = VAETransformer(2, max_iter=40, feature_loss=FeatureLoss(convolutions, weight=100.0), **options).fit(X)
for name, model in {"plain": plain, "perceptual": perceptual}.items():
    error = np.mean((X - model.reconstruct(X)) ** 2)
    right = (classifier(torch.from_numpy(model.reconstruct(X)).float()).argmax(1) == labels).float().mean()
    print(f"{name}: squared error {error:.1f}, reconstructions that the classifier recognises {right:.1%}")

panels = {
    "real": X[:36],
    "plain: reconstruction": plain.reconstruct(X[:36]),
    "plain: generation": drawn(plain, 36),
    "perceptual: reconstruction": perceptual.reconstruct(X[:36]),
    "perceptual: generation": drawn(perceptual, 36),
}
figure, axes = plt.subplots(1, 5, figsize=(13, 3), layout="constrained")
for axis, (title, rows) in zip(axes, panels.items(), strict=True):
    axis.imshow(tiled(rows, 6), cmap="gray_r", vmin=0, vmax=16)
    axis.set(title=title, xticks=[], yticks=[])
plt.show()
