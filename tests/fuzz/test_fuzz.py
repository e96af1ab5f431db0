"""Any table, any parameters, any calls: finite results, or an error that names what was wrong, and no fit is harmed.

    python -m pytest tests/fuzz                                   # a fixed set of examples, under a minute
    python -m pytest tests/fuzz -m slow                           # new examples for an hour; .ci/nightly
    FUZZ_MINUTES=5 FUZZ_SEED=7 python -m pytest tests/fuzz -m slow

A failure of the slow test prints the seed of its round, which repeats it alone.
"""

import os
import time

import pytest
from fuzz_models import BASE, calls, parameters
from fuzz_property import attempt, check_error, check_finite, fingerprint
from fuzz_tables import CONTAINERS, Table, built, tables
from hypothesis import HealthCheck, Phase, event, given, note, seed, settings
from hypothesis import strategies as st

from skvae import VAETransformer

ANY = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": False}
#: A fixed set of examples: the same on every machine.
QUICK = settings(derandomize=True, max_examples=80, phases=[Phase.generate], report_multiple_bugs=False, **ANY)
ROUND = settings(max_examples=50, phases=[Phase.generate, Phase.shrink], **ANY)
MINUTES = float(os.environ.get("FUZZ_MINUTES", "60"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))


def without_value(table: Table) -> set[int]:
    """The columns that have no value at all, which stay missing."""
    return {d for d, cells in enumerate(table.columns) if all(c is None or c != c for c in cells)}


def check(vae: VAETransformer, call, may_be_missing) -> bool:
    """Make one call and hold it to the property; whether it had a result."""
    before = fingerprint(vae)
    result, error = attempt(call, vae)
    if error is None:
        check_finite(result, may_be_missing)
        return True
    check_error(error)
    assert fingerprint(vae) == before, "the earlier fit is not as it was"
    return False


def any_use(data: st.DataObject) -> None:
    table = data.draw(tables())
    container = data.draw(st.sampled_from(["pandas_frame", "array", *CONTAINERS]))
    X = built(data.draw, container, table)
    chosen = data.draw(parameters())
    vae = VAETransformer(**chosen)
    differing = {name: value for name, value in chosen.items() if BASE.get(name) != value}
    note(f"VAETransformer({differing}).fit({container} of {table!r})\n{X!r}")
    if not check(vae, lambda vae: vae.fit(X).n_iter_, set()):
        event("fit refused")
        return
    event("fitted")
    for _ in range(data.draw(st.integers(1, 4))):
        name, call = data.draw(calls(container, table))
        note(name)
        # A score of a cell that is missing is missing.
        may_be_missing = set(range(9)) if name.startswith("score_columns") else without_value(table)
        done = check(vae, call, may_be_missing)
        event(f"{name.split('(')[0]} {'done' if done else 'refused'}")
        if done and "fit" in name.split("(")[0]:
            break  # perhaps to another table


@QUICK
@given(st.data())
def test_any_use(data):
    any_use(data)


@pytest.mark.slow
def test_any_use_for_an_hour():
    """Rounds of new examples until the time is over; all failures are told at the end."""
    until, number, failures = time.monotonic() + 60 * MINUTES, SEED, []
    while time.monotonic() < until:
        round_ = seed(number)(ROUND(given(st.data())(any_use)))
        try:
            round_()
        except Exception as error:
            failures.append(f"FUZZ_SEED={number}: {error}")
            print(failures[-1], *getattr(error, "__notes__", []), sep="\n", flush=True)
        number += 1
    assert not failures, "\n".join(failures)
