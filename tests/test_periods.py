"""Rows in a home for each month: written, read, kept apart."""

from __future__ import annotations

import threading
import unittest
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.db.models import Avg, Case, Count, F, Max, Min, Q, QuerySet, StdDev, Sum, Value, When
from django.db.models.functions import TruncMonth
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from domicile.exceptions import (
    HomeExists,
    NotSupported,
    PeriodChanged,
    PeriodMissing,
    PeriodRequired,
    TooManyPeriods,
)
from domicile.periods.homes import PeriodHomes, homes_of
from domicile.placement import Placement
from domicile.routing import lodging_of
from domicile.rules import Apps
from tests import servers
from tests.databases import migrate
from tests.periods import KINDS, at, monthly, readings
from tests.tenants import tenant
from tests.testproject.sensors.models import Reading, Sensor

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])
AUTUMN = {"taken_at__gte": at("2026-09-01"), "taken_at__lt": at("2026-12-01")}


@pytest.fixture(params=list(KINDS))
def homes(request: pytest.FixtureRequest) -> Iterator[PeriodHomes]:
    """Homes of each kind."""
    if KINDS[request.param] != "sqlite":
        servers.require(KINDS[request.param])
    with monthly(request.param, changed="move") as found:
        yield found


@pytest.fixture
def schemas() -> Iterator[PeriodHomes]:
    with monthly() as found:
        yield found


def autumn() -> list[Reading]:
    """A reading a day for 72 days from 20 September on: 11, 31 and 30 of them in a month."""
    return Reading.objects.bulk_create(readings("2026-09-20", 72))


def values(queryset: Any) -> list[int]:
    return [row.value for row in queryset]


def there(homes: PeriodHomes) -> list[str]:
    return [str(period) for period in homes.there()]


# On every kind of home -------------------------------------------------------------------------


def test_bulk_create_splits_and_a_range_comes_back_as_one(homes: PeriodHomes) -> None:
    rows = autumn()
    assert there(homes) == ["2026-09", "2026-10", "2026-11"]
    counts = [Reading.objects.using(homes.alias(period)).count() for period in homes.there()]
    assert counts == [11, 31, 30]
    assert {row._state.db for row in rows} == {homes.alias(period) for period in homes.there()}

    everything = Reading.objects.filter(**AUTUMN)
    assert (everything.count(), everything.exists(), len(everything)) == (72, True, 72)
    assert values(everything.order_by("taken_at")) == list(range(72))
    assert values(everything.order_by("-taken_at")[:50]) == list(range(71, 21, -1))
    assert values(everything.order_by("taken_at")[5:15]) == list(range(5, 15))
    assert values(everything.order_by("-value")[30:45]) == list(range(41, 26, -1))
    assert everything.aggregate(total=Sum("value"), mean=Avg("value")) == {
        "total": 71 * 72 // 2,
        "mean": 35.5,
    }


def test_rows_are_saved_read_changed_and_deleted_at_home(homes: PeriodHomes) -> None:
    row = Reading.objects.create(taken_at=at("2026-11-30T23:59:59"), value=1)
    assert row._state.db == "period:months:2026-11"
    row.value = 2
    row.save()
    row.refresh_from_db()
    assert row.value == 2
    assert Reading.objects.get(taken_at=row.taken_at) == row
    row.delete()
    assert not Reading.objects.filter(**AUTUMN).exists()


def test_a_row_moves_with_its_time(homes: PeriodHomes) -> None:
    row = Reading.objects.create(taken_at=at("2026-11-30T23:59:59"), value=1)
    row.taken_at += timedelta(seconds=1)
    row.save()
    assert row._state.db == "period:months:2026-12"
    assert Reading.objects.using("period:months:2026-11").count() == 0
    assert Reading.objects.using("period:months:2026-12").get() == row
    assert not row._state.adding


def test_a_missing_home_is_made_inside_a_transaction(homes: PeriodHomes) -> None:
    with transaction.atomic("timeseries"), transaction.atomic():
        Reading.objects.create(taken_at=at("2026-11-30"), value=1)
    assert Reading.objects.filter(**AUTUMN).count() == 1
    homes.forget()
    assert there(homes) == ["2026-11"]


