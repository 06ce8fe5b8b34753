"""What a file of SQLite looks like: the definitions that it keeps as text, taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator

from domicile.backends.catalog import Catalog, Facts

_OBJECTS = """
    SELECT type, name, tbl_name, sql FROM sqlite_master
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
"""
#: A quoted name or string; white space and comments; a word; any other character.
_TOKEN = re.compile(
    r"""
    (?P<quoted>"(?:[^"]|"")*" | '(?:[^']|'')*' | `(?:[^`]|``)*` | \[[^\]]*\])
    | (?P<blank>(?:\s | --[^\n]* | /\*.*?\*/)+)
    | (?P<word>\w+)
    | (?P<mark>.)
    """,
    re.X | re.S,
)
_NAME = r"""(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\w+)"""
_CONSTRAINT = re.compile(rf"CONSTRAINT (?P<name>{_NAME})|(?:PRIMARY|UNIQUE|CHECK|FOREIGN)\b", re.I)
_COLUMN = re.compile(rf"(?P<name>{_NAME}) ?(?P<definition>.*)", re.S)


class SQLiteCatalog(Catalog):
    def facts(self) -> Facts:
        with self.connection.cursor() as cursor:
            cursor.execute(_OBJECTS)
            rows = cursor.fetchall()
        facts: Facts = {}
        for kind, name, table, text in rows:
            if kind == "table":
                facts.update(_table(_quoted(name), text))
            else:
                owner = "" if kind == "view" else f"{_quoted(table)}."
                facts[f"{kind} {owner}{_quoted(name)}"] = _evened(text)
        return facts


def _table(table: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield a table, its columns and its constraints, whatever the order of the columns."""
    parts, rest = _parts(text)
    yield f"table {table}", rest
    for part in parts:
        constraint = _CONSTRAINT.match(part)
        if constraint:
            # What has no name is known by what it says.
            yield f"constraint {table}.{_quoted(_bare(constraint['name'] or part))}", part
        elif column := _COLUMN.match(part):
            yield f"column {table}.{_quoted(_bare(column['name']))}", column["definition"]


def _parts(text: str) -> tuple[list[str], str]:
    """Return what stands between the commas of `CREATE TABLE name (…) rest`, and the rest.

    A virtual table has no such parts, only a rest.
    """
    if re.match(r"CREATE\s+VIRTUAL\b", text, re.I):
        return [], _evened(text)
    parts: list[str] = []
    current, depth = "", 0
    for token in _tokens(text):
        depth += token == "("
        depth -= token == ")"
        if (depth, token) in ((1, "("), (1, ","), (0, ")")):
            parts.append(current.strip())
            current = ""
        else:
            current += token
    return parts[1:], current.strip()


def _tokens(text: str) -> Iterator[str]:
    """Yield the parts of a statement; white space and comments as one space each."""
    for token in _TOKEN.finditer(text):
        yield " " if token["blank"] else token[0]


def _evened(text: str) -> str:
    return "".join(_tokens(text)).strip()


def _bare(name: str) -> str:
    """Return a name without its quotes."""
    quote = name[:1]
    if quote in '"`':
        return name[1:-1].replace(quote * 2, quote)
    return name[1:-1] if quote == "[" else name


def _quoted(name: str) -> str:
    """Return a name as a fact shows it: in quotes where it is not a plain word."""
    if re.fullmatch(r"\w+", name):
        return name
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
