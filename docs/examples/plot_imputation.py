"""Missing cells: filled in, and how sure one can be of them
=========================================================

A fifth of the cells of a medical table is gone. Which imputer comes nearest to what was there, and can it tell how far
off it may be?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer

from skvae import VAETransformer

study = load_diabetes(as_frame=True, scaled=False)
names = ["age", "sex", "bmi", "pressure", "cholesterol", "ldl", "hdl", "chol/hdl", "ln triglyc.", "glucose"]
patients = study.data.set_axis(names, axis=1).assign(progression=study.target)
rng = np.random.default_rng(0)
holes = rng.random(patients.shape) < 0.2
table = patients.mask(holes)

# %%
# scikit-learn's imputers fill numbers, so the table is one of numbers here; that sex is a category we tell the VAE. It
# is fitted on the table with the holes, and ``impute`` gives conditional means.
vae = VAETransformer(5, categorical_features=["sex"], init="factor_analysis", random_state=0).fit(table)
filled = {"VAETransformer": vae.impute(table).to_numpy()}
for imputer in (IterativeImputer(max_iter=30, tol=0.01, random_state=0), SimpleImputer()):
    filled[type(imputer).__name__] = imputer.fit_transform(table)
numbers = [d for d, name in enumerate(patients.columns) if name != "sex"]
truth, deviation = patients.to_numpy(), patients.std().to_numpy()


def error(values, d):
    """Root mean squared error of the missing cells of a column, in standard deviations."""
    return np.sqrt(np.mean((values[holes[:, d], d] - truth[holes[:, d], d]) ** 2)) / deviation[d]


# %%
# Both that look at the other columns gain much where these say something, as the blood values do of one another.
# Between the two there is little: this table is nearly linear, and a round of linear regressions almost as good.
errors = {name: [error(values, d) for d in numbers] for name, values in filled.items()}
figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
for i, (name, heights) in enumerate(errors.items()):
    places = np.arange(len(numbers)) + 0.27 * (i - 1)
    axis.bar(places, heights, width=0.27, label=f"{name}, mean {np.mean(heights):.2f}")
axis.set_xticks(range(len(numbers)), patients.columns[numbers])
axis.set(ylabel="error, standard deviations", ylim=(0, 1.4), title="missing cells: error of each imputer")
axis.legend(ncols=3)
plt.show()

# %%
# What the conditional mean does not say is how sure it is. ``impute(n_draws=...)`` gives whole tables with the holes
# drawn from their conditional distribution; fit a further model to each of them, and its answers differ as they should
# (multiple imputation). Here the draws make an interval for each missing cell: it is short where the other columns say
# much, and holds the truth about as often as it claims to.
draws = np.array([draw.to_numpy() for draw in vae.impute(table, n_draws=50, random_state=0)])
low, high = np.quantile(draws, [0.1, 0.9], axis=0)
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for axis, name in zip(axes, ["cholesterol", "glucose"], strict=True):
    d = patients.columns.get_loc(name)
    rows = np.flatnonzero(holes[:, d])
    real, mean = truth[rows, d], filled["VAETransformer"][rows, d]
    sides = [mean - low[rows, d], high[rows, d] - mean]
    axis.errorbar(real, mean, np.clip(sides, 0, None), fmt="o", ms=3, lw=0.8)
    axis.axline((real.mean(), real.mean()), slope=1, color="black", ls=":")
    covered = np.mean((low[rows, d] <= real) & (real <= high[rows, d]))
    axis.set(xlabel="truth", ylabel="imputed, with 80 % of the draws", title=f"{name}: {covered:.0%} hold the truth")
plt.show()