def test_what_a_killed_process_left_is_made_anew(homes: PeriodHomes) -> None:
    period = homes.calendar.parse("2026-11")
    site = homes.site(period)
    site.store.create(site.name)
    assert there(homes) == []
    assert list(Reading.objects.filter(**AUTUMN)) == []
    Reading.objects.create(taken_at=at("2026-11-30"))
    assert there(homes) == ["2026-11"]


def test_what_was_killed_before_its_last_step_is_made_anew(homes: PeriodHomes) -> None:
    recorder = "domicile.periods.making.MigrationRecorder.record_applied"
    with mock.patch(recorder, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        Reading.objects.create(taken_at=at("2026-11-30"))
    assert there(homes) == []
    Reading.objects.create(taken_at=at("2026-11-30"))
    assert there(homes) == ["2026-11"]


def test_a_home_with_rows_that_is_not_ours_is_left_alone(homes: PeriodHomes) -> None:
    row = Reading.objects.create(taken_at=at("2026-11-30"))
    with connections[row._state.db].cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = %s", ["domicile: period"])
    homes.forget()
    with pytest.raises(HomeExists, match="has rows"):
        Reading.objects.create(taken_at=at("2026-11-29"))


def test_writers_of_a_new_month_make_its_home_once(homes: PeriodHomes) -> None:
    moments = [at("2026-11-01") + timedelta(days=number) for number in range(4)]
    barrier, faults = threading.Barrier(4), []

    def write(moment: Any) -> None:
        try:
            barrier.wait()
            Reading.objects.create(taken_at=moment)
        except BaseException as fault:
            faults.append(fault)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=[moment]) for moment in moments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert Reading.objects.filter(**AUTUMN).count() == 4


def test_a_home_that_another_process_made_or_dropped_is_noticed(homes: PeriodHomes) -> None:
    autumn()
    assert Reading.objects.filter(**AUTUMN).count() == 72
    other = PeriodHomes(homes.placement, homes.calendar)
    other.make(other.calendar.parse("2026-12"))
    assert Reading.objects.filter(taken_at__gte=at("2026-09-01")).aliases()[-1].endswith("2026-12")
    site = other.site(other.calendar.parse("2026-09"))
    connections.forget("period:months:2026-09")
    site.drop()
    assert Reading.objects.filter(taken_at__gte=at("2026-09-01")).count() == 61


# Reading ---------------------------------------------------------------------------------------


def test_only_the_homes_of_the_range_are_asked(schemas: PeriodHomes) -> None:
    autumn()
    rows = Reading.objects.filter(taken_at__range=(at("2026-10-05"), at("2026-11-05")))
    assert rows.aliases() == ["period:months:2026-10", "period:months:2026-11"]
    assert rows.count() == 32
    assert Reading.objects.filter(taken_at__gte=at("2027-01-01")).aliases() == []
    assert Reading.objects.filter(taken_at__year=2027).aggregate(n=Count("id")) == {"n": 0}
    assert Reading.objects.filter(taken_at__year=2027).first() is None
    assert Reading.objects.filter(taken_at__year=2027).delete()[0] == 0


def test_homes_beyond_the_slice_are_not_asked(schemas: PeriodHomes) -> None:
    autumn()
    rows = Reading.objects.filter(**AUTUMN).order_by("-taken_at")
    rows.aliases()
    with CaptureQueriesContext(connections["timeseries"]) as queries:
        assert values(rows[:20]) == list(range(71, 51, -1))
    assert len(queries) == 1
    with CaptureQueriesContext(connections["timeseries"]) as queries:
        assert values(rows[35:40]) == list(range(36, 31, -1))
    assert ["COUNT" in query["sql"] for query in queries] == [True, True, False]


@pytest.mark.parametrize("order", ["taken_at", "-taken_at", "value", "-value"])
def test_slices(schemas: PeriodHomes, order: str) -> None:
    autumn()
    everything = list(range(72))[:: -1 if order.startswith("-") else 1]
    rows = Reading.objects.filter(**AUTUMN).order_by(order)
    for low, high in product([0, 5, 11, 40, 42, 71, 72, 90], [3, 11, 12, 42, 43, 72, 100, None]):
        if high is None or low <= high:
            expected = everything[low:high]
            assert values(rows[low:high]) == expected, (low, high)
            assert rows[low:high].count() == len(expected)
            assert rows[low:high].exists() == bool(expected)


