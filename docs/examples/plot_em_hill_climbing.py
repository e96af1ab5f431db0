"""EM against backpropagation as hill climbing
===========================================

Training a latent variable model is hill climbing. Expectation maximisation (EM) alternates: the E-step makes the bound
equal to the log-likelihood, and the M-step maximises the bound. Backpropagation updates encoder and decoder together by
small gradient steps. For a linear model with two columns and one component we can draw the log-likelihood and the paths
of both methods.

In the user guide: :doc:`/guide/initialisation`, and :doc:`/mathematics`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA

from skvae import Gaussian, VAETransformer

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 1)) * [1.6, -0.9] + rng.normal(scale=0.7, size=(400, 2))

# %%
# Without hidden layers the model is :math:`x = w z + \mu + noise`. Its initialisation is random, since the closed form
# would be the maximum already, and ``partial_fit`` trains one more epoch. In a linear decoder, w is what one unit of z
# adds to the decoded row.
climber = VAETransformer(
    1,
    hidden_layer_sizes=(),
    scaling=None,
    likelihood=Gaussian(noise="shared"),
    init="random",
    learning_rate=4e-3,
    max_iter=0,  # the initialisation alone
    random_state=0,
)
n_epochs = 60


def climb(schedule):
    """Return the initial loadings w and those after each epoch, (1 + n_epochs, 2), and the bound there."""
    model = clone(climber).set_params(schedule=schedule).fit(X)
    path, bounds = [], []
    for epoch in range(n_epochs + 1):
        if epoch:
            model.partial_fit(X)
        path.append(model.inverse_transform([[1.0]])[0] - model.inverse_transform([[0.0]])[0])
        bounds.append(model.score(X))
    return np.array(path), bounds


climbs = {"backpropagation": climb("joint"), "EM with gradient steps": climb("em"), "EM": climb("exact_em")}

# %%
# The contours are the log-likelihood of the table at the best noise variance. It has two maxima, since w and -w are the
# same model; the ring marks the initial loadings, in a valley between them. The right plot shows the bounds: that of EM
# never falls, and soon reaches the maximum of probabilistic PCA, which scikit-learn computes in closed form. Gradient
# steps first make the loadings small: while the encoder is uninformative, the decoder does better without the code,
# which is how components collapse. Then they climb the same hill, whether alternately or jointly. On a linear model EM
# is faster, and the closed form is better than both; with hidden layers only gradients are available.
pca = PCA(1).fit(X)


def log_likelihood(w):
    """Return the mean over rows of ln N(x; mu, w w' + s I) for loadings w (n, m, 2), at the best s."""
    covariance = np.cov(X.T, bias=True)
    s = np.geomspace(0.2, 4.0, 60).reshape(-1, 1, 1)
    length = (w**2).sum(-1)
    determinant = s * (s + length)
    trace = (covariance.trace() - np.einsum("...i,ij,...j", w, covariance, w) / (s + length)) / s
    return (-0.5 * (2 * np.log(2 * np.pi) + np.log(determinant) + trace)).max(0)


first, second = np.meshgrid(np.linspace(-2.4, 2.4, 121), np.linspace(-1.8, 1.8, 91))
hill = log_likelihood(np.stack([first, second], axis=-1))
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), width_ratios=[1.25, 1], layout="constrained")
levels = np.linspace(hill.max() - 1.5, hill.max(), 16)
shown = left.contourf(first, second, hill, levels, cmap="Greys_r", vmin=levels[0] - 1.0, extend="min")
figure.colorbar(shown, ax=left, label="log-likelihood, nats per row", format="%.1f")
for (name, (path, bounds)), color in zip(climbs.items(), ["C0", "C1", "C3"], strict=True):
    left.plot(*path.T, ".-", color=color, ms=5, lw=1)
    right.plot(bounds, color=color, label=name)
left.plot(*path[0], "o", color="black", mfc="none", ms=10)
left.set(xlabel="loading of column 0", ylabel="loading of column 1", title="loadings after each epoch")
right.axhline(pca.score(X), color="black", ls=":", label="PCA, closed form")
right.set(xlabel="epoch", ylabel="bound, nats per row", title="bound", ylim=(-4.6, -3.0))
right.legend()
plt.show()
