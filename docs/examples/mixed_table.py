"""A table as it comes, with categories, counts, booleans and holes: codes, holes filled, rows made, rows made to order.

python docs/examples/mixed_table.py         (some twenty seconds on two cores)
"""

import numpy as np
import pandas as pd

from skvae import VAETransformer

LEVEL = {"centre": 12.0, "harbour": 9.0, "hills": 10.0, "south": 6.5}  # rent per square metre


def flats(n, rng):
    """A city's flats to let: the rent follows from district, area and lift, the lift from the district."""
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


def show(title, frame):
    """A few rows with the dtypes that they came with."""
    print(f"\n{title}\n{frame.to_string(max_rows=8)}")
    print("dtypes:", ", ".join(f"{name} {dtype}" for name, dtype in frame.dtypes.items()))


def main():
    """Run the whole road."""
    rng = np.random.default_rng(0)
    whole = flats(1000, rng)
    holes = rng.random(whole.shape) < 0.15
    table = whole.mask(holes)
    show("the table, 15% of its cells missing", table)

    vae = VAETransformer(3, likelihood=[("ordinal", ["state"])], init="factor_analysis", random_state=0).fit(table)
    print("\nlikelihoods:", vae.likelihoods_)
    print(f"score {vae.score(table):.2f} nats per row of observed cells")

    codes = vae.set_output(transform="pandas").transform(table)
    show("codes", codes.head(3).round(2))
    show("inverse_transform: means, and most probable levels", vae.inverse_transform(codes.head(3)))

    filled = vae.impute(table)
    show("impute: conditional means and modes", filled.head(4))
    hidden = holes[:, whole.columns.get_loc("rent")]
    errors = {
        "impute": filled["rent"][hidden] - whole["rent"][hidden],
        "the mean": table["rent"].mean() - whole["rent"][hidden],
    }
    print("error of missing rents:", {name: round(float((e**2).mean() ** 0.5)) for name, e in errors.items()})
    hidden = holes[:, whole.columns.get_loc("district")]
    right = {
        "impute": filled["district"][hidden] == whole["district"][hidden],
        "the mode": whole["district"][hidden] == table["district"].mode()[0],
    }
    print("missing districts found:", {name: round(float(r.mean()), 2) for name, r in right.items()})

    draws = vae.impute(table.head(100), n_draws=20, random_state=0)  # how sure is it?
    row = int(np.flatnonzero(holes[:100, whole.columns.get_loc("rent")])[0])
    rents = pd.Series([int(draw.loc[row, "rent"]) for draw in draws])
    print(f"\nrent of row {row} in 20 drawn tables: {rents.min()} to {rents.max()}; it was {whole.loc[row, 'rent']}")

    show("sample: rows that nobody has seen", vae.sample(4, random_state=0))
    given = {"district": "centre", "rooms": 2, "lift": True}
    show(f"sample(given={given})", vae.sample(4, given=given, random_state=0))


if __name__ == "__main__":
    main()
