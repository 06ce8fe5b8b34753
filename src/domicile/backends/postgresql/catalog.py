"""What schemas of PostgreSQL look like; `catalog.sql` tells how it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db import ProgrammingError
from psycopg import errors, sql

from domicile.backends.catalog import Catalog, Facts, fingerprint_of, statement
from domicile.exceptions import HomeMissing

_FACTS = statement(__package__, "catalog.sql")
#: What becomes of the facts. A prepared statement is planned again when it is met on another search
#: path, and the server describes its result after it has run: so each restores the path itself.
_READINGS = {
    "domicile_facts": """
        SELECT nspname,
            (jsonb_object_agg(object, definition) FILTER (WHERE object IS NOT NULL))::text,
            set_config('search_path', 'pg_catalog', true)
        FROM home LEFT JOIN fact ON true GROUP BY nspname
    """,
    "domicile_fingerprint": """
        SELECT nspname, md5(coalesce(string_agg(
                object || E'\\x1f' || definition, E'\\x1e' ORDER BY object COLLATE "C"), '')),
            set_config('search_path', 'pg_catalog', true)
        FROM home LEFT JOIN fact ON true GROUP BY nspname
    """,
}
#: How the facts begin that relations are.
_RELATIONS = ("table ", "foreign table ", "view ", "materialized view ", "sequence ")
#: The quoted name that stands first in a fact, behind its kind.
_FIRST_NAME = re.compile(r'(?:[a-z]+ )+?("(?:[^"]|"")*"|[^\s".(]+)(?:\.|$| to )')
#: Schemas read in one message.
_BATCH = 100
_SCHEMAS = r"""
    SELECT nspname, nspname = current_schema() FROM pg_catalog.pg_namespace
    WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'
    ORDER BY nspname
"""


class PostgresCatalog(Catalog):
    reads_relations = True

    def facts(self) -> Facts:
        main, *others = self._schemas()
        facts = facts_of(self.connection, main)
        for schema in others:
            found = facts_of(self.connection, schema)
            facts |= {f"schema {schema}: {name}": found[name] for name in found}
        return facts

    def fingerprint(self, relations: Collection[str] | None = None) -> str:
        if relations is not None and not relations:
            return fingerprint_of({})
        main, *others = self._schemas()
        if others and not relations:
            return fingerprint_of(self.facts())
        found = fingerprints_of(self.connection, [main], relations or ())
        return found[main] if main in found else fingerprint_of(self.facts())

    def touched(self, before: Facts, after: Facts) -> Collection[str] | None:
        known = {
            fact.removeprefix(kind)
            for kind in _RELATIONS
            for fact in (*before, *after)
            if fact.startswith(kind)
        }
        differing = {fact for fact in before | after if before.get(fact) != after.get(fact)}
        named = map(_FIRST_NAME.match, differing)
        quoted = {found[1] if found else "" for found in named}
        return sorted(map(_unquoted, quoted)) if quoted <= known else None

    def _schemas(self) -> list[str]:
        """Return the schemas of the home, first the one that is meant where none is named."""
        if self.connection.schema is not None:
            return [self.connection.schema]
        with self.connection.cursor() as cursor:
            cursor.execute(_SCHEMAS)
            rows = cursor.fetchall()
        main = [name for name, is_main in rows if is_main]
        if self.connection.home is None:
            return main
        return main + [name for name, is_main in rows if not is_main]


def facts_of(connection: Any, schema: str) -> Facts:
    """Return what a schema looks like; `HomeMissing` where there is none of that name."""
    found = dict(_read(connection, "domicile_facts", [schema]))
    if schema not in found:
        raise HomeMissing(
            f"The schema {schema!r} is not in the database {connection.settings_dict['NAME']!r}."
        )
    facts: Facts = json.loads(found[schema] or "{}")
    return facts


def fingerprints_of(
    connection: Any, schemas: Sequence[str], relations: Collection[str] = ()
) -> dict[str, str]:
    """Return the fingerprints of those schemas that are there; of `relations` in them, if any."""
    return dict(_read(connection, "domicile_fingerprint", schemas, relations))


def _read(
    connection: Any, reading: str, schemas: Sequence[str], relations: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield the answers for many schemas, from as few messages as are reasonable; `relations`, if
    any, are all of each that is looked at.

    They go by the session's own wrapper: as the role that logged in, who may see everything.
    """
    session = connection.owner
    for batch in _batches(schemas):
        try:
            yield from _answers(session, reading, batch, relations)
        except ProgrammingError as error:
            was_discarded = isinstance(error.__cause__, errors.InvalidSqlStatementName)
            if session.in_atomic_block or not was_discarded:
                raise
            yield from _answers(session, reading, batch, relations)


def _answers(
    session: Any, reading: str, schemas: Sequence[str], relations: Collection[str]
) -> list[tuple[str, str]]:
    with session.cursor() as cursor:
        _prepare(session, cursor, reading)
        try:
            _send(session, cursor, _message(reading, schemas, relations))
            return list(_rows(cursor))
        except ProgrammingError:
            # Somebody may have discarded it.
            session.connection.prepared.discard(reading)
            raise
        finally:
            # It stands at another path than that of its alias.
            session.session.forget()


def _prepare(session: Any, cursor: Any, reading: str) -> None:
    """Have the server parse a reading, once for each connection.

    It has no parameters: with some, the first five executions would be planned again each.
    """
    prepared = session.connection.__dict__.setdefault("prepared", set())
    if session.connection.prepare_threshold is not None:
        # Then the driver prepares statements too, and at times deallocates all there are.
        cursor.execute("SELECT name FROM pg_catalog.pg_prepared_statements")
        prepared &= {name for (name,) in cursor.fetchall()}
    if reading not in prepared:
        path = "SET search_path TO pg_catalog; "
        _send(session, cursor, f"{path}PREPARE {reading} AS {_FACTS}{_READINGS[reading]}")
        prepared.add(reading)


def _send(session: Any, cursor: Any, statements: Any) -> None:
    """Send many statements, which a driver that prepares all it sends could not."""
    with session.wrap_database_errors:
        cursor.cursor.execute(statements, prepare=False)


def _message(reading: str, schemas: Sequence[str], relations: Collection[str]) -> sql.Composable:
    names = json.dumps(list(relations), ensure_ascii=False) if relations else ""
    start = sql.SQL("SET search_path TO pg_catalog; SET domicile.relations TO {}")
    execute = sql.SQL("; SET domicile.schema TO {{}}; EXECUTE {}").format(sql.Identifier(reading))
    each = sql.SQL(execute.as_string(None))
    texts = [each.format(sql.Literal(schema)) for schema in schemas]
    return start.format(sql.Literal(names)) + sql.SQL("").join(texts)


def _rows(cursor: Any) -> Iterator[tuple[str, str]]:
    more = True
    while more:
        if cursor.description:
            yield from ((schema, answer) for schema, answer, _ in cursor.fetchall())
        more = cursor.nextset()


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _BATCH):
        yield names[start : start + _BATCH]


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
