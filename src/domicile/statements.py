"""Statements: whether one writes, told by its text, and what is called around all of them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

#: What may stand before the first word.
_START = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.S)
_FIRST_WORD = re.compile(r"[A-Za-z]+")
#: Statements that begin so write nothing that anybody reads, whatever follows.
_HARMLESS = frozenset(
    (
        *("analyze", "begin", "checkpoint", "close", "commit", "deallocate", "declare", "desc"),
        *("describe", "discard", "end", "fetch", "kill", "listen", "lock", "notify", "pragma"),
        *("release", "reset", "rollback", "savepoint", "set", "show", "start", "unlisten"),
        *("unlock", "use", "xa"),
    )
)
#: Those that begin so write only where one of the words below follows.
_READING = frozenset({"explain", "select", "table", "values", "with"})
_WRITING_WORD = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO)\b", re.I)
#: COPY to the client, or to a file.
_OUTWARD = re.compile(r"\s*COPY\b.*\bTO\b", re.I | re.S)
#: Quoted text, quoted names, and how a SELECT locks rows.
_OF_NO_MEANING = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b",
    re.I | re.S,
)


def is_write(sql: Any) -> bool:
    """Return whether a statement writes, or may: what cannot be told is taken for a write.

    A function that a SELECT calls cannot be seen to write: `domicile.note_write()` is for that.
    """
    return _is_write(sql if isinstance(sql, str) else _text(sql))


@lru_cache(maxsize=2048)
def _is_write(text: str) -> bool:
    if ";" in text:
        parts = [part for part in _OF_NO_MEANING.sub(" ", text).split(";") if part.strip()]
        if len(parts) > 1:
            return any(map(_is_write, parts))
    start = _START.match(text)
    word = _FIRST_WORD.match(text, start.end() if start else 0)
    first = "" if word is None else word[0].lower()
    if first not in _READING:
        return bool(first) and first not in _HARMLESS and not _OUTWARD.match(text)
    if not _WRITING_WORD.search(text):  # As most of them, so the rest is not looked at.
        return False
    return bool(_WRITING_WORD.search(_OF_NO_MEANING.sub(" ", text)))


def _text(sql: Any) -> str:
    if isinstance(sql, (bytes, bytearray)):
        return sql.decode(errors="replace")
    as_bytes = getattr(sql, "as_bytes", None)  # Of psycopg's `sql.SQL` and its relatives.
    return as_bytes(None).decode(errors="replace") if as_bytes else str(sql)


def put_first(connection: Any, wrapper: Any) -> bool:
    """Put a wrapper around all others of what a connection executes; tell whether it was not there.

    Not last: there `execute_wrapper()` of Django takes off its own.
    """
    wrappers = connection.execute_wrappers
    if wrapper in wrappers:
        return False
    wrappers.insert(0, wrapper)
    return True
