"""What a linear-Gaussian model says of a table with missing values, in closed form, for tests."""

import numpy as np
import torch
from scipy.stats import multivariate_normal


def with_missing(X, share, seed=0):
    return np.where(np.random.default_rng(seed).uniform(size=X.shape) < share, np.nan, X)


def linear_model(vae):
    """Loadings, mean and noise of an initialised model with a Gaussian likelihood, in data space."""
    module, columns = vae.module_, vae.fitted_.columns
    with torch.no_grad():
        noise = module.decode(torch.zeros(1, 1, module.width)).variance[0, 0]
    loadings, mean, noise = (
        a.detach().double().numpy() for a in (module.decoder.affine.weight, module.decoder.affine.bias, noise)
    )
    return loadings * columns.scale[:, None], mean * columns.scale + columns.shift, noise * columns.scale**2


def oracle(vae, X):
    """Row by row: ln p(x_obs), what the best independent posterior loses, E[z | x_obs] and E[x | x_obs]."""
    W, mean, noise = linear_model(vae)
    covariance = W @ W.T + np.diag(noise)
    rows = []
    for x in X:
        o = ~np.isnan(x)
        P = np.eye(W.shape[1]) + (W[o] / noise[o, None]).T @ W[o]
        z = np.linalg.solve(P, W[o].T @ ((x - mean)[o] / noise[o]))
        log_p = multivariate_normal(mean[o], covariance[np.ix_(o, o)]).logpdf(x[o]) if o.any() else 0.0
        rows.append((log_p, 0.5 * (np.log(np.diag(P)).sum() - np.linalg.slogdet(P)[1]), z, mean + W @ z))
    return [np.array(part) for part in zip(*rows, strict=True)]
