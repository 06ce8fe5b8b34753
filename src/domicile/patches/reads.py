"""A read that a replica could not answer is done again elsewhere.

A replica gives up reads that stand in the way of its replay, and may die; the whole read, of which
nobody has seen a row, is then done on another, and last on the primary. Applied when the first rule
that names replicas is declared.
"""

from __future__ import annotations

import functools
from typing import Any

from django.db import DatabaseError, InterfaceError, connections
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI
from django.db.models.sql.query import RawQuery

from domicile.replicas.rescue import other_than


def install() -> None:
    """Apply it, once."""
    if not hasattr(SQLCompiler.execute_sql, "__wrapped__"):
        SQLCompiler.execute_sql = _compiled(SQLCompiler.execute_sql)  # type: ignore[method-assign]
        RawQuery._execute_query = _raw(RawQuery._execute_query)  # type: ignore[attr-defined]


def _compiled(original: Any) -> Any:
    # Named and handed on one by one: with *args and **kwargs each query would pay 3 to 6 µs more.
    @functools.wraps(original)
    def execute_sql(
        self: Any,
        result_type: Any = MULTI,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        try:
            return original(self, result_type, chunked_fetch, chunk_size)
        except (DatabaseError, InterfaceError) as error:
            return _elsewhere(error, original, self, result_type, chunked_fetch, chunk_size)

    return execute_sql


def _raw(original: Any) -> Any:
    @functools.wraps(original)
    def _execute_query(self: Any) -> None:
        try:
            original(self)
        except (DatabaseError, InterfaceError) as error:
            _elsewhere(error, original, self)

    return _execute_query


def _elsewhere(error: Exception, read: Any, query: Any, *args: Any) -> Any:
    """Read where else that can be done, after an error; raise the last where it cannot."""
    tried: list[str] = []
    while (alias := other_than(query.using, tried, error)) is not None:
        query.using = alias
        if hasattr(query, "connection"):  # A compiler; a raw query looks it up by itself.
            query.connection = connections[alias]
        try:
            return read(query, *args)
        except (DatabaseError, InterfaceError) as another:
            error = another
    raise error
