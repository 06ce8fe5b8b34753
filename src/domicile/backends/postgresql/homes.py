"""Schemas and databases of PostgreSQL as homes; with roles on, the role that may enter a schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DataError, ProgrammingError, connections, transaction
from psycopg import errors, sql

from domicile.backends.catalog import Facts
from domicile.backends.homes import Applied, HomeStore, Original
from domicile.backends.postgresql.applied import SchemasApplied
from domicile.backends.postgresql.clone import ROW_IS_MISSING, Script, ScriptReader
from domicile.backends.postgresql.looking import facts_of, fingerprint_after, fingerprints_of
from domicile.conf import conf
from domicile.exceptions import HomeExists, HomeMissing, NotSupported

_MAX_NAME_BYTES = 63
#: Scripts of sources that nobody writes to, by server, database, source and version.
_scripts: dict[tuple[str, ...], Script] = {}
_SCRIPTS = 32


def tenant_role(database: str, schema: str) -> str:
    """Return the name of the role for a schema. Roles belong to a server, so it names both."""
    return _fitted(f"{database}.{schema}")


def tenants_role(database: str) -> str:
    """Return the name of the role that all tenants' roles of a database are members of."""
    return _fitted(f"{database}..tenants")


def retired_name(schema: str, number: int) -> str:
    """Return the name under which a schema is kept that was closed."""
    return _fitted(f"{schema}~{number}")


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
    reads_many = True
    clones = True
    renames = True

    def exists(self, name: str) -> bool:
        return self._finds("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", name)

    def create(self, name: str) -> None:
        self.create_beside(name, name)

    def create_beside(self, name: str, other: str) -> None:
        with _taken(self.noun, name):
            if conf().roles:
                self._create_with_role(name, tenant_role(self._database, other))
            else:
                self._run("CREATE SCHEMA {schema}", schema=name)

    def drop(self, name: str) -> None:
        if self.connection.in_atomic_block:
            # A table cannot be dropped while deferred checks of its rows are pending.
            self.connection.check_constraints()
        self._run("DROP SCHEMA IF EXISTS {schema} CASCADE", schema=name)
        role = tenant_role(self._database, name)
        # One that owns other homes would take them along.
        if self._has_role(role) and not self._owns_schema(role):
            self._run("DROP OWNED BY {role}; DROP ROLE {role}", role=role)

    def names(self) -> set[str]:
        """Schemas of the server, of extensions and of the shared home are not a tenant's."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT nspname FROM pg_catalog.pg_namespace"
                " WHERE NOT starts_with(nspname, 'pg_') AND nspname <> ALL (%s)"
                " AND starts_with(nspname, %s)",
                [["information_schema", *self.template.extra_schemas], self.template.beginning],
            )
            names = {name for (name,) in cursor.fetchall()}
        return {name for name in names if self.template.name_at(name)}

    def traces(self) -> set[str]:
        """Roles outlive a schema that was dropped by hand."""
        prefix = tenant_role(self._database, "")
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT substr(rolname, %s) FROM pg_catalog.pg_roles"
                " WHERE starts_with(rolname, %s) AND rolname <> %s AND NOT rolcanlogin",
                [len(prefix) + 1, prefix, tenants_role(self._database)],
            )
            left = {name for (name,) in cursor.fetchall()}
        return self.names() | {name for name in left if self.template.name_at(name)}

    def clone(self, original: Original, target: str) -> None:
        with transaction.atomic(using=self.connection.alias), _taken(self.noun, target):
            script = self._script(original.name, original.version)
            role = tenant_role(self._database, target) if conf().roles else None
            if role:
                self.create(target)
            with self.connection.cursor() as cursor:
                owner = role or self._user(cursor)
            text = script.text(target, role, owner, makes=not role, label=original.label)
            try:
                found = fingerprint_after(self.connection, text, target)
            except DataError as error:
                if original.label and ROW_IS_MISSING in str(error):
                    raise original.label.missing() from error
                raise
            self.check_clone(original, target, found)

    def _script(self, source: str, version: str) -> Script:
        settings = self.connection.settings_dict
        key = (settings["HOST"], str(settings["PORT"]), settings["NAME"], source, version)
        script = _scripts.get(key) if version else None
        if script is None:
            script = self._read_script(source)
            _scripts[key] = script
            if len(_scripts) > _SCRIPTS:
                del _scripts[next(iter(_scripts))]
        return script

    def _read_script(self, source: str) -> Script:
        """A cursor of the driver's own is not sent home before each statement."""
        connection = self.connection
        connection.ensure_connection()
        try:
            with connection.wrap_database_errors, connection.connection.cursor() as cursor:
                return ScriptReader(cursor, source).read()
        finally:
            connection.session.forget()

    def _user(self, cursor: Any) -> str:
        return str(cursor.connection.info.user)

    def rename(self, old: str, new: str) -> None:
        with transaction.atomic(using=self.connection.alias):
            try:
                self._run("ALTER SCHEMA {old} RENAME TO {new}", old=old, new=new)
            except ProgrammingError as error:
                if isinstance(error.__cause__, errors.DuplicateSchema):
                    raise HomeExists(f"There is a schema {new!r} already.") from error
                if isinstance(error.__cause__, errors.InvalidSchemaName):
                    raise HomeMissing(f"There is no schema {old!r} to rename.") from error
                raise
            if conf().roles and self._has_role(tenant_role(self._database, old)):
                self._run(
                    "ALTER ROLE {old} RENAME TO {new}",
                    old=tenant_role(self._database, old),
                    new=tenant_role(self._database, new),
                )

    def retired_name(self, name: str, number: int) -> str:
        return retired_name(name, number)

    def applied(self, names: Sequence[str]) -> dict[str, Applied]:
        return SchemasApplied(self.connection).read(names)

    def fingerprints(self, names: Sequence[str]) -> dict[str, str]:
        return fingerprints_of(self.connection, names)

    def facts(self, name: str) -> Facts:
        return facts_of(self.connection, name)

    @property
    def _database(self) -> str:
        return str(self.connection.settings_dict["NAME"])

    def _has_role(self, role: str) -> bool:
        return self._finds("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", role)

    def _owns_schema(self, role: str) -> bool:
        return self._finds(
            "SELECT 1 FROM pg_catalog.pg_namespace AS schema JOIN pg_catalog.pg_roles AS role"
            " ON schema.nspowner = role.oid WHERE role.rolname = %s",
            role,
        )

    def _create_with_role(self, name: str, role: str) -> None:
        """Make the schema and, unless it is there, a NOLOGIN role that owns it and may read the
        shared schemas.
        """
        if not self._has_role(role):
            self._create_tenant_role(role)
        self._run("CREATE SCHEMA {schema} AUTHORIZATION {role}", schema=name, role=role)

    def _create_tenant_role(self, role: str) -> None:
        tenants = tenants_role(self._database)
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
        self._create_role(role)
        self._run("GRANT {tenants} TO {role}", tenants=tenants, role=role)

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
    clones = True
    renames = True

    def exists(self, name: str) -> bool:
        return self._finds("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", name)

    def create(self, name: str) -> None:
        self._refuse_transaction("created")
        with _taken(self.noun, name):
            self._run("CREATE DATABASE {database}", database=name)

    def names(self) -> set[str]:
        static = {settings["NAME"] for settings in connections.settings.values()}
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_catalog.pg_database WHERE NOT datistemplate")
            names = {name for (name,) in cursor.fetchall()}
        return {name for name in names - static if self.template.name_at(name)}

    def clone(self, original: Original, target: str) -> None:
        """The server copies files; nobody may be connected to the source meanwhile."""
        self._refuse_transaction("cloned")
        with _taken(self.noun, target):
            self._run(
                "CREATE DATABASE {target} TEMPLATE {source}", target=target, source=original.name
            )
        try:
            if original.label:
                with self.visit(target) as connection:
                    original.label.take_from(connection)
            self.check_clone(original, target)
        except BaseException:
            self.drop(target)
            raise

    def rename(self, old: str, new: str) -> None:
        self._refuse_transaction("renamed")
        if not self.exists(old):
            raise HomeMissing(f"There is no database {old!r} to rename.")
        with _taken(self.noun, new):
            self._run("ALTER DATABASE {old} RENAME TO {new}", old=old, new=new)

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
def _taken(noun: str, name: str) -> Iterator[None]:
    """Say so where there is one of that name, which was to be made."""
    try:
        yield
    except ProgrammingError as error:
        if isinstance(error.__cause__, errors.DuplicateSchema | errors.DuplicateDatabase):
            raise HomeExists(f"There is a {noun} {name!r} already.") from error
        raise
