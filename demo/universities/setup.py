"""Sets the demo up, and finds quickly that it is set up already."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from domicile import create_tenant, migrate_tenant

from .catalogue import CATALOGUE, make_admin
from .models import University


def prepare() -> Iterator[str]:
    """Do what is left to do; say before each step what it is."""
    if pending():
        yield "Making the shared tables"
        call_command("migrate", verbosity=0)
    make_admin()
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


def pending() -> bool:
    """Whether the database that is active now lacks a migration."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
