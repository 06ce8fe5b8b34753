"""Rows of files: held by SQLite's own lock for writers, closed by triggers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import OperationalError

from domicile.backends.transfer import ATTEMPT, MOVED_AWAY, HomeEnd

_TABLES = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
)
_TRIGGER = "domicile_moved"
_EVENTS = ("INSERT", "UPDATE", "DELETE")


class SQLiteEnd(HomeEnd):
    """A file."""

    @property
    def path(self) -> str:
        return str(self.connection.settings_dict["NAME"])

    def tables(self) -> list[str]:
        return [name for (name,) in self.execute(_TABLES)]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self.execute("BEGIN")
        try:
            # A transaction's view begins with its first statement.
            self.tables()
            yield
        finally:
            self.release()

    def attempt(self) -> bool:
        self.execute(f"PRAGMA busy_timeout = {ATTEMPT * 1000:.0f}")
        try:
            self.execute("BEGIN IMMEDIATE")
        except OperationalError as error:
            if "locked" in str(error):
                return False
            raise
        return True

    def release(self) -> None:
        raw = self.connection.connection
        if raw is not None and raw.in_transaction:
            self.execute("ROLLBACK")

    def retired_name(self, number: int) -> str:
        return f"{self.path}~{number}"

    def retire(self, number: int) -> None:
        """The triggers are there as soon as the transaction is over, and a writer that waited for
        that sees them.
        """
        quoted = self.connection.ops.quote_name
        for position, table in enumerate(self.tables()):
            for event in _EVENTS:
                self.execute(
                    f"CREATE TRIGGER {quoted(f'{_TRIGGER}_{position}_{event.lower()}')}"
                    f" BEFORE {event} ON {quoted(table)}"
                    f" BEGIN SELECT RAISE(ABORT, 'the file {MOVED_AWAY}'); END"
                )
        self.execute("COMMIT")

    def is_retired(self, name: str) -> bool:
        if Path(name).exists():
            return True
        self.persist(self.attempt, ATTEMPT * 50)
        try:
            return bool(
                self.execute(
                    "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name LIKE %s LIMIT 1",
                    [f"{_TRIGGER}%"],
                )
            )
        finally:
            self.release()

    def hide(self, name: str) -> None:
        self.connection.close()
        for suffix in ("-wal", "-shm", ""):
            try:
                os.rename(f"{self.path}{suffix}", f"{name}{suffix}")
            except FileNotFoundError:
                continue

    @contextmanager
    def loading(self, keep: frozenset[str] = frozenset()) -> Iterator[None]:
        connection = self.connection
        connection.disable_constraint_checking()
        self.execute("BEGIN IMMEDIATE")
        try:
            for table in self.tables():
                if table not in keep:
                    self.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
            yield
            connection.check_constraints()
            self.execute("COMMIT")
        finally:
            self.release()
