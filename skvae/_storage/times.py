"""Dates, times, durations and periods <-> lists of strings and whole numbers."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from .._tables.clocks import time_zone

__all__ = ["as_time", "plain_time"]


def plain_time(value: Any) -> list[Any] | None:
    """Give the name of a value's type and what `as_time` makes it of; None for what is no time, or of no known zone.

    Examples
    --------
    >>> from datetime import datetime, timezone
    >>> from skvae._storage.times import as_time, plain_time
    >>> plain_time(datetime(2024, 2, 29, 12, 30, tzinfo=timezone.utc))
    ['datetime', '2024-02-29T12:30:00', 'UTC', 0]
    >>> as_time(plain_time(datetime(2024, 2, 29, 12, 30, tzinfo=timezone.utc)))
    datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc)
    """
    name = type(value).__name__
    if name not in _WRITERS or not _has_known_zone(value):
        return None
    return [name, *_WRITERS[name](value)]


def as_time(parts: list[Any]) -> Any:
    """Invert `plain_time`."""
    name, *own = parts
    return _READERS[name](*own)


def _has_known_zone(value: Any) -> bool:
    zone = getattr(value, "tzinfo", None)
    if zone is None:
        return True
    try:
        return value.astimezone(time_zone(str(zone))).utcoffset() == value.utcoffset()
    except ValueError:
        return False


def _zone(value: Any) -> str | None:
    return None if value.tzinfo is None else str(value.tzinfo)


def _steps(value: Any) -> tuple[int, str]:
    """A number and its unit, of numpy's types."""
    unit, count = np.datetime_data(value.dtype)
    return int(value.astype(np.int64)), f"{count}{unit}"


_WRITERS: dict[str, Callable[[Any], tuple]] = {
    "date": lambda value: (value.isoformat(),),
    "datetime": lambda value: (value.replace(tzinfo=None).isoformat(), _zone(value), value.fold),
    "timedelta": lambda value: (value.days, value.seconds, value.microseconds),
    "datetime64": _steps,
    "timedelta64": _steps,
    "Timestamp": lambda value: (*_steps(value.asm8), _zone(value)),
    "Timedelta": lambda value: _steps(value.asm8),
    "Period": lambda value: (value.ordinal, value.freqstr),
}


def _datetime(text: str, zone: str | None, fold: int) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None if zone is None else time_zone(zone), fold=fold)


def _timestamp(n_steps: int, unit: Any, zone: str | None) -> Any:
    import pandas as pd

    value = pd.Timestamp(np.datetime64(n_steps, unit))
    return value if zone is None else value.tz_localize("UTC").tz_convert(time_zone(zone))


def _timedelta(n_steps: int, unit: Any) -> Any:
    import pandas as pd

    return pd.Timedelta(np.timedelta64(n_steps, unit))


def _period(ordinal: int, frequency: str) -> Any:
    import pandas as pd

    return pd.Period(ordinal=ordinal, freq=frequency)


_READERS: dict[str, Callable[..., Any]] = {
    "date": date.fromisoformat,
    "datetime": _datetime,
    "timedelta": timedelta,
    "datetime64": np.datetime64,
    "timedelta64": np.timedelta64,
    "Timestamp": _timestamp,
    "Timedelta": _timedelta,
    "Period": _period,
}
