"""The databases of `DATABASES`: which have tables of their own, and what is pending there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

from django.apps import apps
from django.core.management import call_command
from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor

from domicile.added import added_databases
from domicile.context import no_tenant


@dataclass(frozen=True)
class Migrated:
    """What became of a database, or of many homes: which migrations were applied, and what went
    wrong, if it did.
    """

    alias: str
    migrations: tuple[str, ...]
    seconds: float
    error: Exception | None = None
    homes: int = 1


def static_aliases() -> list[str]:
    """Return the aliases, `default` first and those added at run time last, where the routers let
    any model have its table. One that only has tenants in it has none of its own.
    """
    models = [model for model in apps.get_models() if model._meta.managed]
    aliases = [*sorted(connections, key=lambda alias: alias != "default"), *added_databases()]
    return [
        alias
        for alias in aliases
        if any(router.allow_migrate_model(alias, model) for model in models)
    ]


@no_tenant()
def pending_in(alias: str) -> tuple[str, ...]:
    """Return the migrations that a database has before it, in order."""
    executor = MigrationExecutor(connections[alias])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return tuple(f"{migration.app_label}.{migration.name}" for migration, _ in plan)


@no_tenant()
def migrate_databases(*, fake: bool = False) -> Iterator[Migrated]:
    """Migrate the databases that have tables of their own, one after the other, by the project's
    `migrate`. Ends after the first that fails: the others may need what should be in it.
    """
    for alias in static_aliases():
        started, names, fault = monotonic(), pending_in(alias), None
        try:
            call_command("migrate", database=alias, fake=fake, interactive=False, verbosity=0)
        except Exception as error:
            fault = error
        yield Migrated(alias, names, monotonic() - started, fault)
        if fault is not None:
            return