@pytest.fixture
def reading_days(schemas: PeriodHomes) -> PeriodHomes:
    """Readings that differ in more than their time: each by its value, the number of its day."""
    rows = readings("2026-09-20", 72)
    for row in rows:
        row.unit = "bAäa"[row.value % 4]
        row.sensor_id = 7 if row.value % 2 else None
    Reading.objects.bulk_create(rows)
    return schemas


def test_other_orders(reading_days: PeriodHomes) -> None:
    rows = Reading.objects.filter(**AUTUMN)
    found = [(row.unit, row.value) for row in rows.order_by("unit", "-value")]
    assert found == sorted(found, key=lambda row: (row[0], -row[1]))
    with_nulls = rows.order_by(F("sensor_id").desc(nulls_last=True), "value")
    assert [row.sensor_id for row in with_nulls] == [7] * 36 + [None] * 36
    assert [row.sensor_id for row in rows.order_by("-sensor_id")] == [None] * 36 + [7] * 36
    assert [row.sensor_id for row in rows.order_by("sensor_id")] == [7] * 36 + [None] * 36
    backwards = rows.order_by("value").reverse()
    assert values(backwards) == list(range(71, -1, -1))
    assert not any(name.startswith("domicile") for name in vars(backwards[0]))
    case = Case(When(value__gt=60, then=Value(0)), default=Value(1))
    assert values(rows.order_by(case, "value")[:12]) == [*range(61, 72), 0]
    with pytest.raises(NotSupported, match=r"\?"):
        list(rows.order_by("?"))


def test_text_is_in_one_order_whatever_the_server_holds_for_it() -> None:
    servers.require("mariadb")
    with monthly("mariadb"):
        rows = readings("2026-09-20", 72)
        for row in rows:
            row.unit = "bAäa"[row.value % 4]
        Reading.objects.bulk_create(rows)
        units = Reading.objects.filter(**AUTUMN).order_by("unit").values_list("unit", flat=True)
        assert list(units) == ["A"] * 18 + ["a"] * 18 + ["b"] * 18 + ["ä"] * 18


def test_shapes_of_rows(reading_days: PeriodHomes) -> None:
    rows = Reading.objects.filter(taken_at__range=(at("2026-09-29"), at("2026-10-03")))
    assert list(rows.order_by("-value").values_list("value", flat=True)) == [13, 12, 11, 10, 9]
    assert list(rows.order_by("taken_at").values_list("value", flat=True)) == [9, 10, 11, 12, 13]
    assert list(rows.order_by("-value").values("value")[:2]) == [{"value": 13}, {"value": 12}]
    assert list(rows.order_by("-value").values_list("unit", "value")[:1]) == [("A", 13)]
    named = rows.order_by("-value").values_list("unit", "value", named=True)[0]
    assert (named.unit, named.value, len(named)) == ("A", 13, 2)
    whole = rows.order_by("-value").values()[0]
    assert list(whole) == [field.attname for field in Reading._meta.fields]
    assert rows.order_by("value").last().value == 13
    assert rows.latest("taken_at").value == 13
    assert rows.earliest("value").value == 9
    only = rows.order_by("value").only("value")
    assert only[0].get_deferred_fields() >= {"unit", "taken_at"}
    assert sorted(rows.values_list("unit", flat=True).distinct()) == ["A", "a", "b", "ä"]
    assert rows.order_by("unit").values("unit").distinct().count() == 4
    assert list(rows.order_by("-unit").values_list("unit").distinct()[:2]) == [("ä",), ("b",)]
    assert next(iter(rows.annotate(twice=F("value") * 2).order_by("-twice"))).twice == 26
    days = rows.datetimes("taken_at", "month", tzinfo=ZoneInfo("UTC"))
    assert [day.month for day in days] == [9, 10]


