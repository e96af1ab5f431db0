"""Made rows against held-out real ones, with and without calibrated margins, for the default model.

    python docs/benchmarks/made_rows.py --data PATH [--tables a,b] [--rows 10000] [--seeds 0,1,2]

PATH is as for `tables.py`. Of each table one half is fitted, at most `--rows` of it, and as many rows of the other half
are held out; as many rows are made, with missing cells. Detection is the AUC of gradient boosting that tells them from
held-out ones (0.5 is perfect): of real rows, of rows as the model draws them, and of calibrated ones. "Outside" counts
numbers outside of the fitted range in 20 000 rows, and "atoms" is the largest error in the share of any number.
"""

import argparse

import numpy as np
from tables import detection, head, is_real, load_folder, machine, row, spread

from skvae import VAETransformer

TABLES = "adult,diamonds,california_housing,titanic,ames,penguins,wine_white,concrete,boston,yeast"
N_MADE = 20_000


def halves(source, name, most):
    """Rows to fit, and as many to hold out."""
    X, y = source.table(name)
    frame = X if y is None else X.assign(**{y.name: y})
    rows, n = np.random.default_rng(0).permutation(len(frame)), min(most, len(frame) // 2)
    return (frame.iloc[part].reset_index(drop=True) for part in (rows[:n], rows[n : 2 * n]))


def outside(made, fitted):
    """Number of numbers outside of the fitted range."""
    numbers = fitted.columns[is_real(fitted)]
    return int(((made[numbers] < fitted[numbers].min()) | (made[numbers] > fitted[numbers].max())).sum(axis=None))


def worst_atom(made, fitted):
    """The largest difference in the share of a value, over all numbers."""
    shares = ((made[name].value_counts(normalize=True), fitted[name].value_counts(normalize=True))
              for name in fitted.columns[is_real(fitted)])  # fmt: skip
    return max(float(own.reindex(true.index, fill_value=0).sub(true).abs().max()) for own, true in shares)


def measured(train, test, seed):
    """Detection before and after, numbers outside before and after, and the worst atom."""
    vae = VAETransformer(random_state=seed).fit(train)
    flags = False, True
    aucs = [detection(vae.sample(len(train), seed, calibrate=c, missing=True), test) for c in flags]
    before, after = (vae.sample(N_MADE, seed, calibrate=c) for c in flags)
    return *aucs, outside(before, train), outside(after, train), worst_atom(after, train)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py")
    parser.add_argument("--tables", default=TABLES, help="names, with commas")
    parser.add_argument("--rows", type=int, default=10_000, help="at most, of each half")
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    source = load_folder(args.data)
    print(machine())
    head(
        "table", "rows x D", "real rows", "as the model draws", "calibrated", "outside", "outside, calibrated", "atoms"
    )
    for name in args.tables.split(","):
        train, test = halves(source, name, args.rows)
        results = [measured(train, test, int(seed)) for seed in args.seeds.split(",")]
        before, after, out, still_out, atom = zip(*results, strict=True)
        size = f"{len(train)} x {train.shape[1]}"
        row(name, size, detection(train, test), spread(before), spread(after), max(out), max(still_out), max(atom))


if __name__ == "__main__":
    main()
