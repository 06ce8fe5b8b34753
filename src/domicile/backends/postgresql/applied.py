"""What many schemas have applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DatabaseError
from psycopg import errors, sql

from domicile.backends.applied import AppliedReader

_PRESENT = """
    SELECT n.nspname, EXISTS (
        SELECT FROM pg_catalog.pg_class
        WHERE relname = 'django_migrations' AND relnamespace = n.oid AND relkind = 'r' OFFSET 0
    )
    FROM pg_catalog.pg_namespace AS n WHERE n.nspname = ANY(%s)
"""
#: Which rows there are, in whatever order; nothing where there are none.
_DIGESTS = """
    SELECT position, count(*),
        bit_xor(hashtextextended(app || '.' || name, 0)),
        bit_xor(hashtextextended(app || '.' || name, 1))
    FROM ({each}) AS home GROUP BY position
"""


class SchemasApplied(AppliedReader):
    def present(self, cursor: Any, names: Sequence[str]) -> dict[str, bool]:
        cursor.execute(_PRESENT, [list(names)])
        return dict(cursor.fetchall())

    def digests(self, cursor: Any, names: Sequence[str]) -> Iterable[Sequence[Any]]:
        each = (
            f"SELECT {position} AS position, app, name FROM {_table(name)}"
            for position, name in enumerate(names)
        )
        cursor.execute(_DIGESTS.format(each=" UNION ALL ".join(each)))
        return [(names[position], *digest) for position, *digest in cursor.fetchall()]

    def rows(self, cursor: Any, name: str) -> Iterable[tuple[str, str]]:
        cursor.execute(f"SELECT app, name FROM {_table(name)}")
        rows: list[tuple[str, str]] = cursor.fetchall()
        return rows

    def is_gone(self, error: DatabaseError) -> bool:
        return isinstance(error.__cause__, (errors.UndefinedTable, errors.InvalidSchemaName))


def _table(schema: str) -> str:
    """Composing the whole statement would take the driver longer than the server to answer it."""
    return sql.Identifier(schema, "django_migrations").as_string(None)
