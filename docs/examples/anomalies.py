"""Which rows of a table are rare, and which of their cells make them so: score_samples, then score_columns.

python docs/examples/anomalies.py           (some fifteen seconds on two cores; writes docs/images/anomalies.png)

The table is scikit-learn's diabetes study as it was measured: 442 patients, a category, numbers, integers. Twelve cells
are spoiled, each by the value at the opposite rank of its column, none of them in the outer tenths: no column looks
wrong by itself, the cell does not go with its row. And one cell in twenty is missing.

What to expect: most of the spoiled rows are among the rarest, and the oddest cell is the spoiled one or one that is
bound to it, as ldl, hdl and their ratio are: nothing in such a row says which of the two is wrong. Rows without an odd
cell are rare as a whole: their cells go together, but far out, which is the KL of their codes.
"""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from torch.distributions import Normal, kl_divergence

from skvae import VAETransformer

PICTURE = Path(__file__).parents[1] / "images" / "anomalies.png"
BLOOD = ["cholesterol", "ldl", "hdl", "chol/hdl", "ln triglyc."]
N_SPOILED, N_SHOWN = 12, 16


def patients():
    """The table with its own dtypes."""
    study = load_diabetes(as_frame=True, scaled=False)
    table = study.data.set_axis(["age", "sex", "bmi", "pressure", *BLOOD, "glucose"], axis=1)
    return table.assign(
        age=table["age"].astype(int),
        sex=table["sex"].map({1.0: "a", 2.0: "b"}).astype("category"),  # the study's note does not say which is which
        progression=study.target.astype(int),
    )


def spoil(table, rng):
    """A copy with cells at the opposite rank of their column, and where these are, (n, D) bool."""
    table, spoiled = table.copy(), np.zeros(table.shape, dtype=bool)
    rank = table[BLOOD].rank(pct=True)
    off_center = rank.gt(0.1) & rank.lt(0.3) | rank.gt(0.7) & rank.lt(0.9)
    for row in rng.permutation(np.flatnonzero(off_center.any(axis=1)))[:N_SPOILED]:
        name = rng.choice(off_center.columns[off_center.loc[row]])
        table.loc[row, name] = table[name].quantile(1 - rank.loc[row, name], interpolation="nearest")
        spoiled[row, table.columns.get_loc(name)] = True
    return table, spoiled


def report(table, spoiled, scores, surprise, expected, rarest):
    """The rarest rows, each with its oddest cell and what the rest of the row leads one to expect there."""
    print("row   nats   oddest cell         value   expected   spoiled")
    for row in rarest:
        d = np.nanargmax(surprise[row])
        value, instead = table.iloc[row, d], expected.loc[row].iloc[d]
        print(f"{row:3} {scores[row]:6.1f}   {table.columns[d]:12} {value!s:>12} {instead!s:>10}", end="")
        print("   yes" if spoiled[row, d] else "   another cell" if spoiled[row].any() else "")
    rank = pd.Series(scores).rank()[spoiled.any(axis=1)]
    named = np.nanargmax(surprise[spoiled.any(axis=1)], axis=1) == spoiled[spoiled.any(axis=1)].argmax(axis=1)
    print(f"spoiled rows by rarity, of {len(table)}: {sorted(rank.astype(int))}")
    print(f"their oddest cell is the spoiled one in {named.sum()} of {len(named)}")


def draw(table, spoiled, scores, surprise, kl, rarest):
    """Scores of all rows; of the rarest ones each cell, coloured by how odd it is, and last the KL of the code."""
    table, surprise = table.assign(KL=kl.round(1)), np.column_stack([surprise, kl - np.median(kl)])
    spoiled = np.column_stack([spoiled, np.zeros(len(table), dtype=bool)])
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.4), width_ratios=[1, 3.2], layout="constrained")
    is_spoiled = spoiled.any(axis=1)
    bins = np.linspace(scores.min(), scores.max(), 40)
    left.hist([scores[is_spoiled], scores[~is_spoiled]], bins, stacked=True, color=["royalblue", "0.8"])
    left.plot([], [], "s", color="royalblue", label="a spoiled cell")
    left.axvline(np.sort(scores)[N_SHOWN - 1], color="black", lw=0.8, ls=":", label=f"{N_SHOWN} rarest")
    left.set(xlabel="nats", ylabel="rows", title="which rows are rare: score_samples")
    left.legend(loc="upper left", fontsize="small", frameon=False)
    left.spines[["top", "right"]].set_visible(False)

    shown = right.imshow(surprise[rarest], cmap="YlOrRd", vmin=0, vmax=6, aspect="auto")
    right.set(title="and which cells make them so: score_columns, from each column's median (framed: spoiled)")
    right.set_xticks(range(table.shape[1]), table.columns, rotation=30, ha="right")
    right.set_yticks(range(N_SHOWN), [f"row {row}" for row in rarest])
    for i, row in enumerate(rarest):
        for d in range(table.shape[1]):
            value = table.iloc[row, d]
            text = "missing" if pd.isna(value) else value if isinstance(value, str) else f"{value:.4g}"
            color = "0.6" if pd.isna(value) else "white" if surprise[row, d] > 4 else "black"
            right.text(d, i, text, ha="center", va="center", fontsize=8, color=color)
            if spoiled[row, d]:
                right.add_patch(plt.Rectangle((d - 0.47, i - 0.44), 0.94, 0.88, fill=False, lw=2, ec="royalblue"))
    right.axvline(table.shape[1] - 1.5, color="white", lw=4)
    right.tick_params(length=0)
    figure.colorbar(shown, ax=right, label="nats", extend="max", pad=0.01)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=100, metadata={"Software": None})
    print(f"wrote {PICTURE}")


def main():
    """Run the whole road."""
    rng = np.random.default_rng(0)
    table, spoiled = spoil(patients(), rng)
    table = table.mask((rng.random(table.shape) < 0.05) & ~spoiled)

    vae = VAETransformer(5, init="factor_analysis", random_state=0).fit(table)
    scores, cells = vae.score_samples(table), vae.score_columns(table)
    surprise = np.nanmedian(cells, axis=0) - cells  # each column has its own unit: compare a cell with its column
    rarest = scores.argsort()[:N_SHOWN]

    without = table.loc[rarest]  # what does the rest of the row say of the oddest cell? Hide it, and ask
    for i, row in enumerate(rarest):
        without.iloc[i, np.nanargmax(surprise[row])] = None
    expected = vae.impute(without)
    report(table, spoiled, scores, surprise, expected, rarest)
    kl = kl_divergence(vae.encode(table), Normal(0.0, 1.0)).sum(1).numpy()
    draw(table, spoiled, scores, surprise, kl, rarest)


if __name__ == "__main__":
    main()