def test_aggregates(reading_days: PeriodHomes) -> None:
    rows = Reading.objects.filter(**AUTUMN)
    found = rows.aggregate(
        Count("id"),
        Max("value"),
        first=Min("taken_at"),
        some=Count("id", filter=Q(value__lt=15)),
        mean=Avg("value", filter=Q(value__lt=15)),
        none=Sum("value", filter=Q(value__gt=99)),
        zero=Sum("value", filter=Q(value__gt=99), default=0),
        nothing=Avg("value", filter=Q(value__gt=99), default=Decimal(3)),
        decimal=Sum(F("value") * Decimal("0.5")),
    )
    assert found == {
        "id__count": 72,
        "value__max": 71,
        "first": at("2026-09-20"),
        "some": 15,
        "mean": 7.0,
        "none": None,
        "zero": 0,
        "nothing": Decimal(3),
        "decimal": Decimal(1278),
    }
    for unmergeable in (StdDev("value"), Count("unit", distinct=True), Sum("value") / 2):
        with pytest.raises(NotSupported):
            rows.aggregate(it=unmergeable)
        assert rows.filter(taken_at__lt=at("2026-10-01")).aggregate(it=unmergeable)["it"]


def test_groups(reading_days: PeriodHomes) -> None:
    rows = Reading.objects.filter(**AUTUMN)
    groups = rows.values("unit").annotate(n=Count("id"), top=Max("value")).order_by("-top")
    assert [group["n"] for group in groups] == [18] * 4
    assert [group["top"] for group in groups] == [71, 70, 69, 68]
    assert groups.count() == 4
    assert [group["top"] for group in groups[1:3]] == [70, 69]
    listed = rows.values_list("unit").annotate(n=Count("id")).order_by("unit")
    assert list(listed) == [("A", 18), ("a", 18), ("b", 18), ("ä", 18)]
    with pytest.raises(NotSupported, match="grouped"):
        list(groups.values_list("top", flat=True))
    months = rows.values(month=TruncMonth("taken_at", tzinfo=ZoneInfo("UTC")))
    counted = months.annotate(n=Count("id")).order_by("month")
    assert [group["n"] for group in counted] == [11, 31, 30]
    with pytest.raises(NotSupported, match="Avg"):
        list(rows.values("unit").annotate(mean=Avg("value")))
    with pytest.raises(NotSupported, match="filter"):
        list(rows.values("unit").annotate(n=Count("id")).filter(n__gt=3))


def test_rows_one_after_the_other(reading_days: PeriodHomes) -> None:
    rows = Reading.objects.filter(**AUTUMN).order_by("-taken_at")
    assert values(rows.iterator(chunk_size=7)) == list(range(71, -1, -1))
    assert values(rows.order_by("value").iterator(chunk_size=7)) == list(range(72))

    async def read() -> list[int]:
        return [row.value async for row in rows.aiterator(chunk_size=7)]

    assert async_to_sync(read)() == list(range(71, -1, -1))
    assert async_to_sync(rows.acount)() == 72
    assert set(rows.in_bulk([rows[0].pk, rows[60].pk])) == {rows[0].pk, rows[60].pk}
    assert rows.contains(rows[40])
    assert "period:months:2026-11" in rows.explain()


def test_parts_of_other_queries(reading_days: PeriodHomes) -> None:
    november = Reading.objects.filter(taken_at__gte=at("2026-11-01"), taken_at__lt=at("2026-12-01"))
    inner = Reading.objects.filter(**AUTUMN)
    assert november.filter(pk__in=november.filter(value__gt=60)).count() == 11
    with pytest.raises(NotSupported, match="one home"):
        list(november.filter(pk__in=inner.values("pk")))
    with pytest.raises(NotSupported, match=r"union\(\) needs"):
        inner.union(november)
    both = november.filter(value=70).union(november.filter(value=71))
    assert sorted(values(both)) == [70, 71]


