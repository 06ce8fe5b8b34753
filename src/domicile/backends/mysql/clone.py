"""Databases of MySQL and MariaDB made again from what the server shows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from django.db import DatabaseError

#: Tables and views as the server tells them apart.
_OBJECTS = """
    SELECT table_type, table_name FROM information_schema.tables
    WHERE table_schema = %s ORDER BY table_name
"""
_COLUMNS = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = %s AND extra NOT LIKE '%%GENERATED%%'
    ORDER BY table_name, ordinal_position
"""
_ROUTINES = """
    SELECT routine_type, routine_name FROM information_schema.routines
    WHERE routine_schema = %s ORDER BY routine_type, routine_name
"""
#: Triggers of one table act in order.
_TRIGGERS = """
    SELECT trigger_name FROM information_schema.triggers
    WHERE trigger_schema = %s ORDER BY event_object_table, action_order
"""
_EVENTS = "SELECT event_name FROM information_schema.events WHERE event_schema = %s"


class Cloning:
    """Fills the empty database that `connection` is at as `source` is filled.

    Nothing can be rolled back here: whoever begins this drops what a failure leaves.
    """

    def __init__(self, connection: Any, source: str) -> None:
        self.connection = connection
        self.source = source

    def run(self) -> None:
        with self.connection.constraint_checks_disabled(), self.connection.cursor() as self.cursor:
            self._tables()
            self._routines()
            self._views()
            self._later()

    def _tables(self) -> None:
        self._make("TABLE", self._named("BASE TABLE"))
        for name in self._named("SEQUENCE"):
            self._make("SEQUENCE", [name])
            self._execute(f"SELECT next_not_cached_value FROM {self._there(name)}")
            (following,) = self.cursor.fetchone()
            self._execute(f"SELECT SETVAL({self._quoted(name)}, {int(following)}, 0)")
        columns: dict[str, list[str]] = {}
        for table, column in self._ask(_COLUMNS):
            columns.setdefault(table, []).append(self._quoted(column))
        for name in self._named("BASE TABLE"):
            listed = ", ".join(columns[name])
            self._execute(
                f"INSERT INTO {self._quoted(name)} ({listed})"
                f" SELECT {listed} FROM {self._there(name)}"
            )

    def _routines(self) -> None:
        for kind, name in self._ask(_ROUTINES):
            self._make(kind, [name])

    def _views(self) -> None:
        """One may read from another: those that cannot be made yet wait for the others."""
        waiting = self._named("VIEW")
        while waiting:
            left = [name for name in waiting if not self._made_view(name)]
            if len(left) == len(waiting):
                self._make("VIEW", left)  # Says what is wrong.
            waiting = left

    def _made_view(self, name: str) -> bool:
        try:
            self._make("VIEW", [name])
        except DatabaseError:
            return False
        return True

    def _later(self) -> None:
        self._make("TRIGGER", [name for (name,) in self._ask(_TRIGGERS)])
        self._make("EVENT", [name for (name,) in self._ask(_EVENTS)])

    def _make(self, kind: str, names: Sequence[str]) -> None:
        for name in names:
            for statement in self._shown(kind, name):
                self._execute(statement)

    def _shown(self, kind: str, name: str) -> Iterator[str]:
        """Yield the statements that make it, with what it was made under where it has kept that."""
        self._execute(f"SHOW CREATE {kind} {self._there(name)}")
        columns = [column[0].lower() for column in self.cursor.description]
        shown = dict(zip(columns, self.cursor.fetchone(), strict=True))
        if "sql_mode" in shown:
            yield f"SET SESSION sql_mode = '{shown['sql_mode']}'"
        text = next(
            value
            for column, value in shown.items()
            if column.startswith("create ") or column == "sql original statement"
        )
        # Only views are shown with the database's name.
        yield text.replace(f"{self._quoted(self.source)}.", "") if kind == "VIEW" else text

    @cached_property
    def _objects(self) -> list[tuple[str, str]]:
        return self._ask(_OBJECTS)

    def _named(self, kind: str) -> list[str]:
        return [name for table_type, name in self._objects if table_type == kind]

    def _ask(self, query: str) -> list[Any]:
        self.cursor.execute(query, [self.source])
        return list(self.cursor.fetchall())

    def _execute(self, statement: str) -> None:
        self.cursor.execute(statement)

    def _there(self, name: str) -> str:
        return f"{self._quoted(self.source)}.{self._quoted(name)}"

    def _quoted(self, name: str) -> str:
        return "`{}`".format(name.replace("`", "``"))
