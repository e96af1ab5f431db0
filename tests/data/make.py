"""Write small fitted models of the present format, in every way of storing them, and what they say: see README.md."""

import json
import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import sklearn
import skops.io
import torch

import skvae
from skvae import ELBO, VAETransformer
from skvae._storage.checks import FORMAT_VERSION

SMALL = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
N_ROWS = 6  # of each table, in numbers.json


def array():
    """120 rows of two components in five columns."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(120, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(120, 5))).round(3)


def mixed():
    """A pandas frame of strings, ordered categories, bools, ints and floats, all but the ints with missing values."""
    rng = np.random.default_rng(1)
    kind = rng.choice(["cat", "dog", "hen"], 120)
    weight = np.select([kind == "cat", kind == "dog"], [4.0, 20.0], 2.0)
    frame = pd.DataFrame(
        {
            "kind": kind,
            "size": pd.Categorical(rng.choice(["S", "M", "L"], 120), ["S", "M", "L"], ordered=True),
            "tame": pd.array(rng.random(120) < 0.6, dtype="boolean"),
            "age": rng.integers(1, 15, 120),
            "weight": (weight + rng.normal(size=120)).round(1),
        }
    )
    for name in ("kind", "size", "tame", "weight"):
        frame.loc[rng.random(120) < 0.1, name] = None
    return frame


def models():
    """Name -> (fitted model, its table)."""
    partial = VAETransformer(**SMALL, objective=ELBO(beta=2.0), keep_optimizer=True)
    return {
        "array": (VAETransformer(**SMALL).fit(array()), array()),
        "mixed": (VAETransformer(**SMALL, scaling="quantile").fit(mixed()), mixed()),
        "partial": (partial.partial_fit(array()[:60]).partial_fit(array()[60:]), array()),
    }


def said(vae, table):
    """A few rows as plain values, what the model says of them, and one row that it draws."""
    rows = table[:N_ROWS]
    as_objects = rows.astype(object).where(rows.notna(), None) if isinstance(rows, pd.DataFrame) else rows
    return {
        "columns": list(rows.columns) if isinstance(rows, pd.DataFrame) else None,
        "rows": np.asarray(as_objects, dtype=object).tolist(),
        "codes": vae.transform(rows).tolist(),
        "scores": vae.score_samples(rows).tolist(),
    }


def main():
    """Write the files."""
    folder = Path(__file__).parent / f"format{FORMAT_VERSION}"
    folder.mkdir(exist_ok=True)
    numbers = {}
    for name, (vae, table) in models().items():
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(vae, protocol=4))
        joblib.dump(vae, folder / f"{name}.joblib", compress=3)
        skops.io.dump(vae, folder / f"{name}.skops", compression=zipfile.ZIP_DEFLATED)
        vae.save(folder / f"{name}.safetensors")
        numbers[name] = said(vae, table)
    made_by = {package.__name__: package.__version__ for package in (skvae, np, pd, sklearn, torch)}
    text = json.dumps({"made_by": made_by, "models": numbers}, indent=1)
    (folder / "numbers.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
