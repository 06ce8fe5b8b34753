"""Sets the demo up, and finds quickly that it is set up already."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from domicile import create_tenant, migrate_tenant
from domicile.fleet.runs.databases import static_aliases

from campus.seeding import fill
from marks.models import Mark
from marks.seed import marks
from students.models import Student

from .catalogue import CATALOGUE, make_admin
from .models import University


def prepare() -> Iterator[str]:
    """Do what is left to do; say before each step what it is."""
    yield from make_tables(DEFAULT_DB_ALIAS)
    for alias in static_aliases():
        yield from make_tables(alias)
    make_admin()
    yield from fill()
    for university in University.objects.visible():
        with university.activate():
            behind = pending()
        if behind:
            yield f"Migrating the {university}"
            migrate_tenant(university)
    present = set(University.objects.exclude(status="creating").values_list("slug", flat=True))
    for entry in CATALOGUE:
        if entry.slug not in present:
            yield f"Making the {entry.name} with {entry.students} students"
            create_tenant(
                slug=entry.slug,
                name=entry.name,
                placement=entry.available_placement(),
                city=entry.city,
                country=entry.country,
                accent=entry.accent,
            )
    yield from give_marks()


def give_marks() -> Iterator[str]:
    """Make the year's home of each university, and give the students of those that begin marks."""
    call_command("partitions", "ensure", placement="marks", stdout=StringIO())
    known = {entry.slug for entry in CATALOGUE}
    for university in University.objects.visible().filter(slug__in=known):
        with university.activate():
            if not Mark.objects.exists():
                yield f"Giving marks at the {university}"
                Mark.objects.bulk_create(marks(Student.objects.order_by("registration_number")))


def make_tables(alias: str) -> Iterator[str]:
    if pending(alias):
        yield f"Making the tables of the database {alias}"
        call_command("migrate", database=alias, verbosity=0)


def pending(alias: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether a database, by default that of the active university, lacks a migration."""
    executor = MigrationExecutor(connections[alias])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
