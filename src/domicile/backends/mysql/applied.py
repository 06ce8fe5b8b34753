"""What many databases of a server have applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DatabaseError

from domicile.backends.applied import AppliedReader

_PRESENT = """
    SELECT s.schema_name, t.table_name IS NOT NULL
    FROM information_schema.schemata AS s
    LEFT JOIN information_schema.tables AS t
        ON t.table_schema = s.schema_name AND t.table_name = 'django_migrations'
    WHERE s.schema_name IN %s
"""
#: Half of each row's digest as a number; which rows there are, in whatever order.
_DIGEST = """
    SELECT %s, COUNT(*),
        BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT(app, '.', name)), 16), 16, 10) AS UNSIGNED)),
        BIT_XOR(CAST(CONV(RIGHT(MD5(CONCAT(app, '.', name)), 16), 16, 10) AS UNSIGNED))
    FROM {table}
"""
_GONE = (1049, 1146)  # No such database, no such table.


class DatabasesApplied(AppliedReader):
    def present(self, cursor: Any, names: Sequence[str]) -> dict[str, bool]:
        cursor.execute(_PRESENT, [tuple(names)])
        return {name: bool(has_table) for name, has_table in cursor.fetchall()}

    def digests(self, cursor: Any, names: Sequence[str]) -> Iterable[Sequence[Any]]:
        each = (_DIGEST.format(table=self._table(name).replace("%", "%%")) for name in names)
        cursor.execute(" UNION ALL ".join(each), list(names))
        rows: list[Sequence[Any]] = cursor.fetchall()
        return rows

    def rows(self, cursor: Any, name: str) -> Iterable[tuple[str, str]]:
        cursor.execute(f"SELECT app, name FROM {self._table(name)}")
        rows: list[tuple[str, str]] = cursor.fetchall()
        return rows

    def is_gone(self, error: DatabaseError) -> bool:
        return bool(error.args) and error.args[0] in _GONE

    def _table(self, database: str) -> str:
        doubled = database.replace("`", "``")
        return f"`{doubled}`.django_migrations"
