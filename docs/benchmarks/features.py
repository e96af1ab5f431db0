"""What each package does with a table, tried: one row per package, one trial per column, and why a trial failed.

    python docs/benchmarks/features.py [--peers NAME ...] [--python scvi=/path/to/another/venv/bin/python ...]
        [--show-errors]

Each package runs in a process of its own, is used as its documentation says, and gets standardised rows unless said
otherwise. Fits are short but for the likelihood, which has each package's own number of epochs; no time is measured.

- search: `clone`, then make_pipeline(StandardScaler, it, LogisticRegression) in GridSearchCV over the size of the code.
- checks: failures of scikit-learn's `check_estimator`; skipped checks are not counted.
- codes repeat: new rows twice give the same bits, and a row alone its code in the table (largest difference, in
  standard deviations of the codes; 1e-5 passes: a matrix product may round by the number of rows).
- likelihood: mean score of 1000 new rows of a linear-Gaussian table less their known log-likelihood, in nats per row;
  yes within 0.1, else tried again in units where the noise variance is 1. Raw rows for all: 2000 x 8, two factors,
  noise variance 1/4.
- raw frame: strings; a missing number; a missing string; finite codes of the frame, or, without codes, rows drawn.
- rows back: 50 rows drawn come as a frame with the columns, dtypes and levels of the fitted one.
- seeds: two fits from scratch by the package's own seed have equal bits, whatever was drawn in between, and so has a
  second `fit` of one object; Python's, NumPy's and torch's global generators are as before.
- importance: an importance-weighted likelihood, and what it is above the ELBO of the same model (not below, by Jensen).

How each is used stands in packages.py. `step` (ratio to a hand-written loop, 64 columns) and `quality` (its whole fit
over our seconds to the quality it ends with; wine, breast_cancer, digits) repeat docs/benchmarks.md. encdr's `clone` is
tried with default arguments, too; its grid search has `trainer_kwargs`, or it would print bars. Warnings and logs of
all packages are off, here only.
"""

import argparse
import contextlib
import importlib.metadata
import json
import logging
import os
import platform
import random
import re
import subprocess
import sys
import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from packages import PRINTED, ROWS, Lacks, same
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

MEASURED = Path(__file__).parents[1] / "benchmarks.md"


# ------------------------------------------------------------------------------------------------ trials
# Each takes a package and gives "yes", "no" or "partly" and why. Lacks says no, and so does any other exception.


