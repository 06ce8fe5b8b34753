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
        tried: list[str] = []
        while True:
            try:
                return original(self, *args, **kwargs)
            except (DatabaseError, InterfaceError) as error:
                alias = other_than(self.using, tried, error)
                if alias is None:
                    raise
                self.using = alias
                if hasattr(self, "connection"):  # A compiler; a raw query looks it up by itself.
                    self.connection = connections[alias]

    return read
