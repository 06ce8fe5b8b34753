"""The homes by time of tenants, in what is done to the whole fleet."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

import domicile
from domicile.fleet.runs import control as runs
from domicile.fleet.runs.events import HomeEnded, RunEnded, RunStarted
from domicile.periods.homes import homes_of
from domicile.records import MigrationRunHome
from tests.marks import applied, by_month, fill, kind, two_tenants, unapply, write
from tests.testproject.marks.models import Mark

__all__ = ["kind"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

MONTH = "tenant:acme/marks:2026-10"


def tenants(*words: str) -> str:
    output = io.StringIO()
    call_command("tenants", *words, stdout=output)
    return output.getvalue()


def test_a_month_that_is_behind_is_seen_though_its_tenant_is_not(kind: str) -> None:
    with two_tenants(kind) as (acme, globex):
        for tenant in (acme, globex):
            write(tenant, "2026-10-01", "2026-11-01")
        unapply(MONTH)
        printed = tenants("migrate", "--plan")
        assert (
            f"1 of the homes at tenant:*/marks, such as {MONTH}:\n  marks.0001_initial" in printed
        )
        assert "1 with nothing to do." in printed
        planned = json.loads(tenants("migrate", "--plan", "--json"))
        assert planned["pending"] == [
            {
                "migrations": ["marks.0001_initial"],
                "homes": 1,
                "example": MONTH,
                "place": "tenant:*/marks",
            }
        ]
        assert ("marks", "0001_initial") not in applied(MONTH)
        printed = tenants("migrate")
        assert ": 1 home to migrate with 1 by time, 1 with nothing to do." in printed
        assert "Migrated 1 of 1 homes and 1 by time in " in printed
        assert ("marks", "0001_initial") in applied(MONTH)
        assert Mark.objects.using(MONTH).count() == 0
        assert Mark.objects.using(globex.alias).count() == 2
        assert "Nothing to do in 2 homes." in tenants("migrate")


def test_the_record_of_a_run_tells_of_months() -> None:
    with two_tenants() as (acme, globex):
        write(acme, "2026-10-01", "2026-11-01")
        write(globex, "2026-10-01")
        for alias in (MONTH, "tenant:acme/marks:2026-11", globex.alias):
            unapply(alias)
        started, *ended_homes, ended = runs.migrate_fleet(jobs=1)
        assert isinstance(started, RunStarted)
        assert isinstance(ended, RunEnded)
        assert (started.homes, started.by_time) == (2, 2)
        by_alias = {each.alias: each for each in ended_homes if isinstance(each, HomeEnded)}
        told = by_alias[acme.alias]
        assert (told.how, told.by_time) == ("captured", 2)
        assert told.migrations == ("marks.0001_initial",)
        assert by_alias[globex.alias].by_time == 0
        assert (ended.done, ended.by_time) == (2, 2)
        printed = tenants("migrations", "status")
        assert "2 at tenant:*/marks: marks.0001_initial" in printed
        assert "2 done, 0 failed, 0 running, 0 waiting, 0 unchanged, 2 by time" in printed


def test_the_tables_of_all_databases_name_months() -> None:
    with two_tenants() as (acme, globex):
        for tenant in (acme, globex):
            write(tenant, "2026-10-01", "2026-11-01")
        unapply(MONTH)
        output = io.StringIO()
        call_command("databases", "plan", stdout=output)
        assert "tenant:*/marks\t1\tmarks.0001_initial\n" in output.getvalue()
        assert "tenant:*/marks\t3\tnothing\n" in output.getvalue()
        output = io.StringIO()
        call_command("databases", "plan", "--only=globex", stdout=output)
        assert "tenant:*/marks\t2\tnothing\n" in output.getvalue()
        assert "marks.0001_initial" not in output.getvalue()
        output = io.StringIO()
        call_command("databases", "migrate", stdout=output)
        assert "tenant:*/marks\t1\tmarks.0001_initial\twith tenants\n" in output.getvalue()
        assert "1 done, 1 by time in" in output.getvalue()


def test_planning_asks_as_much_of_many_tenants_as_of_two() -> None:
    def asked(count: int) -> int:
        for number in range(MigrationRunHome.objects.count(), count):
            fill(domicile.create_tenant(f"uni-{number}-{count}"), 0, 1, 2)
        with CaptureQueriesContext(connections["default"]) as queries:
            assert runs.plan_fleet().pending == 0
        return len(queries)

    with by_month(CLONE=True):
        assert asked(2) == asked(4) < 10


def test_months_that_cannot_be_read_are_no_months_with_nothing_to_do() -> None:
    with two_tenants("files") as (acme, globex):
        for tenant in (acme, globex):
            write(tenant, "2026-10-01")
        homes = homes_of("marks", "acme")
        path = homes.site(homes.calendar.parse("2026-10")).name
        connections[MONTH].close()
        with open(path, "wb") as file:
            file.write(b"no database at all" * 100)
        forecast = runs.plan_fleet()
        assert (forecast.unknown, forecast.unchanged) == (1, 1)
        *_, ended = runs.migrate_fleet()
        assert isinstance(ended, RunEnded)
        assert (ended.failed, ended.unchanged) == (1, 1)
        (error,) = runs.run_status().errors.values()
        assert "not a database" in error


def test_an_error_names_its_month() -> None:
    with two_tenants() as (acme, _):
        write(acme, "2026-10-01")
        unapply(MONTH)
        with connections[MONTH].cursor() as cursor:
            cursor.execute("CREATE TABLE marks_mark (id int)")
        with pytest.raises(CommandError):
            tenants("migrate")
        assert f"In '{MONTH}'." in tenants("migrations", "status")


def test_a_month_that_looks_otherwise_is_told(kind: str) -> None:
    with two_tenants(kind) as (acme, globex):
        for tenant in (acme, globex):
            write(tenant, "2026-09-01", "2026-10-01", "2026-11-01")
        assert "All homes look as they should." in tenants("check")
        with connections[MONTH].cursor() as cursor:
            cursor.execute("ALTER TABLE marks_mark ADD COLUMN odd integer")
        output = io.StringIO()
        with pytest.raises(CommandError, match="1 of the homes"):
            call_command("tenants", "check", stdout=output)
        assert output.getvalue().startswith("acme/marks:2026-10: ")
        assert "odd" in output.getvalue()


def test_a_tenant_whose_months_look_otherwise_is_told(kind: str) -> None:
    with by_month(kind):
        for slug in ("acme", "globex", "initech"):
            write(domicile.create_tenant(slug), "2026-10-01")
        with connections["tenant:globex/marks:2026-10"].cursor() as cursor:
            cursor.execute("ALTER TABLE marks_mark ADD COLUMN odd integer")
        output = io.StringIO()
        with pytest.raises(CommandError, match="1 of the homes"):
            call_command("tenants", "check", stdout=output)
        (line,) = output.getvalue().splitlines()
        assert line == "globex/marks:2026-10: column marks_mark.odd is not in the others"
