"""Made rows against held-out real ones, with and without calibrated margins, for the default model.

    python docs/benchmarks/made_rows.py --data PATH [--tables a,b] [--rows 10000] [--seeds 0,1,2] [--complete]

PATH is as for `tables.py`. Of each table one half is fitted, at most `--rows` of it, and as many rows of the other half
are held out; as many rows are made, with missing cells. Most columns are numbers of `skvae.metrics.synthesis_report`,
of made rows and, in brackets, of real ones in their place: detection is the AUC of gradient boosting that tells rows
from held-out ones (0.5 is perfect), also of rows as the model draws them, without calibrated margins. "Outside" counts
numbers outside of the fitted range in 20 000 rows, and "atoms" is the largest error in the share of any number.
`--complete` leaves columns out that have missing cells.
"""

import argparse

import numpy as np
from tables import head, is_real, load_folder, machine, row, spread

from skvae import VAETransformer
from skvae.metrics import synthesis_report

TABLES = "adult,diamonds,california_housing,titanic,ames,penguins,wine_white,concrete,boston,yeast"
N_MADE = 20_000
NUMBERS = "detection", "utility", "margins", "pairs", "copies", "nearer"


def halves(source, name, most, is_complete):
    """Rows to fit, as many to hold out, and the name of the target."""
    X, y = source.table(name)
    frame = X if y is None else X.assign(**{y.name: y})
    frame = frame.dropna(axis=1) if is_complete else frame
    rows, n = np.random.default_rng(0).permutation(len(frame)), min(most, len(frame) // 2)
    parts = (frame.iloc[part].reset_index(drop=True) for part in (rows[:n], rows[n : 2 * n]))
    return *parts, None if y is None else y.name


def outside(made, fitted):
    """Number of numbers outside of the fitted range."""
    numbers = fitted.columns[is_real(fitted)]
    return int(((made[numbers] < fitted[numbers].min()) | (made[numbers] > fitted[numbers].max())).sum(axis=None))


def worst_atom(made, fitted):
    """The largest difference in the share of a value, over all numbers."""
    shares = ((made[name].value_counts(normalize=True), fitted[name].value_counts(normalize=True))
              for name in fitted.columns[is_real(fitted)])  # fmt: skip
    return max(float(own.reindex(true.index, fill_value=0).sub(true).abs().max()) for own, true in shares)


def measured(train, test, target, seed):
    """The reports on drawn and on calibrated rows, numbers outside before and after, and the worst atom."""
    vae = VAETransformer(random_state=seed).fit(train)
    made = (vae.sample(len(train), seed, calibrate=c, missing=True) for c in (False, True))
    reports = [synthesis_report(train, test, rows, target) for rows in made]
    before, after = (vae.sample(N_MADE, seed, calibrate=c) for c in (False, True))
    return *reports, outside(before, train), outside(after, train), worst_atom(after, train)


def beside(reports, name):
    """A number of made rows, and that of real ones."""
    if name not in reports[0].made:
        return "-"
    return f"{spread([r.made[name] for r in reports])} ({np.mean([r.real[name] for r in reports]):.3f})"


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py")
    parser.add_argument("--tables", default=TABLES, help="names, with commas")
    parser.add_argument("--rows", type=int, default=10_000, help="at most, of each half")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--complete", action="store_true", help="only columns without missing cells")
    args = parser.parse_args()
    source = load_folder(args.data)
    print(machine())
    head("table", "rows x D", "detection, as drawn", *NUMBERS, "outside, as drawn", "outside", "atoms")
    for name in args.tables.split(","):
        train, test, target = halves(source, name, args.rows, args.complete)
        results = [measured(train, test, target, int(seed)) for seed in args.seeds.split(",")]
        drawn, reports, out, still_out, atom = zip(*results, strict=True)
        numbers = [beside(reports, number) for number in NUMBERS]
        as_drawn = spread([report.made["detection"] for report in drawn])
        row(name, f"{len(train)} x {train.shape[1]}", as_drawn, *numbers, max(out), max(still_out), max(atom))


if __name__ == "__main__":
    main()
