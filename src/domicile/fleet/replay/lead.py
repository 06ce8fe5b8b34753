"""The first home of those that are alike: migrated by Django, with what it is sent taken down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder

from domicile.backends.replay import Replay, Statement
from domicile.fleet.replay.after import Afterwards
from domicile.fleet.replay.capture import Gate, HomeNames, Tape, writes_rows
from domicile.fleet.replay.internals import Executor, Ledger
from domicile.fleet.replay.plan import Course
from domicile.fleet.replay.script import Part, Player, Script, is_transaction, recording


class Leader(Executor):
    """Django's executor at work in one home, which is active."""

    def __init__(
        self,
        course: Course,
        connection: Any,
        *,
        names: HomeNames | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`gate`: the plan is no single transaction. Without `names` nothing is kept for others."""
        super().__init__(course.loader, HomeLedger(self, course), connection)
        self.replay: Replay = connection.replay_class(connection)
        self.course, self.names, self.gate = course, names, gate
        self.script = Script(course)
        self._prepared = {planned.key: planned for planned in course.pending}
        self._last = course.pending[-1].key if course.pending else None
        self._tape: Tape | None = None

    def lead(self, *, whole: bool = False, fake: bool = False) -> Script:
        """Migrate the home and return how; `whole`: see `Afterwards`."""
        course, connection = self.course, self.connection
        course.prepare(connection.alias)
        player = Player(self.script, connection)
        player.call_pre_migrate()
        self._make_table()
        states = course.states
        end = self.migrate(course.nodes, course.plan, states.start.clone(), fake=fake)
        # What is only recorded changes no state.
        state = states.before if fake else states.after(end)
        after = Afterwards(course.plan, states.before, state, connection, whole=whole)
        self.script.aftermath = after.aftermath()
        with self.replay.transaction() if self.gate else nullcontext():
            player.finish()
        return self.script

    def apply_migration(
        self, state: Any, migration: Migration, fake: bool = False, fake_initial: bool = False
    ) -> Any:
        if fake:
            self._add_part(migration)
            return super().apply_migration(state, migration, fake=True)
        with self._taken_down(migration) as observed:
            return super().apply_migration(state, observed)

    def unapply_migration(self, state: Any, migration: Migration, fake: bool = False) -> Any:
        if fake:
            self._add_part(migration)
            return super().unapply_migration(state, migration, fake=True)
        with self._taken_down(migration) as observed:
            return super().unapply_migration(state, observed)

    def write(self, statements: list[Statement]) -> None:
        """Send what is no migration's own."""
        with self._tape.off() if self._tape else nullcontext():
            self.replay.send(statements)

    def _make_table(self) -> None:
        if self.course.applied:  # It was read from there.
            return
        tape = Tape(self.connection, Migration("table", "migrations"), Gate())
        with self.connection.execute_wrapper(tape):
            MigrationRecorder(self.connection).ensure_schema()
        self.script.opening = tuple(tape.statements)

    @contextmanager
    def _taken_down(self, migration: Migration) -> Iterator[Migration]:
        """Give the migration to do, and note what it does."""
        # Forwards, Django takes it from the full plan, which knows nothing of our copies.
        planned = self._prepared[migration.app_label, migration.name]
        migration = planned.migration
        is_whole = is_transaction(migration, self.connection)
        gate = self.gate if self.gate and not is_whole else Gate()
        gate.open(str(planned), backwards=planned.backwards)
        tape = self._tape = Tape(self.connection, migration, gate, self.names)
        with self.replay.transaction() if self.gate and is_whole else nullcontext():
            with self.connection.execute_wrapper(tape):
                yield tape.observing()
            self._tape = None
        part = self._add_part(migration, tape)
        if self.gate is None and part.touches_rows and part.planned.key != self._last:
            self.replay.send(self.replay.settle())

    def _add_part(self, migration: Migration, tape: Tape | None = None) -> Part:
        planned = self._prepared[migration.app_label, migration.name]
        touches_rows = writes_rows(migration) or (tape is not None and tape.wrote_rows)
        part = Part(planned, touches_rows=touches_rows)
        if tape is not None and tape.is_replayable:
            part = Part(planned, tuple(tape.statements), touches_rows=touches_rows)
        elif tape is not None and tape.is_remembered:
            remembered = tape.remembering(backwards=planned.backwards)
            part = Part(planned, remembered=remembered, touches_rows=touches_rows)
        elif tape is not None:
            self.script.is_whole = False
        self.script.parts.append(part)
        return part


class HomeLedger(Ledger):
    """A recorder that knows what a home has applied, and writes rows as soon as Django does."""

    def __init__(self, leader: Leader, course: Course) -> None:
        super().__init__(course.applied)
        self._leader = leader

    def record_applied(self, app: str, name: str) -> None:
        super().record_applied(app, name)
        self._write()

    def record_unapplied(self, app: str, name: str) -> None:
        super().record_unapplied(app, name)
        self._write()

    def _write(self) -> None:
        self._leader.write(list(recording(self._leader.replay, self.take())))
