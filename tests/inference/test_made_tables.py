"""The report on made rows says of rows that are known what they are."""

import datetime

import numpy as np
import pandas as pd
import pytest

from skvae.metrics import SynthesisReport, synthesis_report

N = 300


def table(seed):
    """Numbers with holes, levels, bools and dates that hang together."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    frame = pd.DataFrame(
        {
            "x": x.round(4),
            "y": (x + 0.3 * rng.normal(size=N)).round(2),
            "n": rng.poisson(np.exp(x / 2)),
            "place": np.where(rng.random(N) < 1 / (1 + np.exp(-3 * x)), "north", "south"),
            "flag": x > 1,
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta((50 * x).round(), unit="D"),
        }
    )
    frame.loc[rng.random(N) < 0.1, "y"] = np.nan
    frame.loc[rng.random(N) < 0.1, "place"] = None
    return frame


TRAIN, TEST, OTHER = table(0), table(1), table(2)


def shuffled(frame):
    rng = np.random.default_rng(0)
    return pd.DataFrame({name: column.iloc[rng.permutation(N)].array for name, column in frame.items()})


def test_other_real_rows_are_as_good_as_real_rows(capsys):
    """Detection is that of chance: 300 against 300 rows have a standard error of 0.024."""
    found = synthesis_report(TRAIN, TEST, OTHER, target="place", verbose=1)
    assert found.made["detection"] == pytest.approx(0.5, abs=0.08)
    assert found.real["detection"] == pytest.approx(0.5, abs=0.08)
    assert found.made["margins"] == pytest.approx(found.real["margins"], abs=0.05)  # each is 0.07 by chance
    for name in ("pairs", "utility"):
        assert found.made[name] == pytest.approx(found.real[name], rel=0.25)
    assert found.made["copies"] == found.real["copies"] == 0
    assert found.made["nearer"] == pytest.approx(0.5, abs=0.08)
    assert found.utility_metric == "AUC"
    assert list(found.margins) == list(TRAIN)
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("[")]  # of how far it is
    assert len(lines) == len(found.made) == len(str(found).splitlines()) - 1


def test_copies_of_training_rows_are_found():
    found = synthesis_report(TRAIN, TEST, TRAIN.iloc[::-1])
    assert found.made["copies"] == 1
    assert found.made["nearer"] > 0.99
    assert found.real["nearer"] == pytest.approx(0.5, abs=0.12)  # 150 rows: a standard error of 0.04
    half = pd.concat([TRAIN.iloc[: N // 2], OTHER.iloc[: N // 2]])
    assert synthesis_report(TRAIN, TEST, half).made["copies"] == 0.5


def test_shuffled_columns_have_margins_and_no_pairs():
    found = synthesis_report(TRAIN, TEST, shuffled(OTHER), target="x")
    assert found.utility_metric == "R2"
    assert found.made["margins"] == pytest.approx(found.real["margins"], abs=0.05)
    assert found.made["pairs"] > 2 * found.real["pairs"]
    assert found.made["detection"] > 0.9
    assert found.made["utility"] < 0.2 < 0.8 < found.real["utility"]


def test_distances_of_columns_are_what_arithmetic_says():
    rng = np.random.default_rng(0)
    numbers, levels = np.arange(100.0), np.array([*"aab" * 33, "a"])
    real = pd.DataFrame({"number": numbers, "level": levels, "hole": numbers})
    made = pd.DataFrame({"number": numbers + 25, "level": np.where(levels == "a", "c", levels), "hole": numbers})
    made.loc[:39, "hole"] = np.nan
    found = synthesis_report(real, real.iloc[rng.permutation(100)], made)
    assert found.margins == {"number": pytest.approx(0.25), "level": pytest.approx(0.67), "hole": pytest.approx(0.4)}
    assert list(found.real_margins.values()) == pytest.approx([0, 0, 0])


def test_pairs_are_half_the_summed_differences_of_shares():
    """Levels that agree in all rows, against levels that are independent: (1/4 + 1/4 + 1/4 + 1/4) / 2."""
    real = pd.DataFrame({"a": list("uv") * 100, "b": list("uv") * 100})
    made = pd.DataFrame({"a": list("uv") * 100, "b": list("uuvv") * 50})
    found = synthesis_report(real, real, made)
    assert found.made["pairs"] == pytest.approx(0.5)
    assert found.real["pairs"] == 0


def test_arrays_wide_categories_and_subsets():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    found = synthesis_report(X[:100], X[100:200], X[200:], target=-1, max_rows=80)
    assert list(found.margins) == ["x0", "x1", "x2"]
    wide = pd.DataFrame({"who": [f"p{i}" for i in range(600)], "x": rng.normal(size=600)})
    found = synthesis_report(wide[:200], wide[200:400], wide[400:])
    assert found.margins["who"] == 1


def test_a_class_that_held_out_rows_lack_does_not_take_the_place_of_theirs():
    """The score is that of the same rows without the rare class, but for the few that it takes away."""
    train, test = (table[["x", "place"]] for table in (TRAIN, TEST))
    rare = train.assign(place=train["place"].where(np.arange(N) > 4, "zenith"))
    found = synthesis_report(train, test, rare, target="place")
    assert found.utility_metric == "AUC"
    assert found.real["utility"] > 0.8
    assert found.made["utility"] == pytest.approx(found.real["utility"], abs=0.03)
    other = train.replace({"place": {"south": "zenith"}})
    assert synthesis_report(train, test, other, target="place").made["utility"] == 0.5


def test_columns_without_cells_or_with_few_tell_rows_apart_by_nothing():
    """Of numbers, levels and dates: detection and utility are those of the columns that have cells."""
    tables = [
        table[["x", "n"]].assign(y=table["y"].where(np.arange(N) < 3), place=None, day=pd.NaT)
        for table in (TRAIN, TEST, OTHER)
    ]
    tables[0]["day"], tables[0]["place"] = TRAIN["day"].where(np.arange(N) < 3), TRAIN["place"].where(np.arange(N) < 3)
    found = synthesis_report(*tables, target="n")
    alone = synthesis_report(*(table[["x", "n"]] for table in tables), target="n")
    for name in ("detection", "utility"):
        assert found.made[name] == alone.made[name]
    assert found.real["utility"] == alone.real["utility"]
    bare = OTHER[["x", "place"]].assign(x=np.nan)
    found = synthesis_report(TRAIN[["x", "place"]], TEST[["x", "place"]], bare, target="place")
    assert found.made["detection"] == 1  # here a missing cell says all
    assert found.made["utility"] == 0.5


WRONG = {
    "a column is lost": ({"made": OTHER.drop(columns="n")}, "made does not go with .* X has the 5 columns"),
    "another kind": (
        {"made": OTHER.assign(place=1.0)},
        "made does not go .* 'place' holds numbers, but it held strings",
    ),
    "an array": ({"real_test": np.ones((N, 6))}, "real_test does not go .* X has 6 columns without names"),
    "dates as numbers": ({"made": OTHER.assign(day=1.0)}, "made .* 'day' holds numbers, but it held dates or times"),
    "no column": ({"target": "age"}, "'target' parameter names the column 'age'"),
    "one value": (
        {"real_test": TEST.assign(flag=True), "target": "flag"},
        "'flag' has fewer than two values in real_test",
    ),
    "one made value": (
        {"made": OTHER.assign(flag=True), "target": "flag"},
        "'flag' has fewer than two values in made",
    ),
    "one training value": (
        {"real_train": TRAIN.assign(n=1), "target": "n"},
        "'n' has fewer than two values in real_train",
    ),
    "few rows": ({"made": OTHER[:19]}, "made has 19 rows, too few"),
    "few of many": ({"max_rows": 19}, r"'max_rows' parameter of synthesis_report must be an int .* \[20, inf"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_compared_is_refused(changes, message):
    given = {"real_train": TRAIN, "real_test": TEST, "made": OTHER} | changes
    with pytest.raises(ValueError, match=message):
        synthesis_report(**given)


def test_dates_of_other_resolution_are_compared():
    made = OTHER.assign(day=OTHER["day"] + datetime.timedelta(hours=5))
    found = synthesis_report(TRAIN, TEST, made)
    assert isinstance(found, SynthesisReport)
    assert found.margins["day"] < 0.1
    assert found.made["detection"] < 0.7  # a tree sees no hours of the day
