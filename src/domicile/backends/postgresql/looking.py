"""Looks at schemas of PostgreSQL: what they are like in full, or their fingerprints.

`catalog.sql` tells how it is read. Each session has the server parse that once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, LiteralString, NamedTuple

from django.db import ProgrammingError
from psycopg import errors, sql

from domicile.backends.catalog import Facts, statement
from domicile.exceptions import HomeMissing

_COMMON, _RARE, _FACT = (
    statement(__package__, f"{name}.sql") for name in ("catalog", "catalog_rare", "catalog_fact")
)
_FEW = f"{_COMMON}deparsed AS (SELECT * FROM common),\n{_FACT}"
_ALL = f"{_COMMON}{_RARE}deparsed AS (SELECT * FROM common UNION ALL SELECT * FROM rare),\n{_FACT}"
_JSON = """coalesce(jsonb_object_agg(object, definition)
    FILTER (WHERE object IS NOT NULL AND in_full), '{}')::text"""
_DIGEST = """md5(coalesce(string_agg(
    object || E'\\x1f' || definition, E'\\x1e' ORDER BY object COLLATE "C")
    FILTER (WHERE NOT in_full), ''))"""
#: Where another is expected, an error that ends the transaction.
_EXPECTED = """
    CASE WHEN coalesce(current_setting('domicile.expected', true), '') IN ('', found) THEN found
    ELSE ('It came out different: ' || coalesce(found, ''))::boolean::text END
"""
#: What becomes of the facts. One statement tells of both, since each session plans it anew. A
#: prepared statement is planned again when it is met on another search path, and the server
#: describes its result after it has run: so each restores the path itself.
_READING = f"""
    SELECT nspname, {_EXPECTED}, set_config('search_path', 'pg_catalog', true)
    FROM (
        SELECT nspname, CASE WHEN {{condition}} THEN
            CASE WHEN in_full THEN {_JSON} ELSE {_DIGEST} END END AS found
        FROM home LEFT JOIN fact ON true GROUP BY nspname, in_full
    ) AS it
"""
_LOOK = "domicile_look"
#: The one that tells of any home: the other answers NULL where it is unusual.
_LOOK_AT_ANY = "domicile_look_at_any"
_READINGS = {
    _LOOK: _FEW + _READING.replace("{condition}", "NOT (SELECT is_so FROM unusual)"),
    _LOOK_AT_ANY: _ALL + _READING.replace("{condition}", "true"),
}
#: Schemas read in one message.
_BATCH = 100


def facts_of(connection: Any, schema: str) -> Facts:
    """Return what a schema looks like; `HomeMissing` where there is none of that name."""
    found = _told(connection, [schema], Look(in_full=True))
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
    return _told(connection, schemas, Look(relations))


def fingerprint_after(connection: Any, statements: str, schema: str) -> str:
    """Send statements, and what reads the fingerprint of a schema behind them, in one message;
    return the fingerprint.
    """
    session = connection.owner
    look = _message(_LOOK, [schema], Look()).as_string(None)
    with session.cursor() as cursor:
        _prepare(session, cursor, _LOOK)
        try:
            cursor.execute(f"{statements}\n;\n{look}")
            *_, ((_, found, _),) = _answered(cursor.cursor)
        except ProgrammingError as error:
            _heed(error, session, _LOOK)
            raise
        finally:
            session.session.forget()
    if found is None:
        ((_, found),) = _read(connection, _LOOK_AT_ANY, [schema], Look())
    return found


class Look(NamedTuple):
    """What is looked at, and what is told of it."""

    #: Names of relations; all if empty.
    relations: Collection[str] = ()
    #: All facts, not their fingerprint.
    in_full: bool = False

    @property
    def settings(self) -> dict[str, sql.Composable]:
        """What the statements read."""
        named = json.dumps(list(self.relations), ensure_ascii=False) if self.relations else ""
        full = "on" if self.in_full else ""
        return {"relations": sql.Literal(named), "in_full": sql.Literal(full)}


def _told(connection: Any, schemas: Sequence[str], look: Look) -> dict[str, str]:
    """Return the answers for those schemas that are there."""
    found = dict(_read(connection, _LOOK, schemas, look))
    unusual = [schema for schema, answer in found.items() if answer is None]
    return found | dict(_read(connection, _LOOK_AT_ANY, unusual, look))


class Comparison:
    """Looks, in the message that changes a home, whether that came out as it has to."""

    def __init__(self, connection: Any, relations: Collection[str] | None, expected: str) -> None:
        """`connection` is that of a home which did; `relations` None: all there are."""
        look = Look(relations or ())
        found = dict(_read(connection, _LOOK, [connection.schema], look))
        is_usual = found[connection.schema] is not None
        self._reading = _LOOK if is_usual else _LOOK_AT_ANY
        self._before = _composed(
            "SET search_path TO pg_catalog; SET LOCAL domicile.relations TO {relations};"
            " SET LOCAL domicile.in_full TO {in_full}; SET LOCAL domicile.expected TO {expected};"
            " SET LOCAL domicile.schema TO ",
            expected=sql.Literal(expected),
            **look.settings,
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
    connection: Any, reading: str, schemas: Sequence[str], look: Look
) -> Iterator[tuple[str, Any]]:
    """Yield the answers for many schemas, from as few messages as are reasonable.

    They go by the session's own wrapper: as the role that logged in, who may see everything.
    """
    session = connection.owner
    for batch in _batches(schemas):
        try:
            yield from _answers(session, reading, batch, look)
        except ProgrammingError as error:
            if session.in_atomic_block or not _was_discarded(error):
                raise
            yield from _answers(session, reading, batch, look)


def _answers(
    session: Any, reading: str, schemas: Sequence[str], look: Look
) -> list[tuple[str, str]]:
    with session.cursor() as cursor:
        _prepare(session, cursor, reading)
        try:
            _send(session, cursor, _message(reading, schemas, look))
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


def _message(reading: str, schemas: Sequence[str], look: Look) -> sql.Composable:
    start = sql.SQL(
        "SET search_path TO pg_catalog; SET domicile.relations TO {relations};"
        " SET domicile.in_full TO {in_full}"
    ).format(**look.settings)
    execute = sql.SQL("; SET domicile.schema TO {{}}; EXECUTE {}").format(sql.Identifier(reading))
    each = sql.SQL(execute.as_string(None))
    texts = [each.format(sql.Literal(schema)) for schema in schemas]
    return start + sql.SQL("").join(texts)


def _rows(cursor: Any) -> Iterator[tuple[str, str]]:
    for rows in _answered(cursor.cursor):
        yield from ((schema, answer) for schema, answer, _ in rows)


def _answered(cursor: Any) -> Iterator[list[Any]]:
    """Yield the rows of each statement that gives any, or could, from a cursor of the driver's."""
    more = True
    while more:
        if cursor.description:
            yield cursor.fetchall()
        more = cursor.nextset()


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _BATCH):
        yield names[start : start + _BATCH]
