"""Schemas and databases of PostgreSQL as homes; with roles on, the role that may enter a schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import ProgrammingError
from psycopg import errors, sql

from domicile.backends.homes import HomeStore
from domicile.conf import conf
from domicile.exceptions import HomeExists, NotSupported

_MAX_NAME_BYTES = 63


def tenant_role(database: str, schema: str) -> str:
    """Return the name of the role for a schema. Roles belong to a server, so it names both."""
    return _fitted(f"{database}.{schema}")


def tenants_role(database: str) -> str:
    """Return the name of the role that all tenants' roles of a database are members of."""
    return _fitted(f"{database}..tenants")


def _fitted(name: str) -> str:
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[:24]}.{digest}"


class PostgresStore(HomeStore):
    max_name_bytes = _MAX_NAME_BYTES

    def _run(self, statement: str, **names: str) -> None:
        composed = sql.SQL(statement).format(
            **{key: sql.Identifier(name) for key, name in names.items()}
        )
        with self.connection.cursor() as cursor:
            cursor.execute(composed)

    def _finds(self, query: str, name: str) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(query, [name])
            return cursor.fetchone() is not None


class SchemaStore(PostgresStore):
    noun = "schema"

    def exists(self, name: str) -> bool:
        return self._finds("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", name)

    def create(self, name: str) -> None:
        try:
            if conf().roles:
                self._create_with_role(name)
            else:
                self._run("CREATE SCHEMA {schema}", schema=name)
        except ProgrammingError as error:
            if isinstance(error.__cause__, errors.DuplicateSchema):
                raise HomeExists(f"There is a schema {name!r} already.") from error
            raise

    def drop(self, name: str) -> None:
        if self.connection.in_atomic_block:
            # A table cannot be dropped while deferred checks of its rows are pending.
            self.connection.check_constraints()
        self._run("DROP SCHEMA IF EXISTS {schema} CASCADE", schema=name)
        role = tenant_role(self._database, name)
        if self._has_role(role):
            self._run("DROP OWNED BY {role}; DROP ROLE {role}", role=role)

    @property
    def _database(self) -> str:
        return str(self.connection.settings_dict["NAME"])

    def _has_role(self, role: str) -> bool:
        return self._finds("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", role)

    def _create_with_role(self, name: str) -> None:
        """Make the schema and a NOLOGIN role that owns it and may read the shared schemas."""
        role, tenants = tenant_role(self._database, name), tenants_role(self._database)
        if not self._has_role(tenants):
            self._create_role(tenants)
        for shared in self.template.extra_schemas:
            self._run(
                "GRANT USAGE ON SCHEMA {schema} TO {tenants};"
                "GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA {schema} TO {tenants};"
                "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema}"
                " GRANT SELECT, REFERENCES ON TABLES TO {tenants}",
                schema=shared,
                tenants=tenants,
            )
        if not self._has_role(role):
            self._create_role(role)
            self._run("GRANT {tenants} TO {role}", tenants=tenants, role=role)
        self._run("CREATE SCHEMA {schema} AUTHORIZATION {role}", schema=name, role=role)

    def _create_role(self, role: str) -> None:
        """Since version 16 the right to `SET ROLE` is granted apart, and inheriting can be left
        out (https://www.postgresql.org/docs/current/sql-grant.html#SQL-GRANT-DESCRIPTION-ROLES).
        """
        modern = self.connection.pg_version >= 160000
        self._run(
            "CREATE ROLE {role} NOLOGIN;"
            + ("GRANT {role} TO CURRENT_USER" + (" WITH SET TRUE" if modern else "")),
            role=role,
        )


class DatabaseStore(PostgresStore):
    noun = "database"

    def exists(self, name: str) -> bool:
        return self._finds("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", name)

    def create(self, name: str) -> None:
        self._refuse_transaction("created")
        try:
            self._run("CREATE DATABASE {database}", database=name)
        except ProgrammingError as error:
            if isinstance(error.__cause__, errors.DuplicateDatabase):
                raise HomeExists(f"There is a database {name!r} already.") from error
            raise

    def drop(self, name: str) -> None:
        self._refuse_transaction("dropped")
        self._run("DROP DATABASE IF EXISTS {database} WITH (FORCE)", database=name)

    def _refuse_transaction(self, what: str) -> None:
        if self.connection.in_atomic_block:
            raise NotSupported(
                f"A database cannot be {what} inside a transaction: call this outside `atomic()`,"
                " or use a placement by schema in tests that are wrapped in one (TestCase)."
            )


@contextmanager
def named_lock(connection: Any, key: str) -> Iterator[bool]:
    """Hold an advisory lock of this session, or of its transaction to the end of that
    (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
    """
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], signed=True)
    # A transaction that failed could not unlock; one that holds the lock itself need not.
    scope = "_xact" if connection.in_atomic_block else ""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory{scope}_lock(%s)", [number])
        (free,) = cursor.fetchone()
    try:
        yield free
    finally:
        if free and not scope and connection.connection is not None and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])
