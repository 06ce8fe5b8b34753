"""`databases migrate|plan`: what the settings name, then the fleet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from domicile.fleet.runs.databases import static_aliases
from domicile.records import MigrationRun
from tests import servers
from tests.databases import make_database
from tests.growing import GROWN, applied, file_tenants, migrations, spoil
from tests.processes import Command

pytestmark = pytest.mark.django_db(transaction=True)


def databases(*words: str) -> str:
    output = StringIO()
    call_command("databases", *words, stdout=output)
    return output.getvalue()


def rows(printed: str) -> list[list[str]]:
    return [line.split("\t") for line in printed.splitlines() if "\t" in line]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Django writes down that it migrated an app where the routers allow it no table, too."""
    yield
    written = MigrationRecorder(connection).migration_qs
    written.filter(app="students").exclude(name="0001_initial").delete()


def test_only_databases_with_tables_of_their_own_are_meant() -> None:
    assert static_aliases() == ["default"]


def test_a_plan_tells_of_all_and_does_nothing(tmp_path: Path) -> None:
    with file_tenants(3), migrations(tmp_path, GROWN):
        printed = rows(databases("plan"))
        planned = json.loads(databases("plan", "--json"))
        assert applied("uni-001") == ["0001_initial"]
        databases("migrate")
        after = rows(databases("plan"))
    assert printed == [
        ["database", "homes", "pending"],
        ["default", "1", "students.0002_shelf, students.0003_written"],
        ["tenants", "3", "students.0002_shelf, students.0003_written"],
    ]
    assert planned["databases"] == {"default": ["students.0002_shelf", "students.0003_written"]}
    assert planned["tenants"]["pending"][0]["homes"] == 3
    assert after[1:] == [["default", "1", "nothing"], ["tenants", "3", "nothing"]]


def test_the_first_migrate_of_a_project_prints_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    make_database("default", "first_migrate")
    monkeypatch.setenv("TESTPROJECT_DEFAULT", servers.require("default").url("first_migrate"))
    with Command("databases", "migrate") as command:
        assert command.end() == 0
        told, table = command.printed.split("database\thomes", 1)
    assert told == "Nothing to do in 0 homes.\n"
    assert "default\t1\tcontenttypes.0001_initial" in table


def test_all_are_migrated_the_shared_ones_first(tmp_path: Path) -> None:
    with file_tenants(3), migrations(tmp_path, GROWN):
        head, default, fleet = rows(databases("migrate"))
        assert applied("uni-003") == ["0001_initial", "0002_shelf", "0003_written"]
    assert head == ["database", "homes", "migrations", "result"]
    assert default[:3] == ["default", "1", "students.0002_shelf, students.0003_written"]
    assert default[3].startswith("done in ")
    assert fleet[:2] == ["tenants", "3"]
    assert fleet[3].startswith("3 done in ")


def test_the_fleet_is_left_alone_where_a_database_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("django.core.management.commands.migrate.Command.handle", fail)
    output = StringIO()
    with file_tenants(2), migrations(tmp_path, GROWN):
        with pytest.raises(CommandError, match="'default' failed"):
            call_command("databases", "migrate", stdout=output)
        assert applied("uni-001") == ["0001_initial"]
    assert "RuntimeError: no room" in output.getvalue()
    assert "left alone" in output.getvalue()
    assert not MigrationRun.objects.exists()


def test_failures_in_the_fleet_are_in_the_table_and_the_status(tmp_path: Path) -> None:
    output = StringIO()
    with file_tenants(3), migrations(tmp_path, GROWN):
        spoil("uni-002")
        with pytest.raises(CommandError, match="1 failed"):
            call_command("databases", "migrate", stdout=output)
    fleet = rows(output.getvalue())[-1]
    assert fleet[3].startswith("2 done, 1 failed in ")


def test_json_is_a_line_for_each_event(tmp_path: Path) -> None:
    with file_tenants(2), migrations(tmp_path, GROWN):
        events = [json.loads(line) for line in databases("migrate", "--json").splitlines()]
    assert [event["event"] for event in events] == ["database", "started", "home", "home", "ended"]
