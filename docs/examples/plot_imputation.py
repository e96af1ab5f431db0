"""Imputation of missing values, and its uncertainty
=================================================

A fifth of the cells of a medical table is missing. Which imputer comes closest to the true values, and can it quantify
its uncertainty?

In the user guide: :doc:`/guide/missing`.
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
missing = rng.random(patients.shape) < 0.2
table = patients.mask(missing)

# %%
# scikit-learn's imputers need numbers, so all columns of this table are numeric; the VAE is told that sex is a
# category. It is fitted to the table with the missing values, and ``impute`` gives conditional means.
vae = VAETransformer(5, categorical_features=["sex"], init="factor_analysis", random_state=0).fit(table)
imputed = {"VAETransformer": vae.impute(table).to_numpy()}
for imputer in (IterativeImputer(max_iter=30, tol=0.01, random_state=0), SimpleImputer()):
    imputed[type(imputer).__name__] = imputer.fit_transform(table)
numbers = [d for d, name in enumerate(patients.columns) if name != "sex"]
truth, deviation = patients.to_numpy(), patients.std().to_numpy()


def error(values, d):
    """Return the root mean squared error of the missing cells of a column, in standard deviations."""
    return np.sqrt(np.mean((values[missing[:, d], d] - truth[missing[:, d], d]) ** 2)) / deviation[d]


# %%
# The two that use the other columns gain much where these are informative, as the blood values are about each other.
# There is little difference between the two: this table is nearly linear, and iterated linear regressions are almost as
# good.
errors = {name: [error(values, d) for d in numbers] for name, values in imputed.items()}
figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
for i, (name, heights) in enumerate(errors.items()):
    places = np.arange(len(numbers)) + 0.27 * (i - 1)
    axis.bar(places, heights, width=0.27, label=f"{name}, mean {np.mean(heights):.2f}")
axis.set_xticks(range(len(numbers)), patients.columns[numbers])
axis.set(ylabel="error, standard deviations", ylim=(0, 1.4), title="error of each imputer on missing cells")
axis.legend(ncols=3)
plt.show()

# %%
# The conditional mean does not show its uncertainty. ``impute(n_draws=...)`` gives complete tables with the missing
# cells drawn from their conditional distribution; if you fit another model to each of them, the variation of its
# results reflects the missing information (multiple imputation). Here the draws give an interval for each missing cell:
# it is short where the other columns are informative, and its coverage is about the nominal one.
draws = np.array([draw.to_numpy() for draw in vae.impute(table, n_draws=50, random_state=0)])
low, high = np.quantile(draws, [0.1, 0.9], axis=0)
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for axis, name in zip(axes, ["cholesterol", "glucose"], strict=True):
    d = patients.columns.get_loc(name)
    rows = np.flatnonzero(missing[:, d])
    real, mean = truth[rows, d], imputed["VAETransformer"][rows, d]
    sides = [mean - low[rows, d], high[rows, d] - mean]
    axis.errorbar(real, mean, np.clip(sides, 0, None), fmt="o", ms=3, lw=0.8)
    axis.axline((real.mean(), real.mean()), slope=1, color="black", ls=":")
    covered = np.mean((low[rows, d] <= real) & (real <= high[rows, d]))
    axis.set(xlabel="true value", ylabel="imputed value, with 80 % interval", title=f"{name}: coverage {covered:.0%}")
plt.show()
