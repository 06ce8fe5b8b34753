"""Databases of MySQL and MariaDB as homes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connections

from domicile.backends.catalog import Facts, fingerprint_of
from domicile.backends.homes import Applied, HomeStore, Original
from domicile.backends.mysql.applied import DatabasesApplied
from domicile.backends.mysql.catalog import facts_of
from domicile.backends.mysql.clone import Cloning
from domicile.exceptions import HomeExists, NotSupported
from domicile.placement import TENANT_PREFIX, Home, Placement

_DATABASE_EXISTS = 1007
_OF_THE_SERVER = frozenset({"mysql", "information_schema", "performance_schema", "sys"})


class DatabaseStore(HomeStore):
    noun = "database"
    max_name_bytes = 64
    reads_many = True
    clones = True

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

    def applied(self, names: Sequence[str]) -> dict[str, Applied]:
        return DatabasesApplied(self.connection).read(names)

    def fingerprints(self, names: Sequence[str]) -> dict[str, str]:
        return {name: fingerprint_of(self.facts(name)) for name in names if self.exists(name)}

    def facts(self, name: str) -> Facts:
        return facts_of(self.connection, name)

    def names(self) -> set[str]:
        static = {settings["NAME"] for settings in connections.settings.values()}
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT schema_name FROM information_schema.schemata")
            names = {name for (name,) in cursor.fetchall()} - static - _OF_THE_SERVER
        return {name for name in names if self.template.name_at(name)}

    def clone(self, original: Original, target: str) -> None:
        self.create(target)
        try:
            with self._at(target) as connection:
                self._take_character_set(connection, original.name)
                Cloning(connection, original.name).run()
                if original.label:
                    original.label.take_from(connection)
            if original.label:  # Tables are read one after the other: it is the same source still.
                with self._at(original.name) as connection:
                    original.label.require(connection)
            self.check_clone(original, target)
        except BaseException:
            self.drop(target)
            raise

    @contextmanager
    def _at(self, name: str) -> Iterator[Any]:
        """Go to a database by the session that there is."""
        home = Home(
            f"{TENANT_PREFIX}{name}",
            Placement(self.template.key, self.template.name_at(name) or name),
        )
        view = self.connection.view(home.alias, home)
        mode = "SELECT @@SESSION.sql_mode"
        with view.cursor() as cursor:
            cursor.execute(mode)
            (before,) = cursor.fetchone()
            try:
                yield view
            finally:
                cursor.execute("SET SESSION sql_mode = %s", [before])

    def _take_character_set(self, connection: Any, source: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT default_character_set_name, default_collation_name"
                " FROM information_schema.schemata WHERE schema_name = %s",
                [source],
            )
            charset, collation = cursor.fetchone()
            cursor.execute(f"ALTER DATABASE CHARACTER SET {charset} COLLATE {collation}")

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
