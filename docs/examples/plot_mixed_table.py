"""A raw table: categories, booleans, counts and missing values
============================================================

A table from a database has strings, booleans, whole numbers, grades and missing values. What can be done with it
without an encoder, an imputer and a scaler? The example simulates flats to let in a city, where the rent depends on
district, area and lift.

In the user guide: :doc:`/guide/tables`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skvae import VAETransformer
from skvae.display import ComponentDisplay, LatentSpaceDisplay

LEVEL = {"centre": 12.0, "harbour": 9.0, "hills": 10.0, "south": 6.5}  # rent per square metre


def flats(n, rng):
    """Simulate flats to let, with columns of many kinds."""
    district = rng.choice(list(LEVEL), n, p=[0.3, 0.2, 0.1, 0.4])
    rooms = 1 + rng.poisson(1.8, n)
    area = (14 + 19 * rooms + rng.normal(0, 6, n)).clip(15)
    lift = rng.random(n) < np.where(district == "centre", 0.8, 0.3)
    rent = (150 + np.vectorize(LEVEL.get)(district) * area + 40 * lift) * np.exp(rng.normal(0, 0.1, n))
    state = pd.Categorical.from_codes(np.digitize(rent / area + rng.normal(0, 1, n), [9, 13]), ["poor", "fair", "good"])
    return pd.DataFrame(
        {
            "district": district,
            "rooms": pd.array(rooms, dtype="Int64"),
            "area": area.round(1),
            "lift": pd.array(lift, dtype="boolean"),
            "state": state.as_ordered(),
            "rent": pd.array(rent.round(), dtype="Int64"),
        }
    )


rng = np.random.default_rng(0)
complete = flats(600, rng)
table = complete.mask(rng.random(complete.shape) < 0.15)
print(table.head(), table.dtypes, sep="\n\n")

# %%
# The raw frame is passed to ``fit``. Each column has its own likelihood, which follows from its dtype; only that the
# states are grades, and not just labels, has to be specified.
vae = VAETransformer(2, likelihood=[("ordinal", ["state"])], init="factor_analysis", random_state=0).fit(table)
for column, family in vae.likelihoods_.items():
    print(f"{column:10} {family}")

# %%
# The methods return the same kind of table: the mean or most probable row given a code, the table with its missing
# values imputed, sampled rows, and rows sampled given some cells.
codes = vae.transform(table)
print("reconstructed\n", vae.inverse_transform(codes[:3]))
print("\nimputed\n", vae.impute(table).head(3))
print("\nsampled\n", vae.sample(3, random_state=0))
print("\nsampled given two cells\n", vae.sample(3, given={"district": "centre", "rooms": 2}, random_state=0))

# %%
# The codes are numbers, which any other estimator accepts. One component is correlated with the rent, the other with
# the district; flats in the harbour and in the hills, whose rents differ little, are not separated. Rows with missing
# values have codes like the others.
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
LatentSpaceDisplay.from_estimator(vae, table, complete["district"], ax=left)
LatentSpaceDisplay.from_estimator(vae, table, complete["rent"].astype(float), ax=right)
plt.show()

# %%
# How does each component change the columns, when it goes from low to high values? The first is the size of the flat:
# rooms, area, and the rent for them. The second is what makes a square metre expensive: district, lift and state.
ComponentDisplay.from_estimator(vae, table)
plt.show()
