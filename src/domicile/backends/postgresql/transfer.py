"""Rows of schemas and databases of PostgreSQL: held by locks, carried by binary COPY."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from importlib.resources import files
from typing import Any

from django.core.management.color import no_style
from django.db import DatabaseError, InterfaceError, OperationalError, router
from psycopg import errors, sql

from domicile.backends.postgresql.carrying import CopyTransfer
from domicile.backends.postgresql.clone import Script
from domicile.backends.postgresql.clone.keys_last import KeysLastReader
from domicile.backends.postgresql.homes import retired_name
from domicile.backends.schema import is_of_owner
from domicile.backends.transfer import ATTEMPT, HomeEnd, RawTransfer
from domicile.conf import conf
from domicile.exceptions import NotSupported

logger = logging.getLogger("domicile.fleet")

_RETIRE = files(__package__).joinpath("retire.sql").read_text()
#: What a writer that does not stop makes of an attempt to lock.
_IN_USE = (errors.QueryCanceled, errors.LockNotAvailable, errors.DeadlockDetected)
_TABLES = """
    SELECT relname, relkind FROM pg_catalog.pg_class
    WHERE relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s))
        AND relkind IN ('r', 'p')
    ORDER BY relname
"""
_FOREIGN_KEYS = """
    SELECT r.relname, c.conname, pg_catalog.pg_get_constraintdef(c.oid)
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class r ON r.oid = c.conrelid
    WHERE r.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s))
        AND c.contype = 'f' AND c.conparentid = 0
    ORDER BY r.relname, c.conname
"""
_TRIGGERS = """
    SELECT r.relname, t.tgname, t.tgenabled::text
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class r ON r.oid = t.tgrelid
    WHERE r.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s))
        AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D'
