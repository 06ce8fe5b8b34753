"""`tenants check`: homes that do not look like the others are named, with what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from domicile.fleet.runs import control as runs
from domicile.fleet.runs.events import HomeEnded
from tests.growing import GROWN, ask, file_tenants, migrations, path_of
from tests.tenants import tenant
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def schemas() -> Iterator[list[University]]:
    with ExitStack() as stack:
        yield [stack.enter_context(tenant(f"check-{number}")) for number in range(1, 5)]


def check(*words: str) -> tuple[str, str]:
    """What it prints, and its complaint."""
    output = StringIO()
    try:
        call_command("tenants", "check", *words, stdout=output)
    except CommandError as error:
        return output.getvalue(), str(error)
    return output.getvalue(), ""


def test_homes_that_are_alike_are_well(schemas: list[University]) -> None:
    assert check() == ("All homes look as they should.\n", "")
    assert check("--json") == ("", "")


def test_an_index_dropped_by_hand_is_named(schemas: list[University], tmp_path: Path) -> None:
    with migrations(tmp_path, GROWN):
        list(runs.migrate_fleet(jobs=1))
        with schemas[2].activate(), connection.cursor() as cursor:
            cursor.execute("DROP INDEX student_name")
        printed, complaint = check()
        assert "check-3: index" in printed
        assert "student_name is missing" in printed
        assert printed.count("\n") == 1
        assert complaint.startswith("1 of the homes do not look as they should")
        (line,) = check("--json")[0].splitlines()
        found = json.loads(line)
        assert (found["alias"], found["model"]) == ("tenant:check-3", "tenant:check-1")
        assert check("--except=check-3")[1] == ""


def test_drift_does_not_break_the_others_replay(schemas: list[University], tmp_path: Path) -> None:
    with schemas[1].activate(), connection.cursor() as cursor:
        cursor.execute("CREATE INDEX made_by_hand ON students_student (name)")
    with migrations(tmp_path, GROWN):
        hows = {
            event.alias: event.how
            for event in runs.migrate_fleet(jobs=1)
            if isinstance(event, HomeEnded)
        }
    assert hows == {
        "tenant:check-1": "captured",
        "tenant:check-2": "django",
        "tenant:check-3": "replayed",
        "tenant:check-4": "replayed",
    }
    assert "made_by_hand is not in the others" in check()[0]


def test_homes_that_have_applied_less_are_no_drift(
    schemas: list[University], tmp_path: Path
) -> None:
    with migrations(tmp_path, GROWN):
        list(runs.migrate_fleet(only=["check-2"], jobs=1))
        assert check()[1] == ""


def test_files_are_compared_with_files(schemas: list[University]) -> None:
    with file_tenants(3):
        assert check()[1] == ""
        ask("uni-002", "ALTER TABLE students_club ADD COLUMN colour TEXT")
        printed, _ = check()
        assert "uni-002: column students_club.colour" in printed


def test_a_home_that_is_not_there_is_told_and_the_others_compared() -> None:
    with file_tenants(3):
        path_of("uni-002").unlink()
        path_of("uni-003").write_bytes(b"no database" * 100)
        printed, complaint = check()
        assert "uni-002: cannot be read: " in printed
        assert "uni-003: cannot be read: " in printed
        assert complaint.startswith("2 of the homes")
