"""A raw table: categories, booleans, counts and holes
===================================================

A table as it comes out of a data base has strings, yes and no, whole numbers, grades and missing cells. What can be
done with it without an encoder, an imputer and a scaler? Here: flats to let in a made city, where the rent follows from
district, area and lift.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skvae import VAETransformer
from skvae.display import ComponentDisplay, LatentSpaceDisplay

LEVEL = {"centre": 12.0, "harbour": 9.0, "hills": 10.0, "south": 6.5}  # rent per square metre


def flats(n, rng):
    """Flats to let, and hardly two columns of one kind."""
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
whole = flats(600, rng)
table = whole.mask(rng.random(whole.shape) < 0.15)
print(table.head(), table.dtypes, sep="\n\n")

# %%
# The frame goes in as it is. Each column has a likelihood of its own kind, found by its dtype; that the states are
# grades and not just labels we say ourselves.
vae = VAETransformer(2, likelihood=[("ordinal", ["state"])], init="factor_analysis", random_state=0).fit(table)
for column, family in vae.likelihoods_.items():
    print(f"{column:10} {family}")

# %%
# What comes out of the verbs is the same kind of table: the mean or most probable row of a code, the table with its
# holes filled, rows that nobody has seen, and rows made to order.
codes = vae.transform(table)
print("reconstructed\n", vae.inverse_transform(codes[:3]))
print("\nfilled\n", vae.impute(table).head(3))
print("\nmade\n", vae.sample(3, random_state=0))
print("\nmade to order\n", vae.sample(3, given={"district": "centre", "rooms": 2}, random_state=0))

# %%
# The codes are numbers, which any other estimator takes. One component goes with the rent, the other with the district;
# flats in the harbour and in the hills, whose rents differ little, are not told apart. Rows with holes have codes like
# the others.
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
LatentSpaceDisplay.from_estimator(vae, table, whole["district"], ax=left)
LatentSpaceDisplay.from_estimator(vae, table, whole["rent"].astype(float), ax=right)
plt.show()

# %%
# What does each component do to the columns, when it goes from its low to its high end? The first is the size of the
# flat: rooms, area, and the rent that they cost. The second is what makes a square metre dear: district, lift and
# state.
ComponentDisplay.from_estimator(vae, table)
plt.show()
