"""Dates, times, durations and periods as numbers, and back.

Dates and times count days since 1970-01-01, as a clock on the wall of their time zone shows them, so that midnight is a
whole number in every zone; durations count days, periods of pandas their own steps since 1970. What comes back is a
whole number of the coarsest steps - days, hours, ..., microseconds - that write all the cells of `fit`: days stay days.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from .cells import objects
from .frames import Column

__all__ = ["CLOCK_KINDS", "STEPS_PER_DAY", "Clock", "finer", "time_zone"]

#: Days, hours, minutes, seconds, milliseconds and microseconds of a day.
STEPS_PER_DAY = (1, 24, 1440, 86_400, 86_400_000, 86_400_000_000)
#: What the cells of each kind are, for errors.
CLOCK_KINDS = {"date": "dates", "datetime": "times", "duration": "durations", "period": "periods"}
_EXAMPLES = {
    "date": "datetime.date(2024, 2, 29)",
    "datetime": "datetime.datetime(2024, 2, 29, 12, 30)",
    "duration": "datetime.timedelta(days=1)",
}
_EPOCH = datetime(1970, 1, 1)
_INSTANTS = ("date", "datetime")
_DAYS: dict[str, tuple[float, float]] = {  # that Python's types hold, with a day for the time zones
    **dict.fromkeys(_INSTANTS, ((datetime.min - _EPOCH).days + 2.0, (datetime.max - _EPOCH).days - 1.0)),
    "duration": (timedelta.min.days + 1.0, timedelta.max.days - 1.0),
    "period": (-(2.0**53), 2.0**53),
}


@dataclass(frozen=True)
class Clock:
    """How a column of times is written in numbers.

    Parameters
    ----------
    kind : {"date", "datetime", "duration", "period"}
    fineness : int
        Steps per day of what comes back; 1 for periods.
    zone : str or None
        The time zone of a column that has one, such as "Europe/Berlin" or "UTC+02:00".
    frequency : str or None
        Of periods, such as "M".

    Examples
    --------
    >>> import numpy as np
    >>> from skvae._tables.clocks import Clock
    >>> from skvae._tables.frames import Column
    >>> column = Column(np.array(["2024-02-28", "2024-03-01", "NaT"], dtype="datetime64[ns]"), "when")
    >>> clock = Clock.of(column)
    >>> clock
    Clock(kind='datetime', fineness=1, zone=None, frequency=None)
    >>> clock.numbers(column)
    array([19781., 19783.,    nan])
    >>> clock.cells(np.array([19781.9]))
    array([datetime.datetime(2024, 2, 29, 0, 0)], dtype=object)
    """

    kind: str
    fineness: int
    zone: str | None = None
    frequency: str | None = None

    @classmethod
    def of(cls, column: Column) -> "Clock":
        """The clock of a column that `holds_times`."""
        kind, zone, frequency, numbers = _read(column)
        if zone is not None:
            time_zone(zone, column.label)
        return cls(kind, 1 if kind == "period" else _fineness(numbers[~np.isnan(numbers)]), zone, frequency)

    def numbers(self, column: Column) -> np.ndarray:
        """A column as numbers (n,), NaN for missing.

        Raises
        ------
        ValueError
            It holds something else than the fitted column: numbers, another kind of times, or other time zones.
        """
        is_missing = column.missing()
        if is_missing.all():  # of any kind
            return np.full(len(is_missing), np.nan)
        if not column.holds_times:
            cell = next(c for c in column.cells() if c is not None)
            raise ValueError(self._why_not(column.label, f"it holds {cell!r}"))
        kind, zone, frequency, numbers = _read(column, self.zone)
        if (kind in _INSTANTS) != (self.kind in _INSTANTS) or (kind not in _INSTANTS and kind != self.kind):
            raise ValueError(self._why_not(column.label, f"it holds {CLOCK_KINDS[kind]}"))
        if frequency != self.frequency:
            raise ValueError(self._why_not(column.label, f"its frequency is {frequency!r}, not {self.frequency!r}"))
        if (zone is None) != (self.zone is None) and kind == self.kind == "datetime":
            raise ValueError(self._why_not(column.label, f"its time zone is {zone}, not {self.zone}"))
        return numbers

    def number(self, value: Any) -> float:
        """A value that a caller gives, which may lack the time zone: it is then one on the wall of the column's."""
        is_naive = getattr(value, "tzinfo", None) is None
        clock = replace(self, zone=None) if is_naive else self
        return float(clock.numbers(Column(objects([value]), "value"))[0])

    @property
    def what(self) -> str:
        """What the cells are, for errors."""
        if self.kind == "period":
            return f"periods of the frequency {self.frequency!r}"
        if self.kind != "datetime":
            return CLOCK_KINDS[self.kind]
        return "times without a time zone" if self.zone is None else f"times of the time zone {self.zone!r}"

    @property
    def example(self) -> str:
        """A value of the kind, for errors."""
        return _EXAMPLES.get(self.kind, f"pandas.Period('2024-02-29', {self.frequency!r})")

    def _why_not(self, label: Any, now: str) -> str:
        return (
            f"Column {label!r} held {CLOCK_KINDS[self.kind]} when the model was fitted; now {now}. Convert the column, "
            "or fit anew."
        )

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Numbers (n,) at the nearest whole steps."""
        return np.rint(values * self.fineness) / self.fineness

    def cells(self, values: np.ndarray, is_exact: bool = False) -> np.ndarray:
        """Numbers (n,), none missing, as Python values: whole steps, or microseconds where they are exact."""
        values = np.clip(values.astype(np.float64), *_DAYS[self.kind])
        if self.kind == "period":
            return _periods(np.rint(values), self.frequency)
        steps, per_step = np.rint(values * self.fineness), STEPS_PER_DAY[-1] // self.fineness
        if is_exact:
            steps, per_step = np.rint(values * STEPS_PER_DAY[-1]), 1
        microseconds = steps.astype(np.int64) * per_step
        if self.kind == "duration":
            return microseconds.astype("m8[us]").astype(object)
        if self.kind == "date":
            return microseconds.astype("M8[us]").astype("M8[D]").astype(object)
        cells = microseconds.astype("M8[us]").astype(object)
        return cells if self.zone is None else objects([_in_zone(c, time_zone(self.zone)) for c in cells])


def finer(clocks: Collection[Clock], label: Any) -> Clock:
    """The clock of all cells of a column that several tables have, the finest of theirs.

    Raises
    ------
    ValueError
        The tables hold other kinds of times, or other time zones or frequencies.
    """
    if len({(clock.kind, clock.zone, clock.frequency) for clock in clocks}) > 1:
        first, second = (f"{CLOCK_KINDS[c.kind]} ({c.zone or c.frequency or 'no time zone'})" for c in clocks)
        raise ValueError(f"Column {label!r} holds {second}, but it held {first} before. Convert it to one.")
    return max(clocks, key=lambda clock: clock.fineness)


def time_zone(name: str, label: Any = None) -> tzinfo:
    """A time zone by its name."""
    if name.startswith(("UTC", "+", "-")):
        return datetime.strptime(name.removeprefix("UTC") or "+00:00", "%z").tzinfo or timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(
            f"Column {label!r} has the time zone {name!r}, which is no name of the IANA database. Convert it, e.g. to "
            "UTC."
        ) from error


def _fineness(days: np.ndarray) -> int:
    """The smallest number of steps per day that writes all days (m,) exactly, at most that of microseconds."""
    exact = (k for k in STEPS_PER_DAY[:-1] if np.all(np.rint(days * k) / k == days))
    return next(exact, STEPS_PER_DAY[-1])


def _read(column: Column, zone: str | None = None) -> tuple[str, str | None, str | None, np.ndarray]:
    """Kind, time zone, frequency and numbers of a column; the time zone into which cells are brought, if they have one.

    Microseconds are the finest that is read: more digits no float64 holds, so far from 1970.
    """
    own = getattr(column.values.dtype, "time_zone", None)
    array = _array(column, own)
    if array.dtype.kind not in "mM" or (own is not None and zone not in (None, own)):
        return _read_cells(column, zone)
    kind = "duration" if array.dtype.kind == "m" else "date" if np.datetime_data(array.dtype)[0] == "D" else "datetime"
    return kind, own, None, _days(array)


def _array(column: Column, zone: str | None) -> np.ndarray:
    """The column as an array (n,) of times or durations, on the wall of its time zone, or of objects."""
    if column.is_array:
        return column.values
    return (column.values if zone is None else column.values.dt.replace_time_zone(None)).to_numpy()


def _read_cells(column: Column, zone: str | None) -> tuple[str, str | None, str | None, np.ndarray]:
    cells = [_plain(c) for c in column.cells()]
    observed = [c for c in cells if c is not None]
    if not observed:
        return *_by_dtype(column), np.full(len(cells), np.nan)
    kinds = {_kind(c) for c in observed}
    if len(kinds) > 1 and kinds != set(_INSTANTS):
        raise ValueError(f"Column {column.label!r} holds {_listed(kinds)}. Convert them to one of these.")
    kind = "datetime" if len(kinds) > 1 else kinds.pop()
    if kind == "period":
        frequency = _one({c.freqstr for c in observed}, "frequencies", column)
        return kind, None, frequency, np.array([np.nan if c is None else float(c.ordinal) for c in cells])
    if kind == "datetime":
        zones = {None if (info := getattr(c, "tzinfo", None)) is None else str(info) for c in observed}
        if zone is None or None in zones:
            zone = _one(zones, "time zones", column)
        cells = [c if c is None else _on_the_wall(c, zone) for c in cells]
    dtype = {"date": "M8[D]", "datetime": "M8[us]", "duration": "m8[us]"}[kind]
    return kind, zone if kind == "datetime" else None, None, _days(np.array(cells, dtype=dtype))


def _by_dtype(column: Column) -> tuple[str, str | None, str | None]:
    """Kind, time zone and frequency of a column without an observed cell."""
    own, dtype = str(column.dtype), column.values.dtype
    if own.startswith("period["):
        return "period", None, own[len("period[") : -1]
    kind = str(dtype).partition("(")[0].lower()  # what narwhals does not know are the dates of 64 bits of pyarrow
    return kind if kind in CLOCK_KINDS else "date", getattr(dtype, "time_zone", None), None


def _listed(kinds: Collection[str]) -> str:
    return " beside ".join(CLOCK_KINDS[kind] for kind in sorted(kinds))


def _one(found: set, what: str, column: Column) -> Any:
    if len(found) > 1:
        raise ValueError(
            f"Column {column.label!r} holds cells of several {what}: {', '.join(sorted(map(str, found)))}. Convert "
            "them to one."
        )
    return next(iter(found))


def _plain(cell: Any) -> Any:
    """A cell as one of Python's types, or a pandas Period."""
    if isinstance(cell, np.datetime64):
        return cell.astype("M8[us]").item()
    return cell.astype("m8[us]").item() if isinstance(cell, np.timedelta64) else cell


