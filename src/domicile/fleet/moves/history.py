"""Homes as they were after a given set of migrations: their models, and how to make one anew."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.db import connections, router
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from domicile.context import Activation
from domicile.exceptions import MigrationsUnknown
from domicile.placement import Home

Applied = frozenset[tuple[str, str]]


def applied_through(connection: Any) -> Applied:
    """Return the migrations that the home behind a connection has."""
    return frozenset(MigrationRecorder(connection).applied_migrations())


class History:
    """The project after exactly the migrations `applied`; `MigrationsUnknown` where it does not
    have all of them.
    """

    def __init__(self, applied: Applied) -> None:
        self.applied = applied
        # With what was squashed and what it was squashed into: either may have been applied.
        self.loader = MigrationLoader(None, replace_migrations=False)
        self._refuse_unknown()

    def _refuse_unknown(self) -> None:
        squashed = {
            name
            for key, migration in self.loader.disk_migrations.items()
            if key in self.applied
            for name in migration.replaces
        }
        unknown = sorted(self.applied - set(self.loader.disk_migrations) - squashed)
        if unknown:
            raise MigrationsUnknown(
                f"This project has no migration {'.'.join(unknown[0])}"
                + (f" (nor {len(unknown) - 1} more)" if len(unknown) > 1 else "")
                + ", which the home has had: it comes from a newer version of the project, or from"
                " an app that is not installed here. Bring the project to that version."
            )

    @cached_property
    def plan(self) -> list[Migration]:
        """The migrations to run, in order; a squashed one as what it replaces, if here."""
        disk = self.loader.disk_migrations
        graph = self.loader.graph
        order = dict.fromkeys(
            key for leaf in graph.leaf_nodes() for key in graph.forwards_plan(leaf)
        )
        return [
            disk[key] for key in order if key in self.applied and not self._is_done_by_others(key)
        ]

    def _is_done_by_others(self, key: tuple[str, str]) -> bool:
        disk = self.loader.disk_migrations
        replaces = disk[key].replaces
        return bool(replaces) and all(name in disk and name in self.applied for name in replaces)

    @cached_property
    def state(self) -> ProjectState:
        state = ProjectState(real_apps=self.loader.unmigrated_apps)
        for migration in self.plan:
            migration.mutate_state(state, preserve=False)
        return state

    def models(self, alias: str) -> list[Any]:
        """Return the models whose tables are in the home behind an alias, as they were."""
        models = self.state.apps.get_models(include_auto_created=True)
        return [model for model in models if _has_table(model, alias)]

    def build(self, home: Home, own: Home | None = None) -> None:
        """Make the tables of an empty home; of one by time, with its tenant's own active."""
        with Activation(own or home):
            connection = connections[home.alias]
            executor = MigrationExecutor(connection)
            executor.loader = self.loader
            recorder = MigrationRecorder(connection)
            recorder.ensure_schema()
            state = ProjectState(real_apps=self.loader.unmigrated_apps)
            executor.migrate([], [(migration, False) for migration in self.plan], state)
            for key in self.applied - set(recorder.applied_migrations()):
                recorder.record_applied(*key)
            self._build_unmigrated(connection)

    def _build_unmigrated(self, connection: Any) -> None:
        """Make the tables of apps without migrations, as `migrate` does."""
        with connection.schema_editor() as editor:
            for model in self.models(connection.alias):
                through = model._meta.auto_created
                if model._meta.app_label in self.loader.unmigrated_apps and not through:
                    editor.create_model(model)


def _has_table(model: Any, alias: str) -> bool:
    meta = model._meta
    return (
        meta.managed
        and not meta.proxy
        and not meta.swapped
        and router.allow_migrate_model(alias, model)
    )
