"""Tenants whose homes are migrated alike, and what they look like then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections

from domicile.fleet.replay.migrator import HomeMigrator, Outcome
from domicile.placement import Home
from tests.tenants import tenant
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University


@contextmanager
def tenants(*slugs: str, placement: str = "schema") -> Iterator[list[University]]:
    """Tenants that have one student each, of their own."""
    with ExitStack() as stack:
        made = [stack.enter_context(tenant(slug, placement=placement)) for slug in slugs]
        for each in made:
            Student.objects.using(each.alias).create(
                registration=f"no-{each.slug}", name="Ama", home=each.slug
            )
        yield made


def migrate(migrator: HomeMigrator, *homes: University) -> list[str]:
    """How each was done."""
    return [outcome.how for outcome in outcomes(migrator, *homes)]


def outcomes(migrator: HomeMigrator, *homes: University) -> list[Outcome]:
    return [migrator.migrate(each.home) for each in homes]


def migrate_by_django(one: University, *target: str) -> None:
    with one.activate():
        call_command(
            "migrate", *target, database=one.alias, interactive=False, verbosity=0, skip_checks=True
        )


ROWS = {
    "django_content_type": "SELECT id, app_label, model FROM django_content_type ORDER BY id",
    "auth_permission": "SELECT id, name, content_type_id, codename FROM auth_permission"
    " ORDER BY id",
    "django_site": "SELECT id, domain FROM django_site ORDER BY id",
    "django_migrations": "SELECT app, name FROM django_migrations ORDER BY id",
}


def rows(one: University) -> list[Any]:
    """What migrations leave in a home besides the project's own rows."""
    with one.activate():
        return rows_at(one.home)


def rows_at(home: Home) -> list[Any]:
    """The same of a home that is active."""
    tables = connections[home.alias].introspection.table_names()
    found = []
    with connections[home.alias].cursor() as cursor:
        for table, query in ROWS.items():
            cursor.execute(query if table in tables else "SELECT 0")
            found.append(cursor.fetchall())
    return found


def facts(one: University) -> dict[str, str]:
    return connections[one.alias].catalog_facts()


def check_alike(one: University, model: University) -> None:
    assert facts(one) == facts(model)
    assert rows(one) == rows(model)


@contextmanager
def in_use(one: University) -> Iterator[None]:
    """Another session has written a row, and has not ended its transaction."""
    with one.activate():
        other = connections[one.alias].copy()
    try:
        other.set_autocommit(False)
        with one.activate(), other.cursor() as cursor:
            cursor.execute("UPDATE students_student SET name = 'Esi'")
        yield
    finally:
        other.rollback()
        other.close()


class FileNotes:
    """Notes in a file, which outlives the process."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def read(self, home: Home) -> dict[str, Any]:
        return self._all().get(home.alias, {})

    def write(self, home: Home, note: dict[str, Any]) -> None:
        self.path.write_text(json.dumps({**self._all(), home.alias: note}))

    def _all(self) -> dict[str, Any]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}
