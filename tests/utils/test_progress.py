"""What is said of a long step, and when."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skvae import VAETransformer
from skvae._utils import progress as module
from skvae._utils.progress import duration, progress

X, _ = load_iris(return_X_y=True)
TRAINED = {"max_iter": 1, "early_stopping": False, "random_state": 0}  # a linear model weighs no codes


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_lines_say_how_far_it_is_and_how_long_it_takes(clock, capsys):
    with progress(1, "job", 100) as told:
        for seconds in (2, 6, 8, 20):
            clock[0] = seconds
            told(25)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["[job] 50 of 100 rows, 6 s left", "[job] 100 of 100 rows", "[job] 100 rows in 20 s"]


def test_an_unknown_total_is_counted(clock, capsys):
    with progress(1, "job", None, "chunks") as told:
        clock[0] = 9
        told(3)
    assert capsys.readouterr().out.splitlines()[0] == "[job] 3 chunks"


@pytest.mark.parametrize(("verbose", "seconds"), [(0, 1000), (1, 1), (2, 1)])
def test_short_steps_and_silent_ones_say_nothing(clock, capfd, verbose, seconds):
    with progress(verbose, "job", 2) as told:
        clock[0] = seconds
        told(2)
    assert capfd.readouterr() == ("", "")


def test_a_bar_for_a_long_step(monkeypatch, capfd):
    monkeypatch.setattr(module, "EVERY", 0)
    with progress(2, "job", 4) as told:
        told(4)
    assert "job: 100%" in capfd.readouterr().err


def test_durations():
    assert [duration(s) for s in (0.4, 99, 240, 7200)] == ["0 s", "99 s", "4 min", "2.0 h"]


def test_methods_tell_how_far_they_are(monkeypatch, capsys):
    """Every chunk of rows counts, whatever the method."""
    monkeypatch.setattr(module, "EVERY", 0)
    incomplete = np.where(np.arange(600).reshape(150, 4) % 7 == 0, np.nan, X)
    vae = VAETransformer(2, **TRAINED).fit(X).set_params(verbose=1)
    vae.transform(X)
    vae.score(X)
    vae.impute(incomplete)
    vae.sample(30, given={0: 6.0})
    ends = [line for line in capsys.readouterr().out.splitlines() if " in " in line]
    n_incomplete = np.isnan(incomplete).any(1).sum()
    said = [line.split(" in ")[0] for line in ends]
    assert said == [
        "[VAETransformer.transform] 150 rows",
        "[VAETransformer.score_samples] 150 rows",
        f"[VAETransformer.impute] {n_incomplete} rows",
        "[VAETransformer.sample(given=...)] 4000 codes",
        "[VAETransformer.sample] 30 rows",
    ]


def test_codes_that_are_weighted_in_chunks_are_those_of_one(monkeypatch):
    vae = VAETransformer(2, **TRAINED).fit(X)
    whole = vae.sample(20, given={0: 6.0}, random_state=0)
    monkeypatch.setattr("skvae._inference.imputation.chunk_rows", lambda module, n: 999)
    np.testing.assert_allclose(vae.sample(20, given={0: 6.0}, random_state=0), whole, atol=0.1)