def _kind(cell: Any) -> str:
    if isinstance(cell, timedelta):
        return "duration"
    return "datetime" if isinstance(cell, datetime) else "date" if isinstance(cell, date) else "period"


def _days(array: np.ndarray) -> np.ndarray:
    """Times or durations of numpy (n,) as days, float64, NaN for NaT; what is finer than microseconds is cut off."""
    unit = f"{array.dtype.kind}8[us]"
    days = array.astype(unit).astype(np.int64).astype(np.float64) / STEPS_PER_DAY[-1]
    return np.where(np.isnat(array), np.nan, days)


def _on_the_wall(cell: Any, zone: str | None) -> datetime:
    """The date and time that a clock of the zone shows."""
    if not isinstance(cell, datetime):
        return datetime(cell.year, cell.month, cell.day)
    if zone is None or str(cell.tzinfo) == zone:
        return cell.replace(tzinfo=None)
    return cell.astimezone(time_zone(zone)).replace(tzinfo=None)


def _in_zone(wall: datetime, zone: tzinfo) -> datetime:
    """The time at which a clock of the zone shows this; an hour later where it skips it in spring."""
    return wall.replace(tzinfo=zone).astimezone(timezone.utc).astimezone(zone)


def _periods(ordinals: np.ndarray, frequency: str | None) -> np.ndarray:
    import pandas as pd

    return objects([pd.Period(ordinal=int(ordinal), freq=frequency) for ordinal in ordinals])
