"""Foreign keys of tables that are made in the same message, put into their `CREATE TABLE`.

Django adds them afterwards, and each has the server look for rows that break it: for a table that
was made a moment ago that is a good part of its cost. There are none, and what comes of it is
compared with what Django made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = r'("(?:[^"]|"")+")'
_TABLE = re.compile(rf"CREATE TABLE {_NAME} (?=\()")
_KEY = re.compile(
    rf"ALTER TABLE {_NAME} ADD (CONSTRAINT {_NAME} FOREIGN KEY \(.+\) REFERENCES {_NAME} .*)"
)
_UNIQUE = re.compile(rf"ALTER TABLE {_NAME} ADD CONSTRAINT {_NAME} UNIQUE ")
#: Change nothing that a foreign key is made of.
_BESIDES = re.compile(r"CREATE (?:UNIQUE )?INDEX |COMMENT ON ")
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]""")


def keys_inside(statements: Iterable[str]) -> list[str]:
    """Return statements that do the same, as Django's schema editor writes them, with the foreign
    keys of new tables inside these; one stays where it is if what stands before may matter to it.
    """
    kept: list[str] = []
    made: dict[str, int] = {}
    #: Where a table was changed last in what a foreign key may refer to.
    changed: dict[str, int] = {}
    for text in statements:
        if key := _KEY.fullmatch(text):
            place = made.get(key[1])
            if place is not None and changed.get(key[4], -1) <= place and _is_valid(key[2]):
                kept[place] = f"{kept[place][:-1]}, {key[2]})"
                continue
        elif (table := _TABLE.match(text)) and _is_one_list(text[table.end() :]):
            made[table[1]] = changed[table[1]] = len(kept)
        elif unique := _UNIQUE.match(text):
            changed[unique[1]] = len(kept)
        elif not _BESIDES.match(text):
            made.clear()
        kept.append(text)
    return kept


def _is_valid(key: str) -> bool:
    return "NOT VALID" not in key


def _is_one_list(text: str) -> bool:
    """Tell whether it is all inside one pair of parentheses."""
    depth, end = 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "()":
            depth += 1 if token[0] == "(" else -1
            if not depth:
                end = token.end()
                break
    return end == len(text)