def test_a_query_that_names_no_range_is_refused_if_declared() -> None:
    with monthly(unbounded="refuse"):
        row = Reading.objects.create(taken_at=at("2026-11-30"))
        everything = Reading.objects.all()
        for read in (everything.count, everything.exists, everything.first, everything.delete):
            with pytest.raises(PeriodRequired, match="fan_out"):
                read()
        with pytest.raises(PeriodRequired):
            Reading.objects.filter(value=1).update(value=2)
        with pytest.raises(PeriodRequired, match="PeriodManager"):
            Reading._base_manager.count()
        assert Reading.objects.using("period:months:2026-11").get() == row
        assert Reading.objects.using("period:months:2026-11").filter(value=None).update(value=2)
        row.refresh_from_db()
        assert row.value == 2
        row.full_clean(exclude=["sensor"])
        twin = Reading(pk=row.pk, taken_at=at("2026-11-29"))
        with pytest.raises(ValidationError, match="already exists"):
            twin.full_clean(exclude=["sensor"])


def test_too_many_periods_are_refused() -> None:
    with monthly("files", every="day", max_periods=8) as days:
        Reading.objects.bulk_create(readings("2026-11-01", 9))
        assert len(days.there()) == 9
        with pytest.raises(TooManyPeriods, match="touches 9 periods"):
            Reading.objects.count()
        assert Reading.objects.filter(taken_at__gte=at("2026-11-02")).count() == 8


def test_as_many_homes_as_a_rule_allows_are_read_as_one() -> None:
    """More than a process may have connections."""
    with monthly("files", every="day"):
        Reading.objects.bulk_create(readings("2025-06-01", 500))
        rows = Reading.objects.filter(taken_at__gte=at("2025-06-01"))
        assert values(rows.order_by("-value")) == list(range(499, -1, -1))
        assert values(rows.order_by("-taken_at")[:3]) == [499, 498, 497]
        assert rows.aggregate(whole=Sum("value"), rows=Count("pk")) == {
            "whole": sum(range(500)),
            "rows": 500,
        }
        assert sum(wrapper.connection is not None for wrapper in connections.all()) <= 105
        Reading.objects.bulk_create(readings("2026-11-01", 1))
        with pytest.raises(TooManyPeriods, match="touches 501 periods"):
            rows.count()


# Writing ---------------------------------------------------------------------------------------


def test_a_row_without_time_is_refused(schemas: PeriodHomes) -> None:
    for moment in (None, F("value")):
        with pytest.raises(PeriodRequired, match="taken_at"):
            Reading(taken_at=moment).save()
    with pytest.raises(PeriodRequired):
        Reading.objects.bulk_create([Reading(taken_at=at("2026-11-30")), Reading()])
    assert there(schemas) == []


def test_a_row_that_leaves_its_month_is_refused_unless_declared(schemas: PeriodHomes) -> None:
    row = Reading.objects.create(taken_at=at("2026-11-30"), value=1)
    row.taken_at = at("2026-12-01")
    with pytest.raises(PeriodChanged, match="changed='move'"):
        row.save()
    with pytest.raises(PeriodChanged):
        Reading.objects.bulk_update([row], ["taken_at"])
    with pytest.raises(PeriodChanged):
        Reading.objects.filter(**AUTUMN).update(taken_at=at("2026-12-01"))
    row.value = 5
    row.save(update_fields=["value"])
    row.refresh_from_db()
    assert (row.value, row.taken_at) == (5, at("2026-11-30"))
    with pytest.raises(PeriodChanged, match="in the home of 2026-10"):
        Reading(taken_at=at("2026-11-01")).save(using="period:months:2026-10")
    row.taken_at = at("2026-11-02")
    Reading.objects.bulk_update([row], ["taken_at"])
    assert Reading.objects.filter(**AUTUMN).update(taken_at=at("2026-11-03")) == 1
    assert Reading.objects.defer("taken_at").get(pk=row.pk).save() is None


def test_a_move_is_whole_or_not_at_all() -> None:
    with monthly(changed="move"):
        row = Reading.objects.create(taken_at=at("2026-11-30"), value=1)
        Reading.objects.create(pk=row.pk, taken_at=at("2026-12-30"))
        row.taken_at = at("2026-12-01")
        with pytest.raises(Exception, match="unique"):
            row.save()
        assert row._state.db == "period:months:2026-11"
        assert Reading.objects.using("period:months:2026-11").get() == row
        Reading.objects.using("period:months:2026-12").all().delete()
        cut_off = mock.patch.object(QuerySet, "_raw_delete", side_effect=KeyboardInterrupt)
        with cut_off, pytest.raises(KeyboardInterrupt):
            row.save()
        assert not Reading.objects.using("period:months:2026-12").exists()
        with pytest.raises(PeriodChanged, match="whole"):
            row.save(update_fields=["taken_at"])