"""
_ENABLE = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


class PostgresEnd(HomeEnd):
    """A schema, or a database of its own whose first schema it is."""

    @cached_property
    def schema(self) -> str:
        """The schema that the tables are in; it stays the same when that is retired."""
        return str(self.connection.schema or self.execute("SELECT current_schema()")[0][0])

    def named(self, name: str) -> sql.Composable:
        """Return a name in the home, quoted and qualified."""
        return sql.Identifier(self.schema, name)

    def run(self, statement: str, **parts: sql.Composable | str) -> list[tuple[Any, ...]]:
        """Send a statement whose parts are names."""
        names = {
            key: sql.Identifier(part) if isinstance(part, str) else part
            for key, part in parts.items()
        }
        return self.execute(sql.SQL(statement).format(**names))

    def tables(self, kinds: str = "rp") -> list[str]:
        return [name for name, kind in self.execute(_TABLES, [self.schema]) if kind in kinds]

    # As a source

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._begin()
        try:
            self.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        finally:
            self.release()

    def attempt(self) -> bool:
        self._begin()
        try:
            tables = self._held()
            self._lock(tables)
            if tables == self._held():
                return True
        except OperationalError as error:
            if not isinstance(error.__cause__, _IN_USE):
                raise
        self.release()
        return False

    def _held(self) -> list[sql.Composable]:
        """Return the tables that are held together, by one statement: no attempt may take longer
        for there being more homes.
        """
        ends: list[Any] = [self, *self.beside()]
        return [end.named(table) for end in ends for table in end.tables()]

    def _lock(self, tables: list[sql.Composable]) -> None:
        if not tables:
            return
        self.execute("SELECT set_config('statement_timeout', %s, true)", [f"{ATTEMPT * 1000:.0f}"])
        names = sql.SQL(", ").join(tables)
        self.run("LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE", names=names)
        # Nothing of the server's may end what is held from here on.
        self.execute(
            "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
        )

    def release(self) -> None:
        if self.connection.connection is None:
            return
        try:
            self.connection.rollback()
            self.connection.set_autocommit(True)
        except (DatabaseError, InterfaceError):
            self.connection.close()

    def retired_name(self, number: int) -> str:
        return retired_name(self.schema, number)

    def retire(self, number: int) -> None:
        ends: list[Any] = [self, *self.beside()]
        names = [(end.schema, end.retired_name(number)) for end in ends]
        # As the one who logged in: a tenant's own role cannot rename its schema.
        with self.connection.owner.cursor() as cursor:
            for home, old in names:
                cursor.execute(
                    sql.SQL(_RETIRE).format(home=sql.Literal(home), old=sql.Literal(old))
                )
        self.connection.commit()

    def is_retired(self, name: str) -> bool:
        # Who retires it holds it until that is done.
        self.persist(self.attempt, ATTEMPT * 50)
        try:
            found = self.execute("SELECT to_regnamespace(quote_ident(%s))", [name])
            return found[0][0] is not None
        finally:
            self.release()

    # As a target

    #: What of the source's structure comes after its rows.
    _rest: Script | None = None

    def build_like(self, source: HomeEnd) -> bool:
        """Make the tables, without foreign keys, and keep what comes after the rows. The catalog
        knows what no model does, such as tables of apps long removed.
        """
        if not isinstance(source, PostgresEnd):
            return False
        try:
            script = source.script_for(self)
        except NotSupported as error:
            logger.warning("%s is made by migrations: %s", self.home.alias, error)
            return False
        self._begin()
        try:
            self._run_script(Script(script.structure, "", ""))
            self.connection.commit()
        finally:
            self.release()
        self._rest = Script("", "", script.rest)
        return True

    def script_for(self, target: PostgresEnd) -> Script:
        """Return what makes this schema again at a target."""
        # One that is held is in a transaction.
        reading = self.snapshot() if self.connection.get_autocommit() else nullcontext()
        with reading, self._plain_cursor() as cursor:
            reader = KeysLastReader(cursor, self.schema, self.owner_schema)
            reader.with_shared = target.connection.reaches_shared
            reader.with_grants = self.is_database == target.is_database
            return reader.read()

    @property
    def is_database(self) -> bool:
        """Whether the schema is the one that a database of its own comes with."""
        return self.connection.schema is None

    @cached_property
    def owner_schema(self) -> str:
        """The schema of its tenant's own home, where it is another home beside that; or empty."""
        return "" if self.home.beside is None else str(self.connection.search_path[1])

    def _run_script(self, script: Script) -> None:
        role = self.connection.role if conf().roles else None
        with self._plain_cursor() as cursor:
            owner = role or cursor.connection.info.user
            cursor.execute(script.text(self.schema, role, owner, beside=self.owner_schema))

    @contextmanager
    def _plain_cursor(self) -> Iterator[Any]:
        """The driver's own cursor, as the one who logged in, which leaves alone the path that is
        set by what it sends.
        """
        with self.connection.owner.cursor() as cursor:
            cursor.execute("SELECT 1")
        with self.connection.wrap_database_errors, self.connection.connection.cursor() as cursor:
            try:
                yield cursor
            finally:
                self.connection.session.forget()

    def _begin(self) -> None:
        _ = self.schema
        self.connection.set_autocommit(False)

    @contextmanager
    def loading(self, keep: frozenset[str] = frozenset()) -> Iterator[None]:
        self._begin()
        try:
            keys = self.execute(_FOREIGN_KEYS, [self.schema])
            triggers = self.execute(_TRIGGERS, [self.schema])
            self._open(keys, triggers, keep)
            yield
            if self._rest is not None:
                self._run_script(self._rest)
            self._close(keys, triggers)
            self.connection.commit()
        finally:
            self.release()

    def link_shared(self, models: list[Any]) -> None:
        """Add the foreign keys to shared tables that a home far from these had to do without."""
        if self._rest is None:
            return  # Migrations made the tables, and these.
        editor = self.connection.SchemaEditorClass(self.connection, collect_sql=True, atomic=False)
        for model in models:
            for field in model._meta.local_fields:
                if self._is_missing(field):
                    # The name that migrations give it.
                    self.execute(
                        str(editor._create_fk_sql(model, field, "_fk_%(to_table)s_%(to_column)s"))
                    )

    def _is_missing(self, field: Any) -> bool:
        if not (field.is_relation and getattr(field, "db_constraint", False)):
            return False
        if is_of_owner(self.connection, field.related_model):
            return False  # Those came along.
        return not router.allow_migrate_model(self.connection.alias, field.related_model)

    def _open(self, keys: list[Any], triggers: list[Any], keep: frozenset[str]) -> None:
        """Take down what looks at rows one by one: keys are checked faster all at once, and rows
        that were written elsewhere have met their triggers there.
        """
        for table, name, _ in keys:
            self.run(
                "ALTER TABLE {table} DROP CONSTRAINT {name}", table=self.named(table), name=name
            )
        for table, name, _ in triggers:
            self.run(
                "ALTER TABLE {table} DISABLE TRIGGER {name}", table=self.named(table), name=name
            )
        if names := [self.named(table) for table in self.tables() if table not in keep]:
            # The home is new, so all that can refer to it are homes beside it, as empty.
            self.run("TRUNCATE {names} CASCADE", names=sql.SQL(", ").join(names))

    def _close(self, keys: list[Any], triggers: list[Any]) -> None:
        for table, name, definition in keys:
            self.run(
                "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}",
                table=self.named(table),
                name=name,
                definition=sql.SQL(definition),
            )
        for table, name, state in triggers:
            self.run(
                f"ALTER TABLE {{table}} {_ENABLE[state]} TRIGGER {{name}}",
                table=self.named(table),
                name=name,
            )

    def reset_sequences(self, models: list[Any]) -> None:
        for statement in self.connection.ops.sequence_reset_sql(no_style(), models):
            self.execute(statement)

    def raw_from(self, source: HomeEnd) -> Callable[[], RawTransfer] | None:
        if not isinstance(source, PostgresEnd):
            return None
        return lambda: CopyTransfer(source, self)
