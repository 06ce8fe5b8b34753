"""Migrates homes: the first of those that are alike by Django, the others by what it was sent.

Homes are alike that have applied the same migrations and stand in the same kind of place. Whether
their catalogs are alike too is not asked before: what is replayed is compared in the end
(`domicile.fleet.replay.scope`), and a home that comes out different is rolled back, told apart by
its fingerprint, and done by Django.
Where changes of the schema cannot be rolled back, homes are told apart before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from django.db import OperationalError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.utils.translation import override

from domicile.backends.replay import Comparing, Replay, Statement
from domicile.conf import conf
from domicile.context import Activation, active_home, no_tenant
from domicile.exceptions import HomeBusy, HomeCutOff, HomeDiffers
from domicile.fleet.replay.after import forget_content_types
from domicile.fleet.replay.capture import Gate, HomeNames
from domicile.fleet.replay.groups import Group, Kind
from domicile.fleet.replay.internals import Applied, make_unmigrated
from domicile.fleet.replay.lead import Leader
from domicile.fleet.replay.notes import NoNotes, NotedGate, Notes, fingerprint_at
from domicile.fleet.replay.plan import NEWEST, Course, Plan, Target
from domicile.fleet.replay.scope import Scope, ScopeFinder
from domicile.fleet.replay.script import Player, ReplayFailed, Script, is_transaction
from domicile.fleet.survey import differences
from domicile.placement import Home, is_tenant_alias, owner_of
from domicile.registry import tenant_model

How = Literal["nothing", "captured", "replayed", "django", "faked"]


@dataclass(frozen=True)
class Outcome:
    """What was done to a home: how, which migrations (`app.name`, in order), in how long."""

    how: How
    migrations: tuple[str, ...]
    seconds: float
    differs: tuple[str, ...] = ()


class HomeMigrator:
    """Migrates any number of homes, by any number of threads.

    :param target: where to; the newest migrations of all apps if empty.
    :param fake: record migrations as done, and do nothing.
    :param lock_timeout: seconds to wait for each lock in a home; None: as the server is set up.
    :param note: keeps what is needed to continue migrations that are no transaction.
    """

    def __init__(
        self,
        target: Target = NEWEST,
        *,
        fake: bool = False,
        lock_timeout: float | None = None,
        note: Notes | None = None,
    ) -> None:
        self.plan = Plan.to(target)
        self.fake, self.lock_timeout = fake, lock_timeout
        self.notes: Notes = note or NoNotes()
        self._groups: dict[Kind, Group] = {}
        self._lock = threading.Lock()

    @classmethod
    def to(cls, target: Target) -> HomeMigrator:
        """Return the one that this process keeps, which knows how homes were migrated before."""
        with _migrators_lock:
            migrator = _migrators.get(target)
            if migrator is None or migrator.plan is not Plan.to(target):
                migrator = _migrators[target] = cls(target)
            return migrator

    def migrate(self, home: Home, applied: Applied | None = None) -> Outcome:
        """Migrate a home to the target, or finish what was cut off.

        :param applied: what it has applied, where that is known; nobody else may migrate it now.
        :raises HomeBusy: a lock in it was not free in time; nothing was done.
        :raises HomeCutOff: another migration stands half done in it; nothing was done.
        :raises HomeDiffers: it was migrated, where that cannot be undone, and came out different.
        :raises InconsistentMigrationHistory: a migration is applied before one it depends on.

        An error of the home's own, such as that of a data migration, is raised as Django does.
        """
        started = time.perf_counter()
        with override(None):
            course = self.plan.course(_applied_at(home) if applied is None else applied)
            course.loader.refuse_inconsistent_history(home.alias)
            with _at(home, course):
                how = _Work(self, home, course).do()
        names = tuple(map(str, course.pending))
        if self.fake and how != "nothing":
            how = "faked"
        return Outcome(how, names, time.perf_counter() - started)

    def group(self, kind: Kind) -> Group:
        with self._lock:
            return self._groups.setdefault(kind, Group())


_migrators: dict[Target, HomeMigrator] = {}
_migrators_lock = threading.Lock()


class _Work:
    """The migration of one home, which is active."""

    def __init__(self, migrator: HomeMigrator, home: Home, course: Course) -> None:
        self.migrator, self.home, self.course = migrator, home, course
        self.connection: Any = connections[home.alias]
        self.replay = _replay_of(self.connection)

    def do(self) -> How:
        """Do what is to be done, or what was left by who was cut off."""
        with self._busy_told():
            how = self._do()
        if how != "nothing":
            forget_content_types()
        return how

    def _do(self) -> How:
        with no_tenant():
            left = self.migrator.notes.read(self.home)
        if left:
            self._refuse_to_leave(left)
        elif not self.course.has_work:
            self._make_unmigrated()
            return "nothing"
        elif self._is_whole:
            return self._do_whole(self._kind())
        return self._do_by_parts(left)

    def _refuse_to_leave(self, left: dict[str, Any]) -> None:
        """A migration that stands half done and is not on this way would never be finished."""
        name, backwards = left["migration"], left["backwards"]
        app_label, _, migration = name.partition(".")
        is_over = ((app_label, migration) in self.course.applied) != backwards
        if is_over or any(str(planned) == name for planned in self.course.pending):
            return
        raise HomeCutOff(
            f"In {self.home.alias!r} {name} was cut off half {'undone' if backwards else 'done'},"
            " and the way to what is asked for does not go through it. Go on with that first:"
            " `tenants migrations resume`, or `tenants migrate`"
            f" {'to a migration before it' if backwards else f'{app_label} {migration}'}."
        )

    def _make_unmigrated(self) -> None:
        """Make the tables of apps that have no migrations."""
        labels = self.migrator.plan.unmigrated_at(self.home.alias)
        if labels:
            make_unmigrated(self.connection, labels)

    def _kind(self, before: str = "") -> Kind:
        return Kind(_place_of(self.home), self.course.applied, before)

    @property
    def _is_whole(self) -> bool:
        """Whether all of it is done or nothing."""
        return self.connection.features.can_rollback_ddl and all(
            is_transaction(planned.migration, self.connection) for planned in self.course.pending
        )

    @contextmanager
    def _busy_told(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            if not self.replay.was_busy(error):
                raise
            raise HomeBusy(
                f"{self.home.alias!r} is in use: a lock was not free in time ({error}). Try again,"
                " or allow more time (`--lock-timeout`)."
            ) from error

    def _leader(self, *, captures: bool = True, gate: Gate | None = None) -> Leader:
        names = _names_of(self.connection, self.home) if captures else None
        return Leader(self.course, self.connection, names=names, gate=gate)

    def _lead(self, leader: Leader, *, whole: bool = False) -> Script:
        self._make_unmigrated()
        return leader.lead(whole=whole, fake=self.migrator.fake)

    def _fingerprint(self, scope: Scope = None) -> str:
        return fingerprint_at(self.connection, scope)

    # All of it in one transaction -----------------------------------------------------------------

    def _do_whole(self, kind: Kind) -> How:
        group = self.migrator.group(kind)
        with group.held(self._get_ready):
            if group.script is None:
                with self._transaction():
                    finder = ScopeFinder(self.connection, self.course)
                    script = self._lead(self._leader())
                    group.scope = finder.found()
                    group.after = self._fingerprint(group.scope)
                    group.messages = Player(script, self.connection).packed()
                    group.comparing = self._comparing(script, group)
                group.script, group.model = script, self.home
                return "django" if kind.before else "captured"
            script = group.script
        if group.is_replayable and self._replays(script, group):
            return "replayed"
        if kind.before or not group.is_replayable:
            return self._do_by_django()
        with self.replay.transaction():
            before = self._fingerprint()
        return self._do_whole(self._kind(before))

    def _get_ready(self) -> None:
        """Do what can be done while another thread migrates the first home. It will want the models
        of the states, and waits for its server, which reads the catalog.
        """
        _ = self.course.states.start
        self.connection.catalog_class(self.connection).get_ready()

    def _replays(self, script: Script, group: Group) -> bool:
        """Do a script; undo it, and tell so, where it does not fit."""
        player = Player(script, self.connection)
        try:
            if group.comparing is not None and self._is_unobserved:
                player.compare(group.comparing, self.migrator.lock_timeout)
                return True
            with self._transaction():
                self._make_unmigrated()
                player.play(group.messages)
                if self._fingerprint(group.scope) != group.after:
                    raise ReplayFailed("it came out different")
        except ReplayFailed:
            return False
        return True

    def _comparing(self, script: Script, group: Group) -> Comparing | None:
        """Return what does others in one message, if nothing but statements is done to them."""
        statements = [each for each in group.messages if isinstance(each, Statement)]
        is_all = len(statements) == len(group.messages) and not script.strangers
        if not is_all or self.migrator.plan.unmigrated_at(self.home.alias):
            return None
        return self.replay.compared(statements, group.scope, group.after)

    @property
    def _is_unobserved(self) -> bool:
        """Whether nobody asked to see each statement, or to decide what is committed."""
        connection = self.connection
        is_alone = connection.get_autocommit() and not connection.in_atomic_block
        return is_alone and not connection.execute_wrappers

    def _do_by_django(self) -> How:
        with self._transaction():
            self._lead(self._leader(captures=False))
        return "django"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self.replay.transaction(), self.replay.waiting(self.migrator.lock_timeout):
            yield

    # Each migration, or each statement, by itself -------------------------------------------------

    def _do_by_parts(self, left: dict[str, Any]) -> How:
        gate = NotedGate(self.migrator.notes, self.home, self.connection)
        with self.replay.waiting(self.migrator.lock_timeout):
            how = self._continue(gate) if left else self._begin(gate)
        gate.close()
        return how

    def _continue(self, gate: Gate) -> How:
        """No other home stands where this one was cut off."""
        self._lead(self._leader(captures=False, gate=gate), whole=True)
        return "django"

    def _begin(self, gate: Gate) -> How:
        group = self.migrator.group(self._kind(self._fingerprint()))
        with group.lock:
            if group.script is None:
                script = self._lead(self._leader(gate=gate))
                group.after = self._fingerprint()
                group.script, group.model = script, self.home
                return "captured"
        if not group.is_replayable:
            self._lead(self._leader(captures=False, gate=gate))
            return "django"
        self._play_by_parts(group, group.script, gate)
        return "replayed"

    def _play_by_parts(self, group: Group, script: Script, gate: Gate) -> None:
        try:
            self._make_unmigrated()
            Player(script, self.connection).play_by_parts(gate)
        except ReplayFailed as failure:
            # It was like the others to begin with, so what is wrong is in its rows.
            raise (failure.__cause__ or failure) from None
        if self._fingerprint() != group.after:
            raise _differing(self.home, group.model)


def _replay_of(connection: Any) -> Replay:
    replay: Replay = connection.replay_class(connection)
    return replay


def _applied_at(home: Home) -> Applied:
    with _standing_at(home):
        recorder = MigrationRecorder(connections[home.alias])
        return frozenset(recorder.applied_migrations())


def _place_of(home: Home) -> str:
    """Return what is alike of homes that are: what they refer to too."""
    beside = "" if home.beside is None else home.beside.template
    return f"{home.placement.template}:{beside}"


def _at(home: Home, course: Course) -> AbstractContextManager[Any]:
    """Activate a home; with its tenant, where code of the project will be called."""
    if active_home() == home or not course.runs_python or not is_tenant_alias(home.alias):
        return _standing_at(home)
    owner, own = owner_of(home.alias), home
    if owner != home.alias:
        own = connections[owner].home  # type: ignore[attr-defined]
    with no_tenant():
        return Activation(own, tenant_model()._base_manager.filter(slug=home.slug).first())


def _standing_at(home: Home) -> AbstractContextManager[Any]:
    active = active_home()
    if not is_tenant_alias(home.alias):  # Nobody's: it is reached by its alias alone.
        return no_tenant()
    if owner_of(home.alias) != home.alias:  # So is this, and its tenant may be known here alone.
        is_here = active is not None and active.alias == owner_of(home.alias)
        return nullcontext() if is_here else no_tenant()
    return nullcontext() if active == home else Activation(home)


def _names_of(connection: Any, home: Home) -> HomeNames:
    """Return what nobody but this home is called."""
    located = conf().placement(home.placement.template).locate(home.placement.name)
    return HomeNames({located, home.placement.name, getattr(connection, "role", None) or ""})


def _differing(home: Home, model: Home | None) -> HomeDiffers:
    differs = [] if model is None else differences(home, model)
    return HomeDiffers(
        f"{home.alias!r} was migrated and is not what {model and model.alias!r} became by the same"
        f" statements: {'; '.join(differs) or 'its fingerprint differs'}."
        " `tenants check` shows it again.",
        differs,
    )
