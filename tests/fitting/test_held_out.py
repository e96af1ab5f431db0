"""Tables of which much is one row: it is trained on and held out in proportion, so no seed decides if it counts."""

import numpy as np
import pandas as pd
import pytest

from skvae import VAETransformer
from skvae._tables.canonical import split_rows
from skvae._tables.on_disk import mapped_rows

pytestmark = pytest.mark.one_in(2)


def idle_record():
    """Half of the rows are one idle record."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(2000, 4)).round(1) @ (np.eye(4) + 0.5 * np.eye(4, k=1))).round(1) + 5
    X[:1000] = 0
    return X


def default_answers():
    """A mixed frame, of which three rows in five are the default answers."""
    rng = np.random.default_rng(0)
    n, n_default = 1500, 900
    latent = rng.normal(size=n)
    is_basic = rng.random(n) >= 1 / (1 + np.exp(-latent))
    frame = pd.DataFrame(
        {
            "age": np.round(40 + 12 * latent + 6 * rng.normal(size=n)),
            "income": np.round(np.exp(8 + 0.5 * latent + 0.3 * rng.normal(size=n)), -1),
            "smoker": rng.random(n) < 1 / (1 + np.exp(1 - latent)),
            "region": rng.choice(list("nesw"), n, p=[0.5, 0.3, 0.15, 0.05]),
            "plan": np.where(is_basic, "basic", rng.choice(["gold", "silver"], n)),
        }
    )
    for name, value in {"age": 30.0, "income": 0.0, "smoker": False, "region": "n", "plan": "basic"}.items():
        frame.loc[: n_default - 1, name] = value
    return frame


def flags():
    """Eight flags in twelve combinations."""
    rng = np.random.default_rng(0)
    combinations = rng.random((12, 8)) < 0.3
    rows = rng.choice(12, 2000, p=rng.dirichlet(np.ones(12)))
    return pd.DataFrame(combinations[rows], columns=[f"flag{i}" for i in range(8)])


def rates(frame):
    """The share of each flag, and of each level, by (column, level)."""
    found = {}
    for name in frame.columns[~frame.dtypes.map(pd.api.types.is_float_dtype)]:
        found |= {(name, level): share for level, share in frame[name].value_counts(normalize=True).items()}
    return {key: share for key, share in found.items() if key[1] is not False}


def check(table, seed):
    vae = VAETransformer(2, random_state=seed).fit(table)
    assert vae.score(table) >= VAETransformer(2, max_iter=0, random_state=seed).fit(table).score(table)
    return vae


def check_rates(vae, frame):
    """Before, whole levels were lost. What is left is the distance of the codes from the prior.

    A share of n rows has a standard error of 1 / sqrt(n) of itself: three of these, over hundreds of checks, where they
    are more.
    """
    made = rates(vae.sample(100_000, random_state=0))
    for key, share in rates(frame).items():
        error = 3 / np.sqrt(share * len(frame))
        assert share < 0.02 or 1 - max(0.25, error) <= made.get(key, 0) / share <= 1 + max(0.3, error), key


@pytest.mark.parametrize("seed", [0, 9])
def test_the_commonest_row_is_learned(seed):
    X = idle_record()
    vae = VAETransformer(2, max_iter=30, random_state=seed).fit(X)
    assert vae.score(X) >= VAETransformer(2, max_iter=0, random_state=seed).fit(X).score(X)
    # A quarter of the draws or more lie at the idle record, 3.5 standard deviations from the others' centre.
    assert (np.abs(vae.sample(2000, random_state=0, calibrate=False)).max(1) < 2.5).mean() > 0.25


@pytest.mark.filterwarnings("ignore:.*the mere frequencies of the 10 distinct rows are better")
@pytest.mark.parametrize("seed", [0, 1])
def test_a_few_combinations_of_flags_keep_their_rates(seed):
    frame = flags()
    check_rates(check(frame, seed), frame)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*the mere frequencies of the")
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("table", [idle_record, default_answers, flags], ids=lambda table: table.__name__)
def test_no_seed_ends_below_its_own_initialisation(table, seed):
    table = table()
    vae = check(table, seed)
    if isinstance(table, pd.DataFrame):
        check_rates(vae, table)


def test_a_file_holds_the_same_share_out_on_average():
    X = idle_record()
    shares = []
    for seed in range(100):
        rows, weight = mapped_rows(X, None, seed)
        (_, train), (held_out, valid) = split_rows(rows, weight, 0.1)
        assert len(valid) == 200
        assert len(train) == 1800
        shares.append((np.asarray(held_out.take()) == 0).all(1).mean())
    # Runs of one row each: the share of 200 rows without replacement.
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * (0.25 / 200 / 100) ** 0.5)
