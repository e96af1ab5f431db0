"""Each Display against a stored picture that somebody has looked at: thirty classes, odd names, light and dark.

    python tests/test_pictures.py

draws the stored pictures anew, in `tests/pictures/`; look at each of them before committing it. Tests of what is drawn
are in `test_display.py`; here the picture as a whole is compared, so that a change that nobody meant is seen. Models
are linear ones, which do not differ between machines, or trained for a few epochs. Another release of matplotlib sets
letters otherwise, and nothing is compared.
"""

import sys
from functools import cache
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.testing.compare import compare_images
from PIL import Image
from sklearn.datasets import load_digits

from skvae import VAETransformer, display

STORED = Path(__file__).parent / "pictures"
STYLES = {"light": "default", "dark": "dark_background"}
DOTS_PER_INCH = 60
N_CLASSES = 30


@cache
def species():
    """900 rows of thirty kinds, a skewed column and one with an atom, names as people give them; and the kinds."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(N_CLASSES), 30)
    angle = 2 * np.pi * y / N_CLASSES
    factors = np.column_stack([4 * np.cos(angle), 4 * np.sin(angle), y % 3 - 1.0])
    numbers = factors @ rng.normal(size=(3, 9)) + 0.7 * rng.normal(size=(len(y), 9))
    names = ["length", "width_", "$x_1$", "_hidden", "Umfang des Stammes in 1,30 m (cm)", "a b", "%", "mass", "age"]
    X = pd.DataFrame(numbers, columns=names)
    X["mass"] = np.exp(X["mass"])
    X["rain"] = np.where(rng.random(len(y)) < 0.4, 0.0, rng.exponential(size=len(y)))
    X["site"] = np.array(["north", "south", "a place of a long name, far away"])[y % 3]
    kinds = np.array([f"Species {k}" if k % 5 else f"Quercus robur var. fastigiata no. {k}" for k in range(N_CLASSES)])
    kinds[[3, 7, 11]] = "$K_{12}$", "_private", "Ångström's"
    return X, kinds[y]


@cache
def model(n_components=4):
    """A linear model of these rows."""
    return VAETransformer(n_components, hidden_layer_sizes=(), max_iter=0, random_state=0).fit(species()[0])


@cache
def trained():
    """A network that is trained for a few epochs, for its curve."""
    return VAETransformer(3, max_iter=8, random_state=0).fit(species()[0])


@cache
def digits():
    """A linear model of images."""
    return VAETransformer(2, max_iter=0, random_state=0).fit(load_digits().data)


PICTURES = {
    "LatentSpaceDisplay": lambda: display.LatentSpaceDisplay.from_estimator(model(), *species()),
    "TrainingCurveDisplay": lambda: display.TrainingCurveDisplay.from_estimator(trained()),
    "ReconstructionDisplay": lambda: display.ReconstructionDisplay.from_estimator(model(), species()[0]),
    "ComponentDisplay": lambda: display.ComponentDisplay.from_estimator(model(), species()[0]),
    "ManifoldDisplay": lambda: display.ManifoldDisplay.from_estimator(digits(), (8, 8), n=8),
    "SampleDisplay": lambda: display.SampleDisplay.from_estimator(model(), species()[0], random_state=0),
    "SynthesisDisplay": lambda: display.SynthesisDisplay.from_estimator(
        model(), species()[0][::2], species()[0][1::2], target="site", random_state=0
    ),
    "AnomalyDisplay": lambda: display.AnomalyDisplay.from_estimator(model(), species()[0], n_rows=8),
    "BoundDisplay": lambda: display.BoundDisplay.from_estimator(trained(), species()[0][:200], n_draws=(1, 5, 20)),
}


def draw(name, style, path):
    """Draw a Display under a style of matplotlib, and write it."""
    with plt.style.context(STYLES[style]):
        drawn = PICTURES[name]()
        drawn.figure_.savefig(path, dpi=DOTS_PER_INCH)
        plt.close(drawn.figure_)


def test_every_display_has_stored_pictures():
    assert set(PICTURES) == set(display.__all__)
    assert {path.stem for path in STORED.glob("*.png")} == {f"{name}-{style}" for name in PICTURES for style in STYLES}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", PICTURES)
def test_a_display_looks_as_it_did(name, style, tmp_path):
    stored = STORED / f"{name}-{style}.png"
    drawn_by = Image.open(stored).text["Software"]
    if not drawn_by.startswith(f"Matplotlib version{matplotlib.__version__},"):
        pytest.skip(f"the stored picture is by another release: {drawn_by}")
    draw(name, style, tmp_path / stored.name)
    # 2 of 255: where a trained net differs between machines, lines move by less; a label that is gone gives 4
    assert compare_images(stored, tmp_path / stored.name, tol=2) is None


if __name__ == "__main__":
    matplotlib.use("agg")
    for name in sys.argv[1:] or PICTURES:
        for style in STYLES:
            draw(name, style, STORED / f"{name}-{style}.png")
            print(STORED / f"{name}-{style}.png")