def weights(model):
    """All arrays of a fitted object."""
    owned = model if isinstance(model, nn.Module) else None
    values = [owned] if owned else [getattr(model, "module", None), *vars(model).values()]
    arrays = [v for v in values if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    modules = [v for v in values if isinstance(v, nn.Module)]
    return arrays + [t.detach().numpy() for module in modules for t in module.state_dict().values()]


def said(error):
    """An exception, cut."""
    text = re.sub(r" object at 0x\w+", "", " ".join(str(error).split())).replace("`", "'")
    return f"`{type(error).__name__}: {text[:80].rstrip()}{'...' if len(text) > 80 else ''}`"


def in_search(peer):
    """Grid search over K in a pipeline; by its own score, too, where it has one."""
    X, y = load_breast_cancer(return_X_y=True)
    notes = []
    try:
        clone(peer.make())
    except Exception as error:
        notes.append(f"with default arguments no `clone`: {said(error)}")
    model = clone(peer.new())
    pipe = make_pipeline(StandardScaler(), model, LogisticRegression())
    grid = {f"{pipe.steps[1][0]}__{peer.size}": [2, 3]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
    codes = search.best_estimator_[:-1].transform(X)
    if codes.shape != (len(X), *search.best_params_.values()) or search.score(X, y) < 0.6:
        return "no", f"codes {codes.shape}, accuracy {search.score(X, y):.2f}"
    if hasattr(model, "score"):
        alone = make_pipeline(StandardScaler(), model)
        GridSearchCV(alone, grid, cv=2, error_score="raise").fit(X)
        notes.append("also by its own `score`")
    return "partly" if notes and "no `clone`" in notes[0] else "yes", "; ".join(notes)


def checks(peer):
    """Number of checks that fail."""
    results = check_estimator(peer.new(), on_fail=None, on_skip=None)
    count = {status: sum(r["status"] == status for r in results) for status in ("passed", "failed", "xfail")}
    failed = sorted({r["check_name"] for r in results if r["status"] == "failed"})
    bad, n = count["failed"] + count["xfail"], sum(count.values())
    return ("no" if bad else "yes"), f"{bad} of {n} fail" + (f", among them {', '.join(failed[:3])}" if failed else "")


def codes_repeat(peer):
    """The same rows twice, and one by one."""
    train, new = peer.table()
    model = peer.fit(train)
    codes = [np.asarray(peer.codes(model, new)) for _ in range(2)]
    alone = np.vstack([peer.codes(model, new[i : i + 1]) for i in range(len(new))])
    gap = np.abs(alone - codes[0]).max() / codes[0].std()
    aside = peer.aside(model, new)
    verdict = "yes" if same(*codes) and gap < 1e-5 else "no"
    return verdict, f"alone {gap:.0e}" + (f"; {aside}" if aside else "") if same(*codes) else "the same rows differ"


def linear_table(unit=1.0):
    """Rows to fit, new rows, and the mean log-likelihood of these."""
    rng = np.random.default_rng(0)
    W, mean = rng.normal(size=(2, 8)), rng.normal(size=8)
    X = rng.normal(size=(3000, 2)) @ W + mean + 0.5 * rng.normal(size=(3000, 8))
    law = torch.distributions.MultivariateNormal(torch.tensor(mean), torch.tensor(W.T @ W + 0.25 * np.eye(8)))
    truth = float(law.log_prob(torch.from_numpy(X[2000:])).mean()) + 8 * np.log(unit)
    return X[:2000] / unit, X[2000:] / unit, truth


def likelihood(peer):
    """How far from the known one."""
    if peer.counts:
        raise Lacks("not tried: `get_elbo` has nats of counts, no density of real columns")
    gaps = []
    for unit in (1.0, 0.5):
        train, new, truth = linear_table(unit)
        gaps.append(peer.likelihood(peer.fit(train, short=False), new) - truth)
        if abs(gaps[0]) < 0.1:
            return "yes", f"{gaps[0]:+.3f} nats"
    return "partly", f"{gaps[0]:+.3f} nats; {gaps[1]:+.3f} in units where the noise is 1"


def flowers():
    """A frame of floats, ints, strings, booleans and categories, and its floats alone."""
    iris = load_iris(as_frame=True)
    floats = iris.data.set_axis(["a", "b", "c", "d"], axis=1)
    kind = iris.target_names[iris.target].astype(object)
    more = {"petals": np.tile([3, 5, 8], 50), "kind": kind, "wide": floats["b"] > 3, "size": pd.cut(floats["a"], 3)}
    frame = floats.assign(**more)
    frame["size"] = frame["size"].cat.rename_categories(["s", "m", "l"]).cat.as_unordered()
    return frame, floats


def raw_frame(peer):
    """Strings, then a missing number, then a missing string."""
    frame, floats = flowers()
    incomplete = pd.DataFrame(peer.table()[0]).add_prefix("x") if peer.counts else floats.copy()
    unknown = frame[["a", "b", "c", "kind"]].copy()
    incomplete.iloc[7, 2], unknown.iloc[9, 3] = np.nan, None
    results, ends = {}, {}
    cases = {"strings": frame[["a", "b", "c", "kind"]], "a missing number": incomplete, "a missing string": unknown}
    for name, rows in cases.items():
        try:
            model = peer.fit_frame(rows)
            try:
                results[name] = bool(np.isfinite(peer.codes(model, rows)).all())
            except Lacks:
                results[name] = len(peer.sample(model, 5)) == 5
            ends[name] = "taken" if results[name] else "NaN comes out"
        except Lacks:
            results[name], ends[name] = True, "taken"
        except Exception as error:
            results[name], ends[name] = False, said(error)
    verdict = "yes" if all(results.values()) else "partly" if any(results.values()) else "no"
    if ends["a missing string"] == ends["strings"]:
        del ends["a missing string"]
    return verdict, "" if verdict == "yes" else "; ".join(f"{name}: {end}" for name, end in ends.items())


def rows_back(peer):
    """Drawn rows next to the fitted frame."""
    frame, floats = flowers()
    try:
        model = peer.fit_frame(frame)
    except Exception:
        made = peer.sample(peer.fit(peer.table()[0] if peer.counts else floats), 50)
        return "no", f"of numbers alone: {type(made).__name__} of {str(made.dtype).removeprefix('torch.')}"
    made = peer.sample(model, 50)
    if not isinstance(made, pd.DataFrame) or list(made) != list(frame):
        return "no", f"a {type(made).__name__} comes"
    other = [f"{name} {made[name].dtype}" for name in frame if made[name].dtype != frame[name].dtype]
    known = all(set(made[name]) <= set(frame[name]) for name in ("kind", "wide", "size"))
    return ("yes" if not other and known else "partly"), "; ".join(other) + ("" if known else "; new levels")


def generators():
    """State of the global generators."""
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002  the global one is what is looked at
    return random.getstate(), keys.tolist(), position, torch.get_rng_state().tolist()


def seeds(peer):
    """Equal bits, and nothing touched."""
    train, _ = peer.table()
    torch.manual_seed(7)
    before = generators()
    first = peer.fit(train, seed=3)
    clean = generators() == before
    random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002  as above
    again = peer.fit(train, seed=3)
    equal = all(map(same, weights(first), weights(again)))
    refit = True
    if hasattr(first, "get_params"):
        old = [np.array(part) for part in weights(again)]
        refit = all(map(same, old, weights(again.fit(train))))
    notes = ["equal bits" if equal else "bits differ", "generators untouched" if clean else "global generators change"]
    if not equal and same_after_torch_seed(peer, train):
        equal, clean = True, False
        notes[0] = "equal bits only with `torch.manual_seed` beforehand"
    notes += [] if refit else ["a second `fit` of one object differs"]
    return "yes" if equal and clean and refit else "partly" if equal else "no", ", ".join(notes)


def same_after_torch_seed(peer, train):
    """Whether seeding torch by hand, too, gives equal bits."""
    fits = []
    for _ in range(2):
        torch.manual_seed(3)
        fits.append(weights(peer.fit(train, seed=3)))
    return all(map(same, *fits))


def importance(peer):
    """What it is above the ELBO."""
    train, new = peer.table() if peer.counts else linear_table()[:2]
    weighted, elbo = peer.importance(peer.fit(train), new[:200])
    return ("yes" if weighted > elbo - 0.05 else "no"), f"{weighted - elbo:+.3f} nats above the ELBO"


TRIALS = {"search": in_search, "checks": checks, "codes repeat": codes_repeat, "likelihood": likelihood,
          "raw frame": raw_frame, "rows back": rows_back, "seeds": seeds, "importance": importance}  # fmt: skip


# ------------------------------------------------------------------------------------------------ output


def serve(args):
    """Try one package; a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print goes to stderr
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    peer, (distribution, _) = ROWS[args.serve], PRINTED[args.serve]
    try:
        peer.make()
        out = {"version": importlib.metadata.version(distribution)}
    except ImportError:
        out = {"version": None}
    for column, trial in TRIALS.items() if out["version"] else ():
        try:
            out[column] = trial(peer)
        except Lacks as reason:
            out[column] = (str(reason).split(":")[0] if str(reason).startswith("not ") else "no", str(reason))
        except Exception as error:
            if args.show_errors:
                raise
            out[column] = ("no", said(error))
    answers.write(json.dumps(out))


def tried(name, args):
    """What a process of its own says of a package."""
    python = dict(item.split("=", 1) for item in args.python).get(name, sys.executable)
    env = os.environ | {"SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    command = [python, "-W", "ignore", __file__, "--serve", name] + ["--show-errors"] * args.show_errors
    stderr = None if args.show_errors else subprocess.DEVNULL
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=env, check=False)
    with contextlib.suppress(json.JSONDecodeError):
        return json.loads(done.stdout)
    return {"version": None, "why": f"its process ended with {done.returncode}"}


def measured(section, name, column):
    """Cells of one column in all rows of that name, in a section of docs/benchmarks.md."""
    text = MEASURED.read_text().split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", text, re.MULTILINE)
    return [row.split("|")[column].split("[")[0].strip() for row in rows]


def linked(name):
    """The two columns that are measured elsewhere."""
    step = measured("Time of training next to other packages", PRINTED[name][1], 1)
    quality = measured("Time to quality", name, 5)[:3]
    return [f"[{step[0]}](#time-of-training-next-to-other-packages)" if step else "",
            f"[{', '.join(quality)}](#time-to-quality)" if any(quality) else ""]  # fmt: skip


def short(column, verdict, why):
    """A cell of the table."""
    number = re.search(r"^\d+ of \d+|[+-][\d.]+(?= nats)", why) if column in ("checks", "likelihood") else None
    return f"{verdict} ({number[0]})" if number else verdict


def main():
    """Print the table and the reasons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--python", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--show-errors", action="store_true", help="let packages speak, and stop at the first error")
    parser.add_argument("--serve", choices=list(ROWS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args)

    print(f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
          f"scikit-learn {sklearn.__version__}\n")  # fmt: skip
    print("| | " + " | ".join([*TRIALS, "step", "quality"]) + " |\n" + "| --- " * (len(TRIALS) + 3) + "|")
    results = {}
    for name in args.peers:
        result = results[name] = tried(name, args)
        why_not = result.get("why", "not installed")
        cells = [short(c, *result[c]) if result["version"] else f"not tried: {why_not}" for c in TRIALS]
        print(
            f"| {PRINTED[name][1]} {result['version'] or ''} | " + " | ".join(cells + linked(name)) + " |", flush=True
        )
    print()
    for name, result in results.items():
        reasons = [f"{column}: {result[column][1]}" for column in TRIALS if result.get(column, ("", ""))[1]]
        print(f"- **{PRINTED[name][1]}**. " + ". ".join([*reasons, *ROWS[name].documentation]) + ".")


if __name__ == "__main__":
    main()
