"""What `domicile.fleet.replay.internals` takes for granted in Django; what differs fails here."""

from __future__ import annotations

import inspect

import django
import pytest
from django.apps import apps
from django.contrib.auth import management as auth_management
from django.contrib.contenttypes import management as content_types_management
from django.contrib.sites import management as sites_management
from django.core.management.commands.migrate import Command
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.models.signals import post_migrate, pre_migrate
from django.dispatch import Signal

from domicile.fleet.replay import after
from domicile.fleet.replay.internals import SORTS_CONTENT_TYPES, Disk, KnownLoader
from tests.internals import assigned_attributes


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_the_executor_keeps_no_more_than_we_give_it() -> None:
    assert assigned_attributes(MigrationExecutor) == {
        *("connection", "loader", "recorder", "progress_callback")
    }


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            MigrationExecutor.apply_migration,
            ["self", "state", "migration", "fake", "fake_initial"],
        ),
        (MigrationExecutor.unapply_migration, ["self", "state", "migration", "fake"]),
        (
            MigrationExecutor.migrate,
            ["self", "targets", "plan", "state", "fake", "fake_initial"],
        ),
        (MigrationExecutor.migration_plan, ["self", "targets", "clean_start"]),
        (MigrationExecutor._create_project_state, ["self", "with_applied_migrations"]),
        (MigrationExecutor.check_replacements, ["self"]),
        (MigrationRecorder.record_applied, ["self", "app", "name"]),
        (MigrationRecorder.record_unapplied, ["self", "app", "name"]),
        (MigrationRecorder.applied_migrations, ["self"]),
        (Migration.apply, ["self", "project_state", "schema_editor", "collect_sql"]),
        (Migration.unapply, ["self", "project_state", "schema_editor", "collect_sql"]),
        (BaseDatabaseSchemaEditor.execute, ["self", "sql", "params"]),
        (
            RunPython.database_forwards,
            ["self", "app_label", "schema_editor", "from_state", "to_state"],
        ),
        (Command.sync_apps, ["self", "connection", "app_labels"]),
        (auth_management._get_all_permissions, ["opts"]),
        (Signal._live_receivers, ["self", "sender"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_signatures(function: object, expected: list[str]) -> None:
    assert parameters(function) == expected


def test_the_loader_asks_for_what_is_applied_in_one_place() -> None:
    # `KnownLoader` takes what is known in the place of what is assigned here.
    source = inspect.getsource(MigrationLoader)
    assert source.count("self.applied_migrations = ") == 3
    assert "if self.connection is None:" in inspect.getsource(MigrationLoader.build_graph)


def test_the_loader_takes_all_from_disk_in_one_method() -> None:
    assert assigned_attributes(MigrationLoader) >= {
        *("disk_migrations", "unmigrated_apps", "migrated_apps", "applied_migrations")
    }
    disk = Disk()
    loader = KnownLoader(disk, frozenset({("students", "0001_initial")}))
    assert set(loader.applied_migrations) == {("students", "0001_initial")}
    assert loader.graph.nodes.keys() == disk.disk_migrations.keys()


def test_rendered_states_are_complete_when_they_were_delayed_no_more() -> None:
    # `keep_rendered()` and `finish_rendering()` set it themselves.
    source = inspect.getsource(ProjectState.clear_delayed_apps_cache)
    assert "if self.is_delayed" in source
    assert "clear_delayed_apps_cache()" in inspect.getsource(RunPython.database_forwards)


def test_receivers_of_django_are_known_by_name() -> None:
    names = {
        *(after._path(receiver) for _, receiver in after._receivers(post_migrate)),
        *(after._path(receiver) for _, receiver in after._receivers(pre_migrate)),
    }
    known = {*after._KNOWN, after._CONTENT_TYPE_RENAMES}
    assert {name for name in names if name.startswith(("django.", "domicile."))} <= known
    assert {after._CONTENT_TYPES, after._PERMISSIONS, after._SITE} <= names
    for module in (auth_management, content_types_management, sites_management):
        assert any(name.startswith(f"{module.__name__}.") for name in known)


def test_content_types_are_made_in_the_order_that_is_taken_for_granted() -> None:
    source = inspect.getsource(content_types_management.create_contenttypes)
    assert ("sorted(" in source) == SORTS_CONTENT_TYPES, django.VERSION


def test_rows_that_sets_add_have_no_other_columns() -> None:
    columns = {
        "contenttypes.ContentType": {"id", "app_label", "model"},
        "auth.Permission": {"id", "name", "content_type_id", "codename"},
        "sites.Site": {"id", "domain", "name"},
    }
    for label, expected in columns.items():
        fields = apps.get_model(label)._meta.concrete_fields
        assert {field.column for field in fields} == expected
