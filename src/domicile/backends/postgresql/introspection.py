"""Introspection of one schema: a tenant's home, not what its path also shows."""

from __future__ import annotations

from typing import Any

_TABLES = """
    SELECT relname,
        CASE
            WHEN relispartition THEN 'p'
            WHEN relkind IN ('m', 'v') THEN 'v'
            ELSE 't'
        END,
        obj_description(oid, 'pg_class')
    FROM pg_catalog.pg_class
    WHERE relkind IN ('f', 'm', 'p', 'r', 'v')
        AND relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s))
"""


def homed_introspection(introspection_class: type) -> type:
    class HomedIntrospection(introspection_class):
        def get_table_list(self, cursor: Any) -> list[Any]:
            """Return the tables of the home; with the shared ones among them, `migrate` would take
            the shared `django_migrations` for the tenant's.
            """
            # Importing it imports models, which ask for the connection whose engine this is.
            from django.db.backends.postgresql.introspection import TableInfo

            if self.connection.schema is None:
                return super().get_table_list(cursor)
            cursor.execute(_TABLES, [self.connection.schema])
            ignored = self.ignored_tables
            return [TableInfo(*row) for row in cursor.fetchall() if row[0] not in ignored]

    return HomedIntrospection
