"""A table of every kind, cut into chunks, for the tests of statistics and streams."""

import numpy as np
import pandas as pd

from skvae import TableStatistics


def frame(n=600, seed=0):
    """Missing values, categories, bools, ints and repeated rows, in order of a category."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(list("abcdef"), n, p=[0.4, 0.2, 0.2, 0.1, 0.07, 0.03])
    X = pd.DataFrame(
        {
            "kind": pd.Series(kind, dtype=object),
            "size": (3 * (kind < "c") + rng.normal(size=n)).round(2),
            "count": rng.poisson(4, n),
            "new": rng.random(n) < 0.3,
            "grade": pd.Categorical(rng.choice(["low", "mid"], n), categories=["low", "mid", "high"], ordered=True),
        }
    )
    X.loc[rng.random(n) < 0.1, "size"] = np.nan
    X.loc[rng.random(n) < 0.1, "kind"] = None
    return pd.concat([X, X[:50]]).sort_values("kind", kind="stable", ignore_index=True)


def cut(X, n_parts, seed=0):
    """Chunks of unequal sizes, some of them without rows."""
    ends = np.sort(np.random.default_rng(seed).integers(0, len(X) + 1, n_parts - 1))
    return [X[a:b] for a, b in zip([0, *ends], [*ends, len(X)], strict=True)]


def source_of(X, n_parts=5):
    return lambda: iter(cut(X, n_parts))


def statistics_of(parts):
    statistics = TableStatistics()
    for part in parts:
        statistics.update(part)
    return statistics


def assert_same(a, b):
    """The same statistics: exactly, but for the rounding of moments."""
    assert a.n_rows == b.n_rows
    assert a._outline.schema == b._outline.schema
    for name in ("rows", "first", "second", "count"):
        np.testing.assert_array_equal(getattr(a._sample, name), getattr(b._sample, name))
    for name in ("lowest", "highest", "count", "has_missing"):
        np.testing.assert_array_equal(getattr(a._margins, name), getattr(b._margins, name))
    spread = np.sqrt(a.variance)
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-12 * spread.max())
    np.testing.assert_allclose(a.variance, b.variance, rtol=1e-12)
