"""What a migration sends to one home, taken down so that it can be sent to others.

Django's own operations on the schema send statements that depend on the states of the project and
on the catalog alone, and homes whose statements are compared in the end have equal catalogs. What
an operation only read is not sent again. All else (Python, operations of other packages, defaults
that a function makes) may depend on the home, and is done by Django in each, on states that are
kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.migrations import Migration, RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Field

from domicile.backends.replay import Statement
from domicile.fleet.replay.after import RenameContentType
from domicile.fleet.replay.internals import keep_rendered, with_operations

_SCHEMA_OPERATIONS = (
    "django.db.migrations.operations.models",
    "django.db.migrations.operations.fields",
)
#: Operations of `django.contrib.postgres` that are not about the server's extensions.
_POSTGRES_OPERATIONS = frozenset(
    {
        *("AddIndexConcurrently", "RemoveIndexConcurrently", "CreateCollation", "RemoveCollation"),
        *("AddConstraintNotValid", "ValidateConstraint"),
    }
)
_CONSTANT_DEFAULTS = (dict, list, set, tuple, str, bytes, int, float, bool)
_READING = re.compile(r"[\s(]*(?:SELECT|WITH|VALUES|SHOW|DESCRIBE|EXPLAIN|PRAGMA)\b", re.I)
_SAVEPOINT = re.compile(r"\s*(?:SAVEPOINT|RELEASE|ROLLBACK TO)\b", re.I)


def is_replayable(operation: Operation) -> bool:
    """Tell whether the statements of an operation are the same in homes that are alike."""
    operation = _itself(operation)
    if isinstance(operation, RenameContentType) or type(operation) is RunSQL:
        return True
    if type(operation) is SeparateDatabaseAndState:
        return all(map(is_replayable, operation.database_operations))
    return _is_of_django(type(operation)) and not any(map(_varies, _fields(operation)))


def _itself(operation: Any) -> Operation:
    return operation.operation if isinstance(operation, Remembered) else operation


def _is_of_django(kind: type) -> bool:
    if kind.__module__ == "django.contrib.postgres.operations":
        return kind.__name__ in _POSTGRES_OPERATIONS
    return kind.__module__ in _SCHEMA_OPERATIONS


def _fields(operation: Any) -> Iterator[Field[Any, Any]]:
    field = getattr(operation, "field", None)
    if isinstance(field, Field):
        yield field


def _varies(field: Field[Any, Any]) -> bool:
    """Whether the default of a column that is added is made by a function, for each home anew."""
    default = field.default if field.has_default() else None
    return callable(default) and default not in _CONSTANT_DEFAULTS


def is_plain(migration: Migration) -> bool:
    """Tell whether a migration is its operations, with no method of its own."""
    kind = type(migration)
    return kind.apply is Migration.apply and kind.unapply is Migration.unapply


class Remembered:
    """An operation with the states that it was done between: done again, it needs no others."""

    def __init__(self, operation: Operation, before: ProjectState, after: ProjectState) -> None:
        self.operation, self.before, self.after = operation, before, after
        self.atomic = operation.atomic
        self.reversible = operation.reversible

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """The states are known."""

    def database_forwards(self, app_label: str, schema_editor: Any, *_: ProjectState) -> None:
        self.operation.database_forwards(app_label, schema_editor, self.before, self.after)

    def database_backwards(self, app_label: str, schema_editor: Any, *_: ProjectState) -> None:
        self.operation.database_backwards(app_label, schema_editor, self.before, self.after)


class Observed:
    """An operation that tells a tape what it is about to do."""

    def __init__(self, operation: Operation, tape: Tape) -> None:
        self.operation, self.tape = operation, tape
        self.atomic = operation.atomic
        self.reversible = operation.reversible

    def __str__(self) -> str:
        return str(self.operation)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        self.operation.state_forwards(app_label, state)

    def database_forwards(
        self, app_label: str, schema_editor: Any, before: ProjectState, after: ProjectState
    ) -> None:
        with self.tape.operation(self.operation, schema_editor, before, after) as admitted:
            if admitted:
                self.operation.database_forwards(app_label, schema_editor, before, after)

    def database_backwards(
        self, app_label: str, schema_editor: Any, before: ProjectState, after: ProjectState
    ) -> None:
        with self.tape.operation(self.operation, schema_editor, before, after) as admitted:
            if admitted:
                self.operation.database_backwards(app_label, schema_editor, before, after)


class Gate:
    """Decides, where each statement is its own commit, which are still to be sent. This one lets
    all pass; `domicile.fleet.replay.notes` has one that can be stopped anywhere and continued.
    """

    def open(self, migration: str, *, backwards: bool) -> None:
        """A migration begins (`app.name`), or its undoing."""

    def admits(self, sql: str) -> bool:
        """Tell whether the next statement, or the next operation in Python, is to be done."""
        return True


class Tape:
    """Takes down what one migration does to one home; an execute wrapper of its connection."""

    def __init__(
        self,
        connection: Any,
        migration: Migration,
        gate: Gate,
        names: HomeNames | None = None,
    ) -> None:
        """Without the names that only this home has, nothing is kept for other homes."""
        self.connection, self.migration = connection, migration
        self.statements: list[Statement] = []
        self.remembered: list[Remembered] = []
        self._names, self._gate = names, gate
        self._replayable = is_plain(migration) and all(map(is_replayable, migration.operations))
        self._keeps = names is not None and (
            not self._replayable or any(map(_is_sql, migration.operations))
        )
        self._free_text = False
        self._writing = self._by_home = self._off = False

    @property
    def is_replayable(self) -> bool:
        """Whether the statements may be sent to other homes."""
        return self._replayable

    @property
    def is_remembered(self) -> bool:
        """Whether the migration can be done by Django in other homes, on the states kept."""
        return self._keeps and is_plain(self.migration)

    @property
    def wrote_rows(self) -> bool:
        """Whether Django itself filled a column; it has their checks done at once then."""
        return any("SET CONSTRAINTS" in statement.sql for statement in self.statements)

    def observing(self) -> Migration:
        """Return the migration, with operations that tell of what they do."""
        observed = (Observed(each, self) for each in self.migration.operations)
        return with_operations(self.migration, observed)

    def remembering(self, *, backwards: bool) -> Migration:
        """Return the migration, with operations that need no states."""
        # In the order in which they are written; backwards they were done in the other.
        done = self.remembered[::-1] if backwards else self.remembered
        return with_operations(self.migration, done)

    @contextmanager
    def operation(
        self, operation: Operation, schema_editor: Any, before: ProjectState, after: ProjectState
    ) -> Iterator[bool]:
        """Take down an operation; the value tells whether it is to be done."""
        self._attach(schema_editor)
        self._by_home = not is_replayable(operation)
        self._free_text = _is_sql(operation)
        if self._keeps:
            if not _is_of_django(type(_itself(operation))):
                keep_rendered(before)
            self.remembered.append(Remembered(operation, before, after.clone()))
        try:
            yield not self._by_home or self._passes("")
        finally:
            self._by_home = self._free_text = False

    @contextmanager
    def off(self) -> Iterator[None]:
        """Take nothing down: what is sent is not the migration's."""
        before, self._off = self._off, True
        try:
            yield
        finally:
            self._off = before

    def _attach(self, schema_editor: Any) -> None:
        """Hear from the editor what is a change; the rest only reads the catalog."""
        if "execute" in vars(schema_editor):
            return
        execute = schema_editor.execute

        def writing(*args: Any, **kwargs: Any) -> Any:
            self._writing = True
            try:
                return execute(*args, **kwargs)
            finally:
                self._writing = False

        schema_editor.execute = writing

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self._off or self._by_home or context["connection"].alias != self.connection.alias:
            return execute(sql, params, many, context)
        text = str(sql)
        if _SAVEPOINT.match(text) or (not self._writing and _READING.match(text)):
            return execute(sql, params, many, context)
        self._take(text, params, many)
        if self._passes(text):
            return execute(sql, params, many, context)
        return None

    def _take(self, text: str, params: Any, many: bool) -> None:
        values = None if params is None else tuple(params)
        self.statements.append(Statement(text, values))
        said = f"{text} {values or ''}"
        if many or (self._names and self._names.are_in(said, anywhere=self._free_text)):
            self._replayable = False

    def _passes(self, sql: str) -> bool:
        with self.off():
            return self._gate.admits(sql)


class HomeNames:
    """What only the home that is captured is called: a statement that says so is not for others."""

    def __init__(self, names: Iterable[str]) -> None:
        either = "|".join(map(re.escape, sorted(filter(None, names), key=len, reverse=True)))
        self._anywhere = re.compile(rf"(?<!\w)(?:{either})(?!\w)")
        # Django never names a schema; a table or a column may be called as one by chance.
        self._qualifying = re.compile(rf"(?<!\w)(?:{either})[\"`]?\.")

    def are_in(self, text: str, *, anywhere: bool) -> bool:
        return bool((self._anywhere if anywhere else self._qualifying).search(text))


def _is_sql(operation: Operation) -> bool:
    operation = _itself(operation)
    if isinstance(operation, SeparateDatabaseAndState):
        return any(map(_is_sql, operation.database_operations))
    return isinstance(operation, RunSQL)


def writes_rows(migration: Migration) -> bool:
    """Tell whether a migration may write rows, and not only change the schema."""
    return any(_is_sql(each) or not is_replayable(each) for each in migration.operations)
