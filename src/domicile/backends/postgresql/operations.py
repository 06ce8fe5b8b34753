"""`flush` of a database in which templates refer to shared tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from domicile.conf import conf
from domicile.placement import TEMPLATE_NAME

_REFERS_TO_OTHERS = """
    SELECT 1
    FROM pg_catalog.pg_constraint
    JOIN pg_catalog.pg_class AS referred ON referred.oid = confrelid
    WHERE contype = 'f' AND relnamespace <> connamespace
        AND connamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s))
"""


def homed_operations(operations_class: type) -> type:
    class HomedOperations(operations_class):
        def sql_flush(self, style: Any, tables: Any, **options: Any) -> list[str]:
            """Return what empties tables. PostgreSQL empties none that others refer to, and the
            template of a placement may: it goes too, and is made anew when it is next needed. So
            do Django's `TransactionTestCase`s work, which flush the database after each test.
            """
            statements: list[str] = super().sql_flush(style, tables, **options)
            if not statements or self.connection.home is not None:
                return statements
            drops = (f"DROP SCHEMA {self.quote_name(name)} CASCADE;" for name in self._templates())
            return [*drops, *statements]

        def _templates(self) -> Iterator[str]:
            """Yield the schemas of templates that refer to shared tables."""
            for template in conf().placements.values():
                if template.layout == "schema" and template.database == self.connection.owner.alias:
                    name = template.locate(TEMPLATE_NAME)
                    with self.connection.cursor() as cursor:
                        cursor.execute(_REFERS_TO_OTHERS, [name])
                        if cursor.fetchone():
                            yield name

    return HomedOperations
