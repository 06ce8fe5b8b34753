"""What databases of MySQL and MariaDB look like: their own `SHOW CREATE`, taken apart.

Who was granted what is not in it: accounts belong to the server, and their grants may name many
databases by one pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from domicile.backends.catalog import Catalog, Facts, together
from domicile.exceptions import HomeMissing

_DATABASE = """
    SELECT default_character_set_name, default_collation_name
    FROM information_schema.schemata WHERE schema_name = %s
"""
_VIEWS = """
    SELECT table_name, view_definition, check_option, security_type
    FROM information_schema.views WHERE table_schema = %s
"""
_TRIGGERS = """
    SELECT event_object_table, trigger_name, action_timing, event_manipulation, action_statement
    FROM information_schema.triggers WHERE trigger_schema = %s
"""
_ROUTINES = """
    SELECT routine_type, routine_name, dtd_identifier, is_deterministic, sql_data_access,
        security_type, routine_comment, routine_definition
    FROM information_schema.routines WHERE routine_schema = %s
"""
_PARAMETERS = """
    SELECT routine_type, specific_name, parameter_mode, parameter_name, dtd_identifier
    FROM information_schema.parameters
    WHERE specific_schema = %s AND ordinal_position > 0 ORDER BY ordinal_position
"""
_EVENTS = """
    SELECT event_name, event_type, execute_at, interval_value, interval_field, status,
        on_completion, event_definition
    FROM information_schema.events WHERE event_schema = %s
"""
#: A line of `CREATE TABLE`: a column; or a key or a constraint, which may have a name.
_COLUMN = re.compile(r"`(?P<name>(?:[^`]|``)+)` (?P<definition>.*)", re.S)
_CONSTRAINT = re.compile(r"CONSTRAINT `(?P<name>(?:[^`]|``)+)` (?P<definition>.*)", re.S)
_KEY = re.compile(r"(?P<kind>(?:\w+ )*KEY) `(?P<name>(?:[^`]|``)+)` (?P<definition>.*)", re.S)
#: The value of a sequence, not a part of its definition.
_NEXT_VALUE = re.compile(r" AUTO_INCREMENT=\d+")


class MySQLCatalog(Catalog):
    def facts(self) -> Facts:
        return facts_of(self.connection, self.connection.database)


def facts_of(connection: Any, database: str) -> Facts:
    """Return what a database looks like; `HomeMissing` where there is none of that name."""
    with connection.cursor() as cursor:
        rows = _rows(cursor, _DATABASE, database)
        if not rows:
            raise HomeMissing(f"There is no database {database!r} on this server.")
        facts = {"database": together(rows[0])}
        for name, kind in _tables(cursor, database):
            if kind != "VIEW":
                facts.update(_table(cursor, database, name))
        facts.update(_others(cursor, database))
    return facts


def _rows(cursor: Any, query: str, database: str) -> list[tuple[Any, ...]]:
    cursor.execute(query, [database])
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _tables(cursor: Any, database: str) -> list[tuple[str, str]]:
    cursor.execute(f"SHOW FULL TABLES FROM {_quoted(database)}")
    rows: list[tuple[str, str]] = cursor.fetchall()
    return rows


def _table(cursor: Any, database: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield a table, its columns, keys and constraints, whatever the order of the columns."""
    cursor.execute(f"SHOW CREATE TABLE {_quoted(database)}.{_quoted(name)}")
    (_, text, *_) = cursor.fetchone()
    first, *lines = text.split("\n")
    table = _shown(name)
    if not first.endswith("("):  # A sequence.
        yield f"table {table}", text
        return
    end = next(position for position, line in enumerate(lines) if line.startswith(")"))
    rest = "\n".join(lines[end:]).removeprefix(")")
    yield f"table {table}", _NEXT_VALUE.sub("", rest).strip()
    for line in lines[:end]:
        yield _part(table, line.strip().removesuffix(","))


def _part(table: str, line: str) -> tuple[str, str]:
    if column := _COLUMN.match(line):
        return f"column {table}.{_shown(_bare(column['name']))}", column["definition"]
    if constraint := _CONSTRAINT.match(line):
        return f"constraint {table}.{_shown(_bare(constraint['name']))}", constraint["definition"]
    if key := _KEY.match(line):
        return f"index {table}.{_shown(_bare(key['name']))}", f"{key['kind']} {key['definition']}"
    return f"constraint {table}.{_shown(line)}", line


def _others(cursor: Any, database: str) -> Iterator[tuple[str, str]]:
    """Yield views, triggers, routines and events."""
    for name, definition, *rest in _rows(cursor, _VIEWS, database):
        # The server names every table with its database; it quotes both.
        text = definition.replace(f"{_quoted(database)}.", "")
        yield f"view {_shown(name)}", together([text, *rest])
    for table, name, *rest in _rows(cursor, _TRIGGERS, database):
        yield f"trigger {_shown(table)}.{_shown(name)}", together(rest)
    parameters = _rows(cursor, _PARAMETERS, database)
    for kind, name, *rest in _rows(cursor, _ROUTINES, database):
        own_parameters = (row[2:] for row in parameters if row[:2] == (kind, name))
        taken = ", ".join(map(together, own_parameters))
        yield f"{kind.lower()} {_shown(name)}", together([f"({taken})", *rest])
    for name, *rest in _rows(cursor, _EVENTS, database):
        yield f"event {_shown(name)}", together(str(part) for part in rest if part is not None)


def _bare(name: str) -> str:
    return name.replace("``", "`")


def _quoted(name: str) -> str:
    """Django's `quote_name()` does not double quotes inside."""
    doubled = name.replace("`", "``")
    return f"`{doubled}`"


def _shown(name: str) -> str:
    """Return a name as a fact shows it: in quotes where it is not a plain word."""
    return name if re.fullmatch(r"\w+", name) else _quoted(name)
