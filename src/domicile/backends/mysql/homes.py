"""Databases of MySQL and MariaDB as homes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError

from domicile.backends.homes import HomeStore
from domicile.exceptions import HomeExists, NotSupported

_DATABASE_EXISTS = 1007


class DatabaseStore(HomeStore):
    noun = "database"
    max_name_bytes = 64

    def exists(self, name: str) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [name]
            )
            return cursor.fetchone() is not None

    def create(self, name: str) -> None:
        self._refuse_transaction("created")
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {self.connection.ops.quote_name(name)}")
        except DatabaseError as error:
            if error.args and error.args[0] == _DATABASE_EXISTS:
                raise HomeExists(f"There is a database {name!r} already.") from error
            raise

    def drop(self, name: str) -> None:
        self._refuse_transaction("dropped")
        with self.connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {self.connection.ops.quote_name(name)}")

    def _refuse_transaction(self, what: str) -> None:
        """DDL commits here (https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html)."""
        if self.connection.in_atomic_block:
            raise NotSupported(
                f"A database cannot be {what} inside a transaction, which it would commit: call"
                " this outside `atomic()`."
            )


@contextmanager
def named_lock(connection: Any, key: str) -> Iterator[bool]:
    """Hold a named lock of this session
    (https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html).
    """
    name = hashlib.sha256(f"{connection.settings_dict['NAME']}:{key}".encode())
    with connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", [name.hexdigest()[:60]])
        free = bool(cursor.fetchone()[0])
    try:
        yield free
    finally:
        if free and connection.connection is not None and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT RELEASE_LOCK(%s)", [name.hexdigest()[:60]])
