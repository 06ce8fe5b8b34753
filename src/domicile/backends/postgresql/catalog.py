"""What schemas of PostgreSQL look like; `catalog.sql` tells how it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, LiteralString

from django.db import ProgrammingError
from psycopg import errors, sql

from domicile.backends.catalog import Catalog, Facts, fingerprint_of, statement
from domicile.exceptions import HomeMissing

_COMMON, _RARE, _FACT = (
    statement(__package__, f"{name}.sql") for name in ("catalog", "catalog_rare", "catalog_fact")
)
_FEW = f"{_COMMON}deparsed AS (SELECT * FROM common),\n{_FACT}"
_ALL = f"{_COMMON}{_RARE}deparsed AS (SELECT * FROM common UNION ALL SELECT * FROM rare),\n{_FACT}"
_JSON = (
    "coalesce(jsonb_object_agg(object, definition) FILTER (WHERE object IS NOT NULL), '{}')::text"
)
_DIGEST = """md5(coalesce(string_agg(
    object || E'\\x1f' || definition, E'\\x1e' ORDER BY object COLLATE "C"), ''))"""
#: What becomes of the facts. A prepared statement is planned again when it is met on another search
#: path, and the server describes its result after it has run: so each restores the path itself.
_READING = """
    SELECT nspname, {answer}, set_config('search_path', 'pg_catalog', true)
    FROM (SELECT nspname, {found} AS found FROM home LEFT JOIN fact ON true GROUP BY nspname) AS it
"""
_USUAL = "CASE WHEN NOT (SELECT is_so FROM unusual) THEN {found} END"
#: Where another is expected, an error that ends the transaction.
_EXPECTED = """
    CASE WHEN coalesce(current_setting('domicile.expected', true), '') IN ('', found) THEN found
    ELSE ('It came out different: ' || coalesce(found, ''))::boolean::text END
"""
_FACTS, _FINGERPRINT = "domicile_facts", "domicile_fingerprint"
#: By reading, the one that tells of any home: the others answer NULL where one is unusual.
_OF_ANY = {_FACTS: "domicile_facts_of_any", _FINGERPRINT: "domicile_fingerprint_of_any"}
_READINGS = {
    _FACTS: _FEW + _READING.format(found=_USUAL.format(found=_JSON), answer="found"),
    _OF_ANY[_FACTS]: _ALL + _READING.format(found=_JSON, answer="found"),
    _FINGERPRINT: _FEW + _READING.format(found=_USUAL.format(found=_DIGEST), answer=_EXPECTED),
    _OF_ANY[_FINGERPRINT]: _ALL + _READING.format(found=_DIGEST, answer=_EXPECTED),
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

    def get_ready(self) -> None:
        if self.connection.schema is not None:
            fingerprints_of(self.connection, [self.connection.schema], [""])

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
    found = _told(connection, _FACTS, [schema])
    if schema not in found:
        raise HomeMissing(
            f"The schema {schema!r} is not in the database {connection.settings_dict['NAME']!r}."
        )
    facts: Facts = json.loads(found[schema])
    return facts


def fingerprints_of(
    connection: Any, schemas: Sequence[str], relations: Collection[str] = ()
) -> dict[str, str]:
    """Return the fingerprints of those schemas that are there; of `relations` in them, if any."""
    return _told(connection, _FINGERPRINT, schemas, relations)


def _told(
    connection: Any, reading: str, schemas: Sequence[str], relations: Collection[str] = ()
) -> dict[str, str]:
    """Return the answers for those schemas that are there."""
    found = dict(_read(connection, reading, schemas, relations))
    unusual = [schema for schema, answer in found.items() if answer is None]
    return found | dict(_read(connection, _OF_ANY[reading], unusual, relations))


class Comparison:
    """Looks, in the message that changes a home, whether that came out as it has to."""

    def __init__(self, connection: Any, relations: Collection[str] | None, expected: str) -> None:
        """`connection` is that of a home which did; `relations` None: all there are."""
        found = dict(_read(connection, _FINGERPRINT, [connection.schema], relations or ()))
        is_usual = found[connection.schema] is not None
        self._reading = _FINGERPRINT if is_usual else _OF_ANY[_FINGERPRINT]
        self._before = _composed(
            "SET search_path TO pg_catalog; SET LOCAL domicile.relations TO {relations};"
            " SET LOCAL domicile.expected TO {expected}; SET LOCAL domicile.schema TO ",
            relations=sql.Literal(_named(relations or ())),
            expected=sql.Literal(expected),
        )
        self._after = _composed("; EXECUTE {reading}", reading=sql.Identifier(self._reading))

    def prepare(self, session: Any, cursor: Any) -> None:
        """Have the server parse the statement, once for each connection."""
        _prepare(session, cursor, self._reading)

    def statements(self, schema: str) -> bytes:
        """Return what fails unless the schema is as expected, to be sent as who logged in."""
        return self._before + sql.Literal(schema).as_bytes(None) + self._after

    def was_discarded(self, error: ProgrammingError, session: Any) -> bool:
        """Tell whether the error says that the statement is not there any more."""
        _heed(error, session, self._reading)
        return _was_discarded(error)


def _composed(text: LiteralString, **parts: sql.Composable) -> bytes:
    return sql.SQL(text).format(**parts).as_bytes(None)


def _read(
    connection: Any, reading: str, schemas: Sequence[str], relations: Collection[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Yield the answers for many schemas, from as few messages as are reasonable; `relations`, if
    any, are all of each that is looked at.

    They go by the session's own wrapper: as the role that logged in, who may see everything.
    """
    session = connection.owner
    for batch in _batches(schemas):
        try:
            yield from _answers(session, reading, batch, relations)
        except ProgrammingError as error:
            if session.in_atomic_block or not _was_discarded(error):
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
        except ProgrammingError as error:
            _heed(error, session, reading)
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
        _send(session, cursor, f"{path}PREPARE {reading} AS {_READINGS[reading]}")
        prepared.add(reading)


def _heed(error: ProgrammingError, session: Any, reading: str) -> None:
    if _was_discarded(error):
        session.connection.prepared.discard(reading)


def _was_discarded(error: ProgrammingError) -> bool:
    """Whether somebody discarded what was prepared."""
    return isinstance(error.__cause__, errors.InvalidSqlStatementName)


def _send(session: Any, cursor: Any, statements: Any) -> None:
    """Send many statements, which a driver that prepares all it sends could not."""
    with session.wrap_database_errors:
        cursor.cursor.execute(statements, prepare=False)


def _message(reading: str, schemas: Sequence[str], relations: Collection[str]) -> sql.Composable:
    start = sql.SQL("SET search_path TO pg_catalog; SET domicile.relations TO {}")
    execute = sql.SQL("; SET domicile.schema TO {{}}; EXECUTE {}").format(sql.Identifier(reading))
    each = sql.SQL(execute.as_string(None))
    texts = [each.format(sql.Literal(schema)) for schema in schemas]
    return start.format(sql.Literal(_named(relations))) + sql.SQL("").join(texts)


def _named(relations: Collection[str]) -> str:
    return json.dumps(list(relations), ensure_ascii=False) if relations else ""


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
