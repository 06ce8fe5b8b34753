"""What Domicile takes from the inside of Django's migrations, all of it in one place.

Django's executor asks the database what is applied, plans, and walks the plan. Here it plans for
a set of applied migrations that is known already, and for many homes at once, so it is given a
loader and a recorder that answer from memory. `tests/test_migration_internals.py` fails when
Django changes what is relied on.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import django
from django.apps import apps
from django.core.management import CommandError
from django.core.management.commands.migrate import Command
from django.db.migrations import Migration
from django.db.migrations.exceptions import AmbiguityError, InconsistentMigrationHistory
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.options import Options
from django.utils.module_loading import module_has_submodule

Key = tuple[str, str]
Applied = frozenset[Key]
#: A node of the graph, or an app and None for "zero".
Node = tuple[str, str | None]

#: Since then content types are made in the order of their models' names.
SORTS_CONTENT_TYPES = django.VERSION >= (6, 1)


#: Nothing is asked of it.
_NO_CONNECTION: Any = None


class Disk(MigrationLoader):
    """The migrations on disk, imported once."""

    def __init__(self) -> None:
        super().__init__(None, load=False)
        self.load_disk()


class KnownLoader(MigrationLoader):
    """A loader of migrations that are imported already, for what is known to be applied."""

    disk_migrations: dict[Key, Migration]
    unmigrated_apps: set[str]
    migrated_apps: set[str]

    def __init__(self, disk: Disk, applied: Applied) -> None:
        self._disk = disk
        self._known = applied
        self._is_consistent = False
        super().__init__(None)

    @property
    def applied_migrations(self) -> dict[Key, Any]:
        return self._applied

    @applied_migrations.setter
    def applied_migrations(self, value: Any) -> None:
        """Take what is known in place of what the database would have said."""
        self._applied: dict[Key, Any] = {
            key: self._disk.disk_migrations.get(key) for key in self._known
        }

    def load_disk(self) -> None:
        self.disk_migrations = dict(self._disk.disk_migrations)
        self.unmigrated_apps = self._disk.unmigrated_apps
        self.migrated_apps = self._disk.migrated_apps

    def refuse_inconsistent_history(self, alias: str) -> None:
        """The same as `check_consistent_history()`, of what is known."""
        if self._is_consistent:
            return
        for key in self._known:
            if key not in self.graph.nodes:
                continue
            for parent in self.graph.node_map[key].parents:
                if parent.key not in self._known and not self._all_replaced(parent.key):
                    raise InconsistentMigrationHistory(
                        "Migration {}.{} is applied before its dependency {}.{} on database"
                        " '{}'.".format(*key, *parent.key, alias)
                    )
        self._is_consistent = True

    def _all_replaced(self, key: Key) -> bool:
        migration = self.replacements.get(key)
        return migration is not None and all(
            replaced in self._known or self._all_replaced(replaced)
            for replaced in migration.replaces
        )

    def nodes_for(self, app_label: str, migration: str) -> list[Node]:
        """Return what the arguments of `migrate` mean; `CommandError` as `migrate` raises it."""
        if not app_label:
            return list(self.graph.leaf_nodes())
        if app_label not in self.migrated_apps:
            raise CommandError(f"App '{app_label}' does not have migrations.")
        if not migration:
            return [key for key in self.graph.leaf_nodes() if key[0] == app_label]
        if migration == "zero":
            return [(app_label, None)]
        return [self._node(app_label, migration)]

    def _node(self, app_label: str, prefix: str) -> Key:
        try:
            found = self.get_migration_by_prefix(app_label, prefix)
        except AmbiguityError as error:
            raise CommandError(
                f"More than one migration matches '{prefix}' in app '{app_label}'. Please be more"
                " specific."
            ) from error
        except KeyError as error:
            raise CommandError(
                f"Cannot find a migration matching '{prefix}' from app '{app_label}'."
            ) from error
        key = (app_label, found.name)
        # Of a squashed migration that is partly applied the parts are in the graph.
        if key not in self.graph.nodes and key in self.replacements:
            return tuple(self.replacements[key].replaces[-1])  # type: ignore[return-value]
        return key


@dataclass(frozen=True, slots=True)
class Record:
    """A row of `django_migrations` that is to come (or, backwards, to go)."""

    app: str
    name: str
    forwards: bool


class Ledger(MigrationRecorder):
    """A recorder that keeps its records in memory."""

    def __init__(self, applied: Applied) -> None:
        super().__init__(_NO_CONNECTION)
        self.applied: dict[Key, Any] = dict.fromkeys(applied)
        self.new: list[Record] = []

    def has_table(self) -> bool:
        return True

    def ensure_schema(self) -> None:
        """There is none."""

    def applied_migrations(self) -> dict[Key, Any]:
        return self.applied

    def record_applied(self, app: str, name: str) -> None:
        self.applied[app, name] = None
        self.new.append(Record(app, name, forwards=True))

    def record_unapplied(self, app: str, name: str) -> None:
        self.applied.pop((app, name), None)
        self.new.append(Record(app, name, forwards=False))

    def take(self) -> tuple[Record, ...]:
        """Return what was recorded since it was asked last."""
        taken, self.new = tuple(self.new), []
        return taken


class Executor(MigrationExecutor):
    """Django's executor, with the loader and the recorder that it is given."""

    def __init__(self, loader: MigrationLoader, recorder: Any, connection: Any = None) -> None:
        self.connection = connection
        self.loader = loader
        self.recorder = recorder
        self.progress_callback = None

    def full_plan(self) -> list[tuple[Migration, bool]]:
        """Return all migrations, in the order in which they are done on an empty database."""
        return self.migration_plan(self.loader.graph.leaf_nodes(), clean_start=True)

    def state_before(self) -> ProjectState:
        state: ProjectState = self._create_project_state(with_applied_migrations=True)  # type: ignore[attr-defined]
        return state

    def records_of(self, migration: Migration, *, backwards: bool) -> None:
        """Record a migration, and those that it replaces, as done (or undone)."""
        # Django's signature has no state here, which it does not look at when it only records.
        nothing: Any = None
        if backwards:
            self.unapply_migration(nothing, migration, fake=True)
        else:
            self.apply_migration(nothing, migration, fake=True)


