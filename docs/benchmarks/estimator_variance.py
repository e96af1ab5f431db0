"""Variance of the estimators of the ELBO and of the gradients in phi, by skvae's own objectives on scikit-learn's wine.

    python docs/benchmarks/estimator_variance.py [--samples 8] [--repeats 300]

Three models with K = 4, float64: "start" is the default network with random weights, "net" the same after 20 epochs,
"exact" the closed-form linear model, whose q is the exact posterior. Estimators: S times the variance of the bound of a
row, nats^2, mean over the rows. Gradients: variance for a row, summed over the bias of the encoder's affine path, mean
over the rows; in brackets the length of the mean gradient over all rows, on which the estimators of one bound agree.
"""

import argparse

import torch
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from skvae import ELBO, IWAE, Gaussian, VAETransformer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--samples", type=int, default=8, metavar="S")
parser.add_argument("--repeats", type=int, default=300)
args = parser.parse_args()
S = args.samples

X = StandardScaler().fit_transform(load_wine().data)
PARAMETERS = {"scaling": None, "prior": "normal", "early_stopping": False, "random_state": 0}
MODELS = {
    "start": VAETransformer(4, init="random", max_iter=0, **PARAMETERS),
    "net": VAETransformer(4, init="random", max_iter=20, **PARAMETERS),
    "exact": VAETransformer(4, hidden_layer_sizes=(), likelihood=Gaussian(noise="shared"), max_iter=0, **PARAMETERS),
}
ESTIMATORS = {f"`ELBO(kl={kl!r})`": ELBO(kl, S) for kl in ("analytic", "monte_carlo", "joint")}
PAIRS = "ELBO, pathwise, analytic KL, draws in pairs"
GRADIENTS = {
    "ELBO, pathwise, analytic KL": ELBO("analytic", S),
    PAIRS: ELBO("analytic", S),
    "ELBO, pathwise, joint": ELBO("joint", S),
    "ELBO, score function, analytic KL": ELBO("analytic", S, gradient="score_function"),
    "ELBO, score function, joint": ELBO("joint", S, gradient="score_function"),
    "IWAE, pathwise": IWAE(S),
    "IWAE, doubly reparameterised": IWAE(S, "doubly_reparameterized"),
    "IWAE, score function (VIMCO)": IWAE(S, "score_function"),
}


def losses(objective, model, x, is_paired=False):
    """The loss of every row, (B,), for fresh noise, again and again."""
    generator, n_draws = torch.Generator().manual_seed(0), objective.n_draws
    for _ in range(args.repeats):
        n = n_draws // 2 if is_paired else n_draws
        u = torch.randn(n, len(x), model.n_noise, generator=generator, dtype=x.dtype)
        yield objective(model, x, None, torch.cat([u, -u]) if is_paired else u)["loss"]


def variance_of_bound(objective, model, x):
    """S times the variance, mean over the rows."""
    with torch.no_grad():
        return f"{S * torch.stack(list(losses(objective, model, x))).var(0).mean():.3g}"


def variance_of_gradient(objective, model, x, is_paired=False):
    """Rows have noise of their own, so the variance of a sum over rows is the sum of theirs."""
    bias = model.encoder.affine.bias
    gradients = torch.stack(
        [torch.autograd.grad(loss.sum(), bias)[0] for loss in losses(objective, model, x, is_paired)]
    )
    return f"{gradients.var(0).sum() / len(x):.3g} ({gradients.mean(0).norm() / len(x):.2g})"


x = torch.from_numpy(X)
models = {name: vae.fit(X).module_.double().train() for name, vae in MODELS.items()}
for title, table, measure in (
    ("S x variance of the bound", ESTIMATORS, variance_of_bound),
    (f"variance of the gradient, S = {S}", GRADIENTS, variance_of_gradient),
):
    print(f"| {title} | {' | '.join(models)} |\n| --- |{' --- |' * len(models)}")
    for name, objective in table.items():
        how = {"is_paired": True} if name == PAIRS else {}
        print(f"| {name} | {' | '.join(measure(objective, model, x, **how) for model in models.values())} |")
    print()
