"""Days, months, quarters and years as values: which of them a moment is in, and their names.

Nothing here asks a database, and only `Calendar.now()` asks a clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, time
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from domicile.exceptions import InvalidName

Every = Literal["day", "month", "quarter", "year"]
EVERY: tuple[str, ...] = get_args(Every)

_FORMS = {
    "day": (re.compile(r"(\d{4})[-_](\d{2})[-_](\d{2})", re.ASCII), "2026-11-05"),
    "month": (re.compile(r"(\d{4})[-_](\d{2})", re.ASCII), "2026-11"),
    "quarter": (re.compile(r"(\d{4})[-_]q([1-4])", re.ASCII), "2026-q4"),
    "year": (re.compile(r"(\d{4})", re.ASCII), "2026"),
}
_PER_YEAR = {"month": 12, "quarter": 4, "year": 1}


@dataclass(frozen=True, order=True, slots=True)
class Period:
    """One day, month, quarter or year; `number` counts them, so that neighbours differ by one."""

    every: Every
    number: int

    @classmethod
    def of(cls, day: date, every: Every) -> Period:
        """Return the period that a day is in."""
        if every == "day":
            return cls(every, day.toordinal())
        per_year = _PER_YEAR[every]
        return cls(every, day.year * per_year + (day.month - 1) * per_year // 12)

    @classmethod
    def parse(cls, text: str, every: Every) -> Period:
        """Return the period of that name, as `str()` or `file_name` gives it; or `InvalidName`."""
        pattern, example = _FORMS[every]
        match = pattern.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            numbers = [int(part) for part in match.groups()]
            if every == "quarter":
                numbers[1] = 3 * numbers[1] - 2
            return cls.of(date(*[*numbers, 1, 1][:3]), every)
        except ValueError:
            raise InvalidName(f"{text!r} is no {every}. Write one as {example!r}.") from None

    @property
    def first_day(self) -> date:
        if self.every == "day":
            return date.fromordinal(self.number)
        per_year = _PER_YEAR[self.every]
        return date(self.number // per_year, self.number % per_year * (12 // per_year) + 1, 1)

    def __str__(self) -> str:
        first = self.first_day
        if self.every == "quarter":
            return f"{first.year:04}-q{self.number % 4 + 1}"
        return first.isoformat()[: {"day": 10, "month": 7, "year": 4}[self.every]]

    @property
    def file_name(self) -> str:
        """The name in schemas, databases and files: without hyphens, which SQL has to quote."""
        return str(self).replace("-", "_")

    def plus(self, count: int) -> Period:
        """Return the period so many later, or earlier."""
        return Period(self.every, self.number + count)


@dataclass(frozen=True, slots=True)
class Calendar:
    """What kind of periods, and in which time zone they begin."""

    every: Every
    zone: str = "UTC"

    def period_of(self, moment: date) -> Period:
        """Return the period that a day, or a moment, is in. A naive moment is taken as it is."""
        if isinstance(moment, datetime):
            if moment.tzinfo is not None:
                moment = _shifted(moment, self.zone)
            moment = moment.date()
        return Period.of(moment, self.every)

    def before(self, moment: date) -> Period | None:
        """Return the period of the last instant before a moment; None where there is none."""
        resolution = date.resolution if not isinstance(moment, datetime) else datetime.resolution
        try:
            return self.period_of(moment - resolution)
        except OverflowError:
            return None

    def parse(self, text: str) -> Period:
        return Period.parse(text, self.every)

    def now(self) -> Period:
        """Return the period that it is."""
        return self.period_of(datetime.now(UTC))

    def begins(self, period: Period) -> datetime:
        """Return the first moment of a period."""
        return datetime.combine(period.first_day, time.min, ZoneInfo(self.zone))


def _shifted(moment: datetime, zone: str) -> datetime:
    """Moments within a day of the first and the last year may have none in another zone."""
    try:
        return moment.astimezone(ZoneInfo(zone))
    except OverflowError:
        return moment


@dataclass(frozen=True, slots=True)
class Spans:
    """Periods by number: pairs of first and last, in order and apart; None is without end."""

    pairs: tuple[tuple[int | None, int | None], ...]

    @classmethod
    def of(cls, *pairs: tuple[int | None, int | None]) -> Spans:
        """Return what any of the pairs covers."""
        merged: list[tuple[int | None, int | None]] = []
        for first, last in sorted(pairs, key=lambda pair: _low(pair[0])):
            if _low(first) > _high(last):
                continue
            if merged and _low(first) <= _high(merged[-1][1]) + 1:
                start, end = merged.pop()
                merged.append((start, max((last, end), key=_high)))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    def __and__(self, other: Spans) -> Spans:
        return Spans.of(
            *(
                (_later(first, start), _earlier(last, end))
                for first, last in self.pairs
                for start, end in other.pairs
            )
        )

    def __or__(self, other: Spans) -> Spans:
        return Spans.of(*self.pairs, *other.pairs)

    def __contains__(self, period: Period) -> bool:
        return any(_low(first) <= period.number <= _high(last) for first, last in self.pairs)

    @property
    def names_none(self) -> bool:
        """Whether all of time is meant."""
        return self.pairs == ((None, None),)

    @property
    def has_ends(self) -> bool:
        return all(None not in pair for pair in self.pairs)

    def numbers(self) -> Iterator[int]:
        """Yield each number; only of spans that have ends."""
        for first, last in self.pairs:
            assert first is not None
            assert last is not None
            yield from range(first, last + 1)

    def __len__(self) -> int:
        """Return how many periods there are; only of spans that have ends."""
        return sum((last or 0) - (first or 0) + 1 for first, last in self.pairs)


ALWAYS = Spans(((None, None),))
NEVER = Spans(())
_FAR = date(MAXYEAR, 12, 31).toordinal() + 1


def _low(first: int | None) -> int:
    return -_FAR if first is None else first


def _high(last: int | None) -> int:
    return _FAR if last is None else last


def _later(one: int | None, other: int | None) -> int | None:
    return max((one, other), key=_low)


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((one, other), key=_high)