def test_bulk_create_is_all_or_nothing_in_one_database(schemas: PeriodHomes) -> None:
    rows = readings("2026-10-25", 10)
    rows[-1].pk = rows[-2].pk
    with pytest.raises(Exception, match="unique"):
        Reading.objects.bulk_create(rows)
    assert Reading.objects.count() == 0


def test_a_home_that_was_rolled_back_is_made_again(schemas: PeriodHomes) -> None:
    with transaction.atomic("timeseries"):
        Reading.objects.create(taken_at=at("2026-11-30"))
        assert Reading.objects.count() == 1
        transaction.set_rollback(True, "timeseries")
    # Nobody asks in between which homes there are: what is known must be right.
    Reading.objects.create(taken_at=at("2026-11-30"))
    assert Reading.objects.count() == 1


def test_updates_and_deletes_go_to_the_range(schemas: PeriodHomes) -> None:
    autumn()
    october = Reading.objects.filter(taken_at__gte=at("2026-10-01"))
    assert october.filter(value__lt=20).update(unit="K") == 9
    assert Reading.objects.filter(unit="K").count() == 9
    rows = list(october.filter(unit="K"))
    for row in rows:
        row.unit = "C"
    assert Reading.objects.bulk_update(rows, ["unit"]) == 9
    assert october.filter(unit="C").delete() == (9, {"sensors.Reading": 9})
    assert Reading.objects.count() == 63


def test_get_or_create_by_time(schemas: PeriodHomes) -> None:
    moment = at("2026-11-30")
    assert Reading.objects.get_or_create(taken_at=moment, defaults={"value": 1})[1]
    assert not Reading.objects.get_or_create(taken_at=moment, defaults={"value": 1})[1]
    row, is_new = Reading.objects.update_or_create(taken_at=moment, defaults={"value": 3})
    assert (row.value, is_new) == (3, False)
    with pytest.raises(PeriodRequired):
        Reading.objects.get_or_create(value=3, defaults={"taken_at": moment})


def test_what_may_not_be_made_is_refused() -> None:
    with monthly(missing="refuse") as homes:
        with pytest.raises(PeriodMissing, match="partitions ensure --period 2026-11"):
            Reading.objects.create(taken_at=at("2026-11-30"))
        homes.make(homes.calendar.parse("2026-11"))
        Reading.objects.create(taken_at=at("2026-11-30"))
    with monthly(ahead=2) as homes:
        begin = homes.calendar.begins
        Reading.objects.create(taken_at=begin(homes.now().plus(2)))
        with pytest.raises(PeriodMissing, match="further ahead"):
            Reading.objects.create(taken_at=begin(homes.now().plus(3)))
        with pytest.raises(PeriodMissing, match="further ahead"):
            Reading.objects.create(taken_at="9999-12-31T00:00Z")
    with monthly(keep=3) as homes:
        begin = homes.calendar.begins
        Reading.objects.create(taken_at=begin(homes.now().plus(-2)))
        with pytest.raises(PeriodMissing, match="older"):
            Reading.objects.create(taken_at=begin(homes.now().plus(-3)))


def test_months_begin_in_the_zone_of_the_rule() -> None:
    with monthly(time_zone="Europe/Madrid") as homes:
        Reading.objects.create(taken_at=at("2026-12-31T23:30"), value=1)
        assert there(homes) == ["2027-01"]
        assert Reading.objects.filter(taken_at__lt=at("2026-12-31T23:00")).aliases() == []
        assert Reading.objects.filter(taken_at__gte=at("2026-12-31T23:00")).get().value == 1


# Beside other rules ----------------------------------------------------------------------------


