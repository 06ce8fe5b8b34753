"""What was done to one home, to be done to others: statements, and what only Django can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from django.db import DatabaseError
from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.utils import timezone

from domicile.backends.replay import Comparing, Replay, Statement
from domicile.fleet.replay.after import Aftermath, Receiver, call_pre_migrate, pre_migrate_receivers
from domicile.fleet.replay.capture import Gate, Tape
from domicile.fleet.replay.internals import Record
from domicile.fleet.replay.plan import Course, PlannedMigration

#: What is called between statements, with the connection.
Step = Callable[[Any], None]
Message = Statement | Step


class ReplayFailed(Exception):
    """Statements that one home has taken were refused by another, or have made it different."""


@dataclass(frozen=True)
class Part:
    """One migration: the statements that it sends, or the migration with the states it needs."""

    planned: PlannedMigration
    statements: tuple[Statement, ...] = ()
    remembered: Migration | None = None
    #: Whether rows may be written, whose checks must be over before a table is altered.
    touches_rows: bool = False


@dataclass
class Script:
    """All that homes which are alike have before them."""

    course: Course
    #: What makes the table of migrations, where there was none.
    opening: tuple[Statement, ...] = ()
    parts: list[Part] = field(default_factory=list)
    aftermath: Aftermath = field(default_factory=Aftermath)
    #: Whether other homes can be done by it.
    is_whole: bool = True

    @cached_property
    def strangers(self) -> list[Receiver]:
        """Receivers of `pre_migrate` that are called in each home."""
        return pre_migrate_receivers()


class Player:
    """Does a script in one home, which is active."""

    def __init__(self, script: Script, connection: Any) -> None:
        self.script, self.connection = script, connection
        self.replay: Replay = connection.replay_class(connection)

    def play(self, messages: Sequence[Message]) -> None:
        """Do all of it in the transaction that is open; `messages` are `packed()`."""
        self.call_pre_migrate()
        for message in messages:
            if isinstance(message, Statement):
                self._send([message])
            else:
                message(self.connection)

    def compare(self, comparing: Comparing, lock_timeout: float | None) -> None:
        """Do all of it in a transaction of its own, and see that it comes out as it has to."""
        with self._failing():
            comparing(self.connection, lock_timeout)

    def packed(self) -> list[Message]:
        """Return what `play()` does, in as few messages as can be."""
        waiting, packed = list(self.script.opening), list[Message]()

        def then(step: Step) -> None:
            packed.extend(self.replay.packed(waiting))
            waiting.clear()
            packed.append(step)

        for part in self.script.parts:
            if part.remembered is not None:
                then(partial(do_by_django, part.remembered, backwards=part.planned.backwards))
            waiting += part.statements
            waiting += recording(self.replay, part.planned.records)
            if part.touches_rows and part is not self.script.parts[-1]:
                waiting += self.replay.settle()
        waiting += recording(self.replay, self.script.course.closing)
        aftermath = self.script.aftermath
        if aftermath.renames:
            then(partial(aftermath.call, aftermath.renames))
        waiting += aftermath.statements
        if aftermath.receivers:
            then(partial(aftermath.call, aftermath.receivers))
        packed.extend(self.replay.packed(waiting))
        return packed

    def play_by_parts(self, gate: Gate) -> None:
        """Do all of it where a part may be a transaction, or each statement one."""
        self.call_pre_migrate()
        if self.script.opening:
            MigrationRecorder(self.connection).ensure_schema()
        for part in self.script.parts:
            if is_transaction(part.planned.migration, self.connection):
                with self.replay.transaction():
                    self._play_part(part, Gate())
            else:
                gate.open(str(part.planned), backwards=part.planned.backwards)
                self._play_part(part, gate)
        with self.replay.transaction():
            self._send(list(recording(self.replay, self.script.course.closing)))
            self.finish()

    def _play_part(self, part: Part, gate: Gate) -> None:
        if part.remembered is not None:
            tape = Tape(self.connection, part.remembered, gate)
            with self.connection.execute_wrapper(tape):
                do_by_django(tape.observing(), self.connection, backwards=part.planned.backwards)
        for statement in part.statements:
            if gate.admits(statement.sql):
                self._send([statement])
        self._send(list(recording(self.replay, part.planned.records)))

    def call_pre_migrate(self) -> None:
        if self.script.strangers:
            course = self.script.course
            call_pre_migrate(
                self.script.strangers,
                self.connection.alias,
                course.plan,
                course.states.rendered.apps,
            )

    def finish(self) -> None:
        """Do what follows migrations."""
        aftermath = self.script.aftermath
        aftermath.call(aftermath.renames, self.connection)
        self._send(aftermath.statements)
        aftermath.call(aftermath.receivers, self.connection)

    def _send(self, statements: Sequence[Statement]) -> None:
        with self._failing():
            if statements:
                self.replay.send(statements)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            if self.replay.was_busy(error) or self.replay.was_lost(error):
                raise
            raise ReplayFailed(str(error)) from error


def is_transaction(migration: Migration, connection: Any) -> bool:
    """Tell whether a migration is done whole or not at all in that database."""
    return bool(migration.atomic and connection.features.can_rollback_ddl)


def do_by_django(migration: Migration, connection: Any, *, backwards: bool) -> None:
    """Have Django do a migration whose operations know their states."""
    with connection.schema_editor(atomic=migration.atomic) as editor:
        if backwards:
            migration.unapply(ProjectState(), editor)
        else:
            migration.apply(ProjectState(), editor)


def recording(replay: Replay, records: Iterable[Record]) -> Iterator[Statement]:
    """Yield the statements that write rows of `django_migrations`, or remove them."""
    ops = replay.connection.ops
    table, app, name, applied = map(ops.quote_name, ("django_migrations", "app", "name", "applied"))

    def now() -> Any:
        return ops.adapt_datetimefield_value(timezone.now())

    for record in records:
        if not record.forwards:
            text = f"DELETE FROM {table} WHERE {app} = %s AND {name} = %s"
            yield Statement(text, (record.app, record.name))
            continue
        text = (
            f"INSERT INTO {table} ({app}, {name}, {applied}) VALUES (%s, %s, {replay.now or '%s'})"
        )
        moment = () if replay.now else (now,)
        yield Statement(text, (record.app, record.name, *moment))
