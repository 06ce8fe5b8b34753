"""Migrations that are no transaction, killed between their statements, and run again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connections

from domicile.exceptions import HomeCutOff
from domicile.fleet.replay.migrator import HomeMigrator
from domicile.fleet.replay.plan import NEWEST, Target
from tests import chain, servers
from tests.growing import migrations
from tests.processes import FIRST, Forker, eventually
from tests.replaying import (
    FileNotes,
    check_alike,
    facts,
    in_use,
    migrate,
    migrate_by_django,
    tenants,
)
from tests.tenants import DATABASES
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

SCRIPT = """
import os, signal
from domicile.fleet.replay.migrator import HomeMigrator
from domicile.registry import registry
from tests.replaying import FileNotes

class Deadly(FileNotes):
    def write(self, home, note):
        self.left -= 1
        if self.left == 0 and not self.late:
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(home, note)
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def work(path, slugs, left, late):
    tell(pid=os.getpid())
    notes = Deadly(path)
    notes.left, notes.late = left, late
    migrator = HomeMigrator(note=notes)
    for slug in slugs:
        migrator.migrate(registry.by_slug(slug).home)
    tell(done=True)
"""


def killed(doomed: Forker, path: Path, homes: list[University], left: int, *, late: bool) -> bool:
    """Migrate homes in a process that is killed at a note, before or after that is written; tell
    whether it was, or came to its end.
    """
    doomed.fork(path=str(path), slugs=[each.slug for each in homes], left=left, late=late)
    return doomed.was_killed()


@pytest.mark.parametrize(
    ("place", "sources"),
    [("schema", chain.CONCURRENT), ("mariadb", chain.COMMITTING)],
    ids=["schema", "mariadb"],
)
def test_killed_at_each_statement(place: str, sources: dict[str, str], tmp_path: Path) -> None:
    if place == "mariadb":
        servers.require("mariadb")
    notes, left = FileNotes(tmp_path / "notes"), FIRST
    with tenants("accra", "kumasi", "django", placement=place) as (*homes, model):
        with migrations(tmp_path, sources):
            migrate_by_django(model)
            expected = described(model)
            with Forker(SCRIPT) as doomed:
                while killed(doomed, notes.path, homes, left, late=left % 4 > 1):
                    for each in homes:
                        migrate(HomeMigrator(note=notes), each)
                        assert described(each) == expected
                        assert notes.read(each.home) == {}
                        migrate(HomeMigrator(Target("students", "0001")), each)
                    left += 2
            assert [described(each) for each in homes] == [expected] * 2
        assert left > 4


def test_what_is_left_to_do_may_be_a_transaction(tmp_path: Path) -> None:
    """Then too what was noted of a migration that is none is cleared, or it would be believed."""
    notes = FileNotes(tmp_path / "notes")
    with tenants("accra") as (accra,), migrations(tmp_path, chain.CONCURRENT):
        with accra.activate(), connections["default"].cursor() as cursor:
            cursor.execute("CREATE TABLE students_shelf ()")
        with pytest.raises(ProgrammingError, match="students_shelf"):
            HomeMigrator(note=notes).migrate(accra.home)
        assert notes.read(accra.home)["migration"] == "students.0003_concurrent"
        with accra.activate(), connections["default"].cursor() as cursor:
            cursor.execute("DROP TABLE students_shelf")
        assert migrate(HomeMigrator(note=notes), accra) == ["django"]
        assert notes.read(accra.home) == {}


def test_a_half_done_migration_is_not_left_behind(tmp_path: Path) -> None:
    notes = FileNotes(tmp_path / "notes")
    back, there = Target("students", "0001"), Target("students", "0003")
    with tenants("accra", "django") as (accra, model), migrations(tmp_path, chain.CONCURRENT):
        migrate_by_django(model)
        with Forker(SCRIPT) as doomed:
            assert killed(doomed, notes.path, [accra], 2, late=False)
        with pytest.raises(HomeCutOff, match=r"students\.0003_concurrent was cut off half done"):
            HomeMigrator(back, note=notes).migrate(accra.home)
        for target in (there, back, NEWEST):
            HomeMigrator(target, note=notes).migrate(accra.home)
            assert notes.read(accra.home) == {}
        check_alike(accra, model)


def described(one: University) -> Any:
    """What a home looks like and holds; keys aside, since content types stay when models go."""
    with one.activate(), connections[one.alias].cursor() as cursor:
        cursor.execute("SELECT app_label, model FROM django_content_type ORDER BY 1, 2")
        types = cursor.fetchall()
        cursor.execute("SELECT codename FROM auth_permission ORDER BY 1")
        permissions = cursor.fetchall()
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY 1, 2")
        return facts(one), types, permissions, cursor.fetchall()


def test_an_index_whose_making_was_cut_off_is_made_again(tmp_path: Path) -> None:
    notes = FileNotes(tmp_path / "notes")
    with (
        tenants("accra", "kumasi", "django") as (accra, kumasi, model),
        migrations(tmp_path, chain.CONCURRENT),
    ):
        migrate_by_django(model)
        migrate(HomeMigrator(Target("students", "0002")), accra, kumasi)
        migrator = HomeMigrator(note=notes)
        assert migrate(migrator, kumasi) == ["captured"]
        with ThreadPoolExecutor(1) as pool, in_use(accra):
            work = pool.submit(migrate_in_thread, migrator, accra)
            eventually(terminate_making_of_index)
            with pytest.raises(OperationalError):
                work.result(20)
        assert notes.read(accra.home)["migration"] == "students.0003_concurrent"
        assert migrate(HomeMigrator(note=notes), accra) == ["django"]
        check_alike(accra, model)


def migrate_in_thread(migrator: HomeMigrator, one: University) -> None:
    try:
        migrator.migrate(one.home)
    finally:
        connections.close_all()


def terminate_making_of_index() -> bool:
    """End the session that waits to make an index for others' transactions to end."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query ~ 'INDEX CONCURRENTLY' AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone() is not None