def test_tables_are_in_the_homes_of_periods_alone(schemas: PeriodHomes) -> None:
    assert router.allow_migrate_model("period:months:2026-11", Reading)
    assert not router.allow_migrate_model("timeseries", Reading)
    assert not router.allow_migrate_model("default", Reading)
    assert not router.allow_migrate_model("period:months:2026-11", Sensor)
    assert not router.allow_migrate_model("period:others:2026-11", Reading)
    assert lodging_of(Reading).alias == "timeseries"


def test_the_router_names_the_home_of_an_instance(schemas: PeriodHomes) -> None:
    row = Reading(taken_at=at("2026-11-30"))
    assert router.db_for_write(Reading, instance=row) == "period:months:2026-11"
    assert there(schemas) == []
    row.save()
    row.taken_at = at("2026-10-30")
    assert router.db_for_read(Reading, instance=row) == "period:months:2026-11"
    assert router.db_for_write(Reading, instance=row) == "period:months:2026-11"


def test_homes_of_periods_are_no_tenants(schemas: PeriodHomes) -> None:
    template = schemas.template
    assert (template.houses_periods, template.locate("2026_11")) == (True, "readings_2026_11")
    home = connections["period:months:2026-11"].home
    assert home.placement == Placement("months", "2026_11")
    assert homes_of("months") is schemas


def test_without_a_rule_the_manager_is_like_any_other() -> None:
    row = Reading.objects.create(taken_at=at("2026-11-30"))
    assert row._state.db == "default"
    assert Reading.objects.all().aliases() == ["default"]
    assert Reading.objects.update(value=3) == 1
    assert Reading.objects.all().delete()[0] == 1


def test_the_rows_of_a_sensor_are_found_by_it() -> None:
    with monthly(more=[Apps({"sensors.Sensor": "timeseries"})]):
        migrate("timeseries")
        sensor = Sensor.objects.create(name="roof")
        first = sensor.readings.create(taken_at=at("2026-10-30"), value=1)
        Reading.objects.bulk_create(readings("2026-10-31", 3, sensor=sensor))
        assert sensor.readings.filter(**AUTUMN).count() == 4
        assert sensor.readings.order_by("-taken_at").first().value == 2
        assert Reading.objects.filter(sensor__name="roof").count() == 4
        rows = Reading.objects.select_related("sensor").filter(**AUTUMN).order_by("-value")
        with CaptureQueriesContext(connections["timeseries"]) as queries:
            assert {row.sensor.name for row in rows} == {"roof"}
        assert len(queries) <= 3
        rows = Reading.objects.prefetch_related("sensor").filter(**AUTUMN)
        assert {row.sensor for row in rows} == {sensor}
        assert {row.sensor for row in rows.iterator(chunk_size=2)} == {sensor}
        (read,) = Sensor.objects.prefetch_related("readings")
        assert len(read.readings.all()) == 4
        assert list(rows.order_by("sensor__name", "-value").values_list("value")[:1]) == [(2,)]
        first.sensor = sensor
        first.save()


def test_strict_transactions_take_homes_of_one_session_for_one() -> None:
    with monthly(WRITES_OUTSIDE_ATOMIC="error"), transaction.atomic("timeseries"):
        autumn()
        Reading.objects.create(taken_at=at("2026-12-01"))
        assert Reading.objects.update(value=1) == 73


def test_the_active_tenant_does_not_matter(schemas: PeriodHomes) -> None:
    with tenant("acme") as acme, acme.activate():
        rows = Reading.objects.bulk_create(readings("2026-10-25", 10))
        assert {row._state.db for row in rows} == {
            "period:months:2026-10",
            "period:months:2026-11",
        }
        assert Reading.objects.filter(**AUTUMN).count() == 10
        rows[0].value = 77
        rows[0].save()
    assert Reading.objects.filter(**AUTUMN).aggregate(Max("value")) == {"value__max": 77}


def test_a_test_case_rolls_back_what_it_wrote(schemas: PeriodHomes) -> None:
    class Readings(TestCase):
        databases = ("default", "timeseries")

        def runTest(self) -> None:
            autumn()
            assert Reading.objects.count() == 72
            row = Reading.objects.first()
            row.save()

    result = unittest.TestResult()
    unittest.TestSuite([Readings()]).run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])
    assert there(schemas) == []
