"""Periods and spans of them: no server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db.models import F, Q
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from domicile.exceptions import InvalidName
from domicile.periods.calendar import ALWAYS, EVERY, NEVER, Calendar, Period, Spans
from domicile.periods.ranges import spans_of
from tests.testproject.sensors.models import Reading

MONTHS = Calendar("month")
FIELD = Reading._meta.get_field("taken_at")


@pytest.mark.parametrize(
    ("every", "name", "next_name"),
    [
        ("day", "2026-12-31", "2027-01-01"),
        ("day", "2028-02-28", "2028-02-29"),
        ("month", "2026-12", "2027-01"),
        ("quarter", "2026-q4", "2027-q1"),
        ("year", "0999", "1000"),
    ],
)
def test_names_go_on_at_the_end_of_the_year(every: str, name: str, next_name: str) -> None:
    period = Period.parse(name, every)
    assert str(period) == name
    assert str(period.plus(1)) == next_name


@given(st.dates(), st.sampled_from(EVERY))
def test_a_name_names_its_period(day: date, every: str) -> None:
    period = Period.of(day, every)
    assert Period.parse(str(period), every) == period == Period.parse(period.file_name, every)
    assert period.first_day <= day


@given(st.dates(max_value=date(9999, 12, 30)), st.sampled_from(EVERY))
def test_days_that_follow_are_in_one_period_or_in_neighbours(day: date, every: str) -> None:
    step = Period.of(day + timedelta(days=1), every).number - Period.of(day, every).number
    assert step in (0, 1)


@pytest.mark.parametrize(
    "name",
    ["", "2026", "2026-13", "2026-00", "2026-1", "2026-11-01", " 2026-11", "2026-11\n", "²026-11"],
)
def test_what_is_no_month_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="2026-11"):
        Period.parse(name, "month")


def test_a_moment_is_in_the_period_of_the_calendars_zone() -> None:
    moment = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert str(MONTHS.period_of(moment)) == "2026-12"
    assert str(Calendar("month", "Europe/Madrid").period_of(moment)) == "2027-01"
    assert str(Calendar("year", "America/Lima").period_of(moment)) == "2026"
    assert (
        str(Calendar("month", "Europe/Madrid").period_of(moment.replace(tzinfo=None))) == "2026-12"
    )


def test_a_period_begins_at_midnight_in_its_zone() -> None:
    begin = Calendar("month", "Europe/Madrid").begins(Period.parse("2026-11", "month"))
    assert begin == datetime(2026, 10, 31, 23, tzinfo=UTC)


def test_the_ends_of_time_have_periods() -> None:
    lima, kyoto = Calendar("day", "America/Lima"), Calendar("day", "Asia/Tokyo")
    assert str(lima.period_of(datetime.min.replace(tzinfo=UTC))) == "0001-01-01"
    assert str(kyoto.period_of(datetime.max.replace(tzinfo=UTC))) == "9999-12-31"
    assert MONTHS.before(date.min) is None


numbers = st.none() | st.integers(0, 30)
spans = st.builds(lambda pairs: Spans.of(*pairs), st.lists(st.tuples(numbers, numbers), max_size=4))


@given(spans, spans, st.integers(-1, 31))
def test_spans_are_sets(one: Spans, other: Spans, number: int) -> None:
    period = Period("day", number)
    assert (period in (one & other)) == (period in one and period in other)
    assert (period in (one | other)) == (period in one or period in other)


@given(spans, spans)
def test_equal_sets_are_equal_spans(one: Spans, other: Spans) -> None:
    assert one | other == other | one
    assert one & (one | other) == one


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def touched(*args: Q, calendar: Calendar = MONTHS, **kwargs: object) -> str:
    """The months that a filter touches, as text: "2026-10..2026-12, 2027-02..", "all", "none"."""
    found = spans_of(Reading._base_manager.filter(*args, **kwargs).query, FIELD, calendar)
    if found in (ALWAYS, NEVER):
        return "all" if found == ALWAYS else "none"
    return ", ".join(
        "..".join("" if end is None else str(Period(calendar.every, end)) for end in pair)
        for pair in found.pairs
    )


DECEMBER, LATER = at("2026-12-01"), at("2026-12-15T12:00")


@pytest.mark.parametrize(
    ("condition", "months"),
    [
        (Q(taken_at=LATER), "2026-12..2026-12"),
        (Q(taken_at__gte=DECEMBER), "2026-12.."),
        (Q(taken_at__gt=DECEMBER), "2026-12.."),
        (Q(taken_at__lt=DECEMBER), "..2026-11"),
        (Q(taken_at__lte=DECEMBER), "..2026-12"),
        (Q(taken_at__lt=LATER), "..2026-12"),
        (Q(taken_at__range=(at("2026-10-31"), DECEMBER)), "2026-10..2026-12"),
        (Q(taken_at__range=(DECEMBER, at("2026-10-31"))), "none"),
        (Q(taken_at__in=[DECEMBER, at("2026-10-31")]), "2026-10..2026-10, 2026-12..2026-12"),
        (Q(taken_at__in=[]), "none"),
        (Q(taken_at__isnull=True), "none"),
        (Q(taken_at__isnull=False), "all"),
        (Q(taken_at__gte=DECEMBER, taken_at__lt=at("2027-01-01")), "2026-12..2026-12"),
        (Q(taken_at__gte=DECEMBER) & Q(value=1), "2026-12.."),
        (Q(taken_at__gte=DECEMBER) | Q(value=1), "all"),
        (Q(taken_at=LATER) | Q(taken_at=at("2026-10-31")), "2026-10..2026-10, 2026-12..2026-12"),
        (Q(taken_at=LATER) ^ Q(taken_at=at("2026-10-31")), "2026-10..2026-10, 2026-12..2026-12"),
        (~Q(taken_at__lt=DECEMBER), "2026-12.."),
        (~Q(taken_at__gte=DECEMBER), "..2026-11"),
        (~Q(taken_at=LATER), "all"),
        (~Q(taken_at__gte=DECEMBER, value=1), "all"),
        (~Q(~Q(taken_at__lt=DECEMBER)), "all"),
        (Q(taken_at__year=2026), "2026-01..2026-12"),
        (Q(taken_at__year__gt=2026), "2026-01.."),
        (Q(taken_at__year__lt=2026), "..2025-12"),
        (Q(taken_at__year=0), "all"),
        (Q(taken_at__date=date(2026, 12, 31)), "2026-12..2026-12"),
        (Q(taken_at__date__lt=date(2026, 12, 1)), "..2026-11"),
        (Q(taken_at__date__range=(date(2026, 12, 31), date(2027, 1, 1))), "2026-12..2027-01"),
        (Q(taken_at__month=12), "all"),
        (Q(taken_at__gt=F("taken_at") + timedelta(days=1)), "all"),
        (Q(value=3), "all"),
        (Q(), "all"),
    ],
)
def test_conditions_touch_periods(condition: Q, months: str) -> None:
    with timezone.override(UTC):
        assert touched(condition) == months


def test_a_year_and_a_day_are_those_of_the_zone_that_is_current() -> None:
    with timezone.override(ZoneInfo("America/Lima")):
        assert touched(taken_at__year=2026) == "2026-01..2027-01"
        assert touched(taken_at__date=date(2026, 12, 31)) == "2026-12..2027-01"


def test_without_time_zones_moments_are_taken_as_they_are() -> None:
    with override_settings(USE_TZ=False):
        assert touched(taken_at__date=date(2026, 12, 31)) == "2026-12..2026-12"
        assert touched(taken_at__lt=datetime(2026, 12, 1)) == "..2026-11"  # noqa: DTZ001


def test_no_rows_touch_nothing() -> None:
    assert spans_of(Reading._base_manager.none().query, FIELD, MONTHS) == NEVER


seconds = st.integers(0, 365 * 24 * 3600)
moments = seconds.map(lambda after: at("2020-01-01") + timedelta(seconds=after))
comparisons = st.sampled_from(["exact", "gt", "gte", "lt", "lte"])
leaves = st.builds(lambda name, moment: Q(**{f"taken_at__{name}": moment}), comparisons, moments)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda a, b: a & b, inner, inner)
        | st.builds(lambda a, b: a | b, inner, inner)
        | st.builds(lambda a: ~a, inner)
    ),
    max_leaves=5,
)


@given(conditions, moments, st.sampled_from(["UTC", "Asia/Tokyo", "America/Lima"]))
def test_a_row_that_fits_is_never_missed(condition: Q, moment: datetime, zone: str) -> None:
    calendar = Calendar("month", zone)
    found = spans_of(Reading._base_manager.filter(condition).query, FIELD, calendar)
    if condition_holds(condition, moment):
        assert calendar.period_of(moment) in found


def condition_holds(condition: Q, moment: datetime) -> bool:
    results = []
    for child in condition.children:
        if isinstance(child, Q):
            results.append(condition_holds(child, moment))
            continue
        name, value = child
        results.append(
            {
                "exact": moment == value,
                "gt": moment > value,
                "gte": moment >= value,
                "lt": moment < value,
                "lte": moment <= value,
            }[name.removeprefix("taken_at__")]
        )
    outcome = all(results) if condition.connector == "AND" else any(results)
    return outcome != condition.negated
