"""Sessions that the server itself keeps from writing, by the vendor of Django's engine."""

from __future__ import annotations

from typing import Any

_STATEMENTS = {
    "postgresql": "SET default_transaction_read_only = on",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}


def make_read_only(connection: Any) -> None:
    """Have an open connection refuse writes, where its server can do that."""
    statement = _STATEMENTS.get(connection.vendor)
    if statement is not None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
