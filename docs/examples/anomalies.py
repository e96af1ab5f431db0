"""Which rows of a table are rare, and which of their cells make them rare: score_samples, then score_columns.

python docs/examples/anomalies.py           (some fifteen seconds on two cores; writes docs/images/anomalies.png)

The table is scikit-learn's diabetes study on its original scale: 442 patients, with a category, numbers and integers.
Twelve cells are corrupted: each is replaced by the value at the opposite rank of its column, none of them in the outer
tenths, so that no column looks wrong by itself, but the cell contradicts its row. One cell in twenty is missing.

Most of the corrupted rows are expected among the rarest, and the oddest cell is the corrupted one or one that is
correlated with it, as ldl, hdl and their ratio are: nothing in such a row says which of the two is wrong. Rows without
an unusual cell are rare as a whole: their cells agree, but the row is extreme, which shows in the KL of its code.
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
N_CORRUPTED, N_SHOWN = 12, 16


def patients():
    """Load the table with its original dtypes."""
    study = load_diabetes(as_frame=True, scaled=False)
    table = study.data.set_axis(["age", "sex", "bmi", "pressure", *BLOOD, "glucose"], axis=1)
    return table.assign(
        age=table["age"].astype(int),
        sex=table["sex"].map({1.0: "a", 2.0: "b"}).astype("category"),  # the study's note does not say which is which
        progression=study.target.astype(int),
    )


def corrupt(table, rng):
    """Return a copy with some cells at the opposite rank of their column, and the mask of these cells, (n, D) bool."""
    table, corrupted = table.copy(), np.zeros(table.shape, dtype=bool)
    rank = table[BLOOD].rank(pct=True)
    off_center = rank.gt(0.1) & rank.lt(0.3) | rank.gt(0.7) & rank.lt(0.9)
    for row in rng.permutation(np.flatnonzero(off_center.any(axis=1)))[:N_CORRUPTED]:
        name = rng.choice(off_center.columns[off_center.loc[row]])
        table.loc[row, name] = table[name].quantile(1 - rank.loc[row, name], interpolation="nearest")
        corrupted[row, table.columns.get_loc(name)] = True
    return table, corrupted


def report(table, corrupted, scores, surprise, expected, rarest):
    """Print the rarest rows, each with its oddest cell and the value that the rest of the row predicts for it."""
    print("row   nats   oddest cell         value   expected   corrupted")
    for row in rarest:
        d = np.nanargmax(surprise[row])
        value, instead = table.iloc[row, d], expected.loc[row].iloc[d]
        print(f"{row:3} {scores[row]:6.1f}   {table.columns[d]:12} {value!s:>12} {instead!s:>10}", end="")
        print("   yes" if corrupted[row, d] else "   another cell" if corrupted[row].any() else "")
    rank = pd.Series(scores).rank()[corrupted.any(axis=1)]
    named = np.nanargmax(surprise[corrupted.any(axis=1)], axis=1) == corrupted[corrupted.any(axis=1)].argmax(axis=1)
    print(f"corrupted rows by rarity, of {len(table)}: {sorted(rank.astype(int))}")
    print(f"their oddest cell is the corrupted one in {named.sum()} of {len(named)}")


def draw(table, corrupted, scores, surprise, kl, rarest):
    """Draw the scores of all rows, and each cell of the rarest rows, coloured by surprise, with the KL of the code."""
    table, surprise = table.assign(KL=kl.round(1)), np.column_stack([surprise, kl - np.median(kl)])
    corrupted = np.column_stack([corrupted, np.zeros(len(table), dtype=bool)])
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.4), width_ratios=[1, 3.2], layout="constrained")
    is_corrupted = corrupted.any(axis=1)
    bins = np.linspace(scores.min(), scores.max(), 40)
    left.hist([scores[is_corrupted], scores[~is_corrupted]], bins, stacked=True, color=["royalblue", "0.8"])
    left.plot([], [], "s", color="royalblue", label="a corrupted cell")
    left.axvline(np.sort(scores)[N_SHOWN - 1], color="black", lw=0.8, ls=":", label=f"{N_SHOWN} rarest")
    left.set(xlabel="nats", ylabel="rows", title="which rows are rare: score_samples")
    left.legend(loc="upper left", fontsize="small", frameon=False)
    left.spines[["top", "right"]].set_visible(False)

    shown = right.imshow(surprise[rarest], cmap="YlOrRd", vmin=0, vmax=6, aspect="auto")
    right.set(title="which cells make them rare: score_columns, below each column's median (framed: corrupted)")
    right.set_xticks(range(table.shape[1]), table.columns, rotation=30, ha="right")
    right.set_yticks(range(N_SHOWN), [f"row {row}" for row in rarest])
    for i, row in enumerate(rarest):
        for d in range(table.shape[1]):
            value = table.iloc[row, d]
            text = "missing" if pd.isna(value) else value if isinstance(value, str) else f"{value:.4g}"
            color = "0.6" if pd.isna(value) else "white" if surprise[row, d] > 4 else "black"
            right.text(d, i, text, ha="center", va="center", fontsize=8, color=color)
            if corrupted[row, d]:
                right.add_patch(plt.Rectangle((d - 0.47, i - 0.44), 0.94, 0.88, fill=False, lw=2, ec="royalblue"))
    right.axvline(table.shape[1] - 1.5, color="white", lw=4)
    right.tick_params(length=0)
    figure.colorbar(shown, ax=right, label="nats", extend="max", pad=0.01)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=100, metadata={"Software": None})
    print(f"wrote {PICTURE}")


def main():
    """Run the example."""
    rng = np.random.default_rng(0)
    table, corrupted = corrupt(patients(), rng)
    table = table.mask((rng.random(table.shape) < 0.05) & ~corrupted)

    vae = VAETransformer(5, init="factor_analysis", random_state=0).fit(table)
    scores, cells = vae.score_samples(table), vae.score_columns(table)
    surprise = np.nanmedian(cells, axis=0) - cells  # columns have different units: compare a cell with its column
    rarest = scores.argsort()[:N_SHOWN]

    without = table.loc[rarest]  # what does the rest of the row predict for the oddest cell? Set it to missing
    for i, row in enumerate(rarest):
        without.iloc[i, np.nanargmax(surprise[row])] = None
    expected = vae.impute(without)
    report(table, corrupted, scores, surprise, expected, rarest)
    kl = kl_divergence(vae.encode(table), Normal(0.0, 1.0)).sum(1).numpy()
    draw(table, corrupted, scores, surprise, kl, rarest)


if __name__ == "__main__":
    main()
