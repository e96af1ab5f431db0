"""Traversals of a beta-VAE: components that stand for one factor each
===================================================================

Noisy images of a blob are made from three independent numbers: where it is from left to right, where from top to
bottom, and how large it is. Which component of a code finds which of them? Nothing in the likelihood asks for an
answer: a code that is turned, with a decoder that is turned back, is as good. A weight on the KL prefers components
that do not depend on each other.

In the user guide: :doc:`/guide/components`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_selection import mutual_info_regression

from skvae import ELBO, BetaTCVAE, Gaussian, VAETransformer

rng = np.random.default_rng(0)
side, names = 12, ["left to right", "top to bottom", "size"]
factors = np.column_stack([rng.uniform(3, 8, 2000), rng.uniform(3, 8, 2000), rng.uniform(1.0, 2.2, 2000)])
column, row, size = (factor[:, None, None] for factor in factors.T)
down, right = np.mgrid[:side, :side]
images = np.exp(-((right - column) ** 2 + (down - row) ** 2) / (2 * size**2))
X = (images + rng.normal(scale=0.3, size=images.shape)).reshape(2000, -1)

# %%
# Three models of three components differ in the objective alone. The bound is given with weight 1 whatever the training
# had, so that it compares. A weight of 4 on the whole KL makes components independent and takes information out of
# them; :class:`~skvae.BetaTCVAE` has the weight on their dependence alone.
likelihood = Gaussian(noise="shared", background=0)
options = {"likelihood": likelihood, "scaling": "global", "prior": "normal", "max_iter": 30, "random_state": 0}
objectives = {"ELBO": ELBO(), "ELBO(beta=4)": ELBO(beta=4.0), "BetaTCVAE": BetaTCVAE()}
models = {name: VAETransformer(3, objective=objective, **options).fit(X) for name, objective in objectives.items()}

# %%
# Above, what one component does while the others stay at 0, from -2 to 2, a line for each. Below,
# what each component tells about each factor, in nats. A factor of its own for each component is one bright cell in
# each line and column. The plain bound has turned the two places of the blob into each other. Either weight gives each
# factor a component: that on the whole KL for three to four nats, that on the dependence for half a nat.
figure, axes = plt.subplots(2, 3, figsize=(9, 4.4), layout="constrained", height_ratios=[4, 5])
for (name, vae), (above, below) in zip(models.items(), axes.T, strict=True):
    codes = np.zeros((3, 7, 3))
    for k in range(3):
        codes[k, :, k] = np.linspace(-2, 2, 7)
    decoded = vae.inverse_transform(codes.reshape(21, 3)).reshape(3, 7, side, side)
    above.imshow(decoded.transpose(0, 2, 1, 3).reshape(3 * side, 7 * side), cmap="gray", vmin=-0.1, vmax=1)
    above.set(title=f"{name}: {vae.score(X):.1f} nats", xticks=[], yticks=side * (np.arange(3) + 0.5))
    above.set_yticklabels(range(3))
    Z = vae.transform(X)
    information = np.array([mutual_info_regression(Z, factor, random_state=0) for factor in factors.T])
    below.imshow(information, cmap="viridis", vmin=0, vmax=1)
    for (j, k), nats in np.ndenumerate(information):
        below.text(k, j, f"{nats:.1f}", ha="center", va="center", color="black" if nats > 0.6 else "white")
    below.set(xticks=range(3), yticks=range(3), xlabel="Component")
    below.set_yticklabels(names if below is axes[1, 0] else [])
axes[0, 0].set_ylabel("Component")
plt.show()