def refuse_conflicts(loader: MigrationLoader) -> None:
    """Raise `CommandError` where an app has two newest migrations, as `migrate` does."""
    conflicts = loader.detect_conflicts()
    if conflicts:
        named = "; ".join(f"{', '.join(names)} in {app}" for app, names in conflicts.items())
        raise CommandError(
            f"Conflicting migrations detected; multiple leaf nodes in the migration graph:"
            f" ({named}).\nTo fix them run 'python manage.py makemigrations --merge'"
        )


def import_management_modules() -> None:
    """Have every app connect its receivers of `pre_migrate` and `post_migrate`."""
    for config in apps.get_app_configs():
        if module_has_submodule(config.module, "management"):
            import_module(".management", config.name)


def make_unmigrated(connection: Any, labels: Iterable[str]) -> None:
    """Make those tables of apps without migrations that are not there."""
    command = Command(stdout=io.StringIO())
    command.verbosity = 0
    command.sync_apps(connection, set(labels))


def finish_rendering(state: ProjectState) -> Any:
    """Return the apps of a state as receivers of `post_migrate` get them."""
    state.clear_delayed_apps_cache()
    # Rendered anew, they are complete: nobody has to do it again.
    state.is_delayed = False
    rendered: Any = state.apps
    real = [(model.app_label, model.name_lower) for model in rendered.real_models]
    with rendered.bulk_update():
        for key in real:
            rendered.unregister_model(*key)
    rendered.render_multiple([ModelState.from_model(apps.get_model(*key)) for key in real])
    return rendered


def options_in(state: ProjectState, label: str) -> list[Any]:
    """Return each `_meta` of an app's models, in the order in which Django registers them."""
    if "apps" in vars(state) and not state.is_delayed:
        return [model._meta for model in state.apps.all_models[label].values()]
    # Django renders all of them anew, in this order. Names and options are known before.
    return [_options_of(model) for (app, _), model in state.models.items() if app == label]


def _options_of(model: ModelState) -> Any:
    options: Any = Options(type("Meta", (), dict(model.options)), model.app_label)
    options.contribute_to_class(type(model.name, (), {}), "_meta")
    return options


def keep_rendered(state: ProjectState) -> ProjectState:
    """Render a state that operations written in Python will ask for its apps again and again.

    `RunPython` throws apps away whose models were rendered with gaps, on each call.
    """
    state.clear_delayed_apps_cache()
    state.is_delayed = False
    _ = state.apps
    return state


def live_receivers(signal: Any, sender: Any) -> Iterator[Any]:
    """Yield the synchronous receivers of a signal for a sender."""
    receivers, _asynchronous = signal._live_receivers(sender)
    yield from receivers


def inject_renames(plan: list[tuple[Migration, bool]], rendered: Any, alias: str) -> None:
    """Insert Django's renames of content types into a plan, which is changed."""
    from django.contrib.contenttypes.management import inject_rename_contenttypes_operations

    inject_rename_contenttypes_operations(plan=plan, apps=rendered, using=alias)


def with_operations(migration: Migration, operations: Iterable[Any]) -> Migration:
    """Return a copy of a migration, with other operations."""
    copied: Any = copy.copy(migration)
    copied.operations = list(operations)
    return copied


def is_content_type_rename(operation: Any) -> bool:
    if not apps.is_installed("django.contrib.contenttypes"):
        return False
    from django.contrib.contenttypes.management import RenameContentType

    return isinstance(operation, RenameContentType)


def permissions_of(options: Any) -> list[tuple[str, str]]:
    """Return codename and name of all permissions of a model, by its `_meta`."""
    from django.contrib.auth import management

    found: list[tuple[str, str]] = management._get_all_permissions(options)  # type: ignore[attr-defined]
    return found
