"""SQLite: a file at a time; changes of the schema are transactions, with foreign keys off."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from domicile.backends.replay import Replay

_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class SQLiteReplay(Replay):
    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Tables that are made anew are dropped, which foreign keys would forbid or cascade; they
        cannot be switched off inside a transaction (https://www.sqlite.org/foreignkeys.html).
        """
        connection = self.connection
        connection.disable_constraint_checking()
        try:
            with transaction.atomic(using=connection.alias):
                yield
                connection.check_constraints()
        finally:
            connection.enable_constraint_checking()

    @contextmanager
    def waiting(self, seconds: float | None) -> Iterator[None]:
        if seconds is None:
            yield
            return
        with self.connection.cursor() as cursor:
            before = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
        self._limit(max(1, round(seconds * 1000)))
        try:
            yield
        finally:
            if self.connection.connection is not None:
                self._limit(before)

    def _limit(self, milliseconds: int) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(milliseconds)}")

    def was_busy(self, error: BaseException) -> bool:
        cause = error.__cause__
        return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode in _BUSY_CODES
