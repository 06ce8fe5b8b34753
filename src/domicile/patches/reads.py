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
from django.db.models.sql.query import RawQuery

from domicile.replicas.rescue import other_than


def install() -> None:
    """Apply it, once."""
    if not hasattr(SQLCompiler.execute_sql, "__wrapped__"):
        SQLCompiler.execute_sql = _elsewhere(SQLCompiler.execute_sql)  # type: ignore[method-assign]
        RawQuery._execute_query = _elsewhere(RawQuery._execute_query)  # type: ignore[attr-defined]


def _elsewhere(original: Any) -> Any:
    @functools.wraps(original)
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        except (DatabaseError, InterfaceError) as error:
            tried: list[str] = []
            if not _turns(self, tried, error):
                raise
        while True:
            try:
                return original(self, *args, **kwargs)
            except (DatabaseError, InterfaceError) as error:
                if not _turns(self, tried, error):
                    raise

    return read


def _turns(read: Any, tried: list[str], error: Exception) -> bool:
    """Have a compiler, or a raw query, go to another server; tell whether there is one."""
    alias = other_than(read.using, tried, error)
    if alias is None:
        return False
    read.using = alias
    if hasattr(read, "connection"):  # A raw query looks it up by itself.
        read.connection = connections[alias]
    return True
