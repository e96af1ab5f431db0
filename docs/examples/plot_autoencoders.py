"""Four autoencoders side by side: AE, VAE, AAE, WAE
=================================================

An autoencoder compresses rows to a short latent code. Its variants also constrain the distribution of the codes: the
variational one (VAE) draws the posterior of each row towards the prior, the adversarial (AAE) and the Wasserstein
autoencoder (WAE) draw the distribution of all codes together towards it. Here they encode the digits, with the same
networks and two components.

In the user guide: :doc:`/guide/alternatives`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import Gaussian, VAETransformer, metrics

X, y = load_digits(return_X_y=True)
X_train, X_test, _, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# They differ in one argument. Depth, rate and number of steps are set, so that all are trained alike.
models = {
    name: VAETransformer(
        2,
        objective=objective,
        hidden_layer_sizes=(128, 128),
        scaling="global",
        likelihood=Gaussian(noise="shared"),
        learning_rate=2e-3,
        batch_size=64,
        max_iter=80,
        random_state=0,
    ).fit(X_train)
    for name, objective in {"AE": "ae", "VAE": "elbo", "AAE": "aae", "WAE": "wae_mmd"}.items()
}

# %%
# The dotted circles contain 39, 86 and 99 % of the prior. Nothing keeps the plain autoencoder's codes there: they
# spread without constraint, and draws of the prior reach only the few digits in the middle. The others fill the prior,
# so that its draws decode to all kinds of digits; the maximum mean discrepancy (MMD, 0 is best) measures how well. The
# squared error on held-out rows, as a fraction of the variance, is hardly larger.
figure, axes = plt.subplots(2, 4, figsize=(12, 4.9), height_ratios=[2.4, 1], layout="constrained")
angle = np.linspace(0, 2 * np.pi, 100)
for axis, (name, model) in zip(axes[0], models.items(), strict=True):
    codes = model.transform(X_test)
    shown = axis.scatter(codes[:, 0], codes[:, 1], c=y_test, s=6, cmap="tab10", vmin=-0.5, vmax=9.5)
    for radius in (1, 2, 3):
        axis.plot(radius * np.cos(angle), radius * np.sin(angle), color="black", ls=":", lw=0.8)
    error, distance = metrics.reconstruction_error(model, X_test), metrics.mmd_to_prior(model, X_test)
    axis.set(title=f"{name}: error {error:.2f}, MMD {distance:.2f}", aspect="equal", adjustable="datalim")
figure.colorbar(shown, ax=axes[0], ticks=range(10), label="digit")

prior_draws = np.random.default_rng(0).normal(size=(24, 2))
for axis, model in zip(axes[1], models.values(), strict=True):
    images = np.pad(model.inverse_transform(prior_draws).reshape(3, 8, 8, 8), [(0, 0), (0, 0), (1, 1), (1, 1)])
    axis.imshow(images.transpose(0, 2, 1, 3).reshape(30, 80), cmap="gray_r", vmin=0, vmax=16)
    axis.set(xticks=[], yticks=[], xlabel="draws of the prior, decoded")
plt.show()
