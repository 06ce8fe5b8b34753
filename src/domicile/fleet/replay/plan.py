"""What a run has to do in homes: planned once in a process, for all homes, without a database."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.apps import apps
from django.core.management import CommandError
from django.core.signals import setting_changed
from django.db import router
from django.db.migrations import Migration

from domicile.fleet.replay.after import calls_strangers, insert_renames
from domicile.fleet.replay.capture import is_plain, is_replayable, writes_rows
from domicile.fleet.replay.internals import (
    Applied,
    Disk,
    Executor,
    KnownLoader,
    Ledger,
    Node,
    Record,
    import_management_modules,
    refuse_conflicts,
    with_operations,
)
from domicile.fleet.replay.states import States

#: Distinct sets of applied migrations whose courses are kept.
_COURSES = 16


@dataclass(frozen=True)
class Target:
    """Where to go: the arguments of `migrate`, "zero" too; neither: everything to the newest."""

    app_label: str = ""
    migration: str = ""

    def __post_init__(self) -> None:
        if self.migration and not self.app_label:
            raise CommandError(
                f"Migration {self.migration!r} needs the label of its app before it."
            )


#: Everything to the newest.
NEWEST = Target()


@dataclass(frozen=True)
class PlannedMigration:
    """A migration that is to be done, or undone, and the rows of `django_migrations` it is."""

    migration: Migration
    backwards: bool
    records: tuple[Record, ...]

    @property
    def key(self) -> tuple[str, str]:
        return (self.migration.app_label, self.migration.name)

    def __str__(self) -> str:
        return f"{self.migration.app_label}.{self.migration.name}"


class Course:
    """What homes with one and the same set of applied migrations have before them."""

    def __init__(self, disk: Disk, target: Target, applied: Applied) -> None:
        self.applied = applied
        self.loader = KnownLoader(disk, applied)
        refuse_conflicts(self.loader)
        self._ledger = Ledger(applied)
        self._planner = Executor(self.loader, self._ledger)
        self.nodes: list[Node] = self.loader.nodes_for(target.app_label, target.migration)
        plan = self._planner.migration_plan(self.nodes)
        #: As Django's executor takes it; operations that a receiver inserts stay in these copies.
        self.plan = [
            (with_operations(migration, migration.operations), backwards)
            for migration, backwards in plan
        ]
        self.full_plan = self._planner.full_plan()
        self.pending = self._recorded(self._in_order())
        self._planner.check_replacements()
        #: Rows for squashed migrations all of whose parts are applied.
        self.closing: tuple[Record, ...] = self._ledger.take()
        self._lock = threading.RLock()
        self._states: States | None = None
        self._is_prepared = False

    @property
    def has_work(self) -> bool:
        return bool(self.pending or self.closing)

    @cached_property
    def runs_python(self) -> bool:
        """Whether code that is not Django's is called in each home."""
        return calls_strangers() or any(
            not is_replayable(operation)
            for planned in self.pending
            for operation in planned.migration.operations
        )

    @cached_property
    def changes_schema_only(self) -> bool:
        """Whether all of it is Django's own operations on the schema."""
        migrations = [planned.migration for planned in self.pending]
        return not calls_strangers() and not any(
            writes_rows(migration) or not is_plain(migration) for migration in migrations
        )

    def _in_order(self) -> Iterable[tuple[Migration, bool]]:
        """Django goes forwards in the order of the full plan, and backwards in that of the plan."""
        if any(backwards for _, backwards in self.plan):
            return self.plan
        position = {(m.app_label, m.name): n for n, (m, _) in enumerate(self.full_plan)}
        return sorted(self.plan, key=lambda item: position[item[0].app_label, item[0].name])

    def _recorded(self, plan: Iterable[tuple[Migration, bool]]) -> tuple[PlannedMigration, ...]:
        pending = []
        for migration, backwards in plan:
            self._planner.records_of(migration, backwards=backwards)
            records = self._ledger.take()
            pending.append(PlannedMigration(migration, backwards, records))
        return tuple(pending)

    @property
    def states(self) -> States:
        """The states of the project that these homes are at, and will be at."""
        with self._lock:
            if self._states is None:
                migrations = [planned.migration for planned in self.pending]
                forwards = not any(planned.backwards for planned in self.pending)
                self._states = States(self._planner.state_before(), migrations, forwards=forwards)
            return self._states

    def prepare(self, alias: str) -> None:
        """Insert into the plan what renames content types where models are renamed, once."""
        with self._lock:
            if not self._is_prepared:
                insert_renames(self.plan, self.states, alias)
                self._is_prepared = True


class Plan:
    """The way to a target for every home, whatever it has applied. No database is needed.

    Raises `CommandError` where `migrate` would: no such app or migration, conflicting migrations.
    """

    def __init__(self, target: Target = NEWEST) -> None:
        import_management_modules()
        self.target = target
        self._disk = Disk()
        self._lock = threading.RLock()
        self._courses: OrderedDict[Applied, Course] = OrderedDict()
        self.course(frozenset())

    @classmethod
    def to(cls, target: Target = NEWEST) -> Plan:
        """Return the plan to a target, made once in a process."""
        with _plans_lock:
            if target not in _plans:
                _plans[target] = cls(target)
            return _plans[target]

    def pending(self, applied: Applied) -> tuple[PlannedMigration, ...]:
        """Return what a home that has applied these has before it, in order of execution."""
        return self.course(applied).pending

    def course(self, applied: Applied) -> Course:
        with self._lock:
            course = self._courses.get(applied)
            if course is None:
                course = self._courses[applied] = Course(self._disk, self.target, applied)
                if len(self._courses) > _COURSES:
                    self._courses.popitem(last=False)
            self._courses.move_to_end(applied)
            return course

    def unmigrated_at(self, alias: str) -> list[str]:
        """Return the apps without migrations that have tables at an alias, where all are done."""
        if self.target.app_label:
            return []
        return [label for label in self._unmigrated if _lives_at(alias, label)]

    @cached_property
    def _unmigrated(self) -> list[str]:
        labels: set[str] = self._disk.unmigrated_apps
        return sorted(label for label in labels if apps.get_app_config(label).models)


def _lives_at(alias: str, label: str) -> bool:
    models = apps.get_app_config(label).get_models()
    return any(router.allow_migrate_model(alias, model) for model in models)


_plans: dict[Target, Plan] = {}
_plans_lock = threading.RLock()


def forget_plans() -> None:
    """Plan anew, from what is on disk now; homes are captured anew with it."""
    with _plans_lock:
        _plans.clear()


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "INSTALLED_APPS", "MIGRATION_MODULES", "AUTH_USER_MODEL"):
        forget_plans()


setting_changed.connect(_reset, dispatch_uid="domicile.fleet.replay.plan")
