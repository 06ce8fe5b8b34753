"""How much of a home is compared with the first of its kind after a replay.

To read all of a catalog takes the server longer than most migrations. What Django's own operations
on the schema have changed in the first home is known, though, and they change nothing else in
others: so only the relations that came, went or changed there are compared. Drift in the rest of a
home does not stop a replay that came out right; `tenants check` finds it.

SQL and Python of the project's own may do elsewhere what they had no reason to do in the first
home: where a course has any, all is compared.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from domicile.backends.catalog import Catalog, Facts
from domicile.fleet.replay.plan import Course

#: Names of relations; None: all there are.
Scope = Collection[str] | None


class ScopeFinder:
    """Made before the first home is migrated, and asked afterwards."""

    def __init__(self, connection: Any, course: Course) -> None:
        self._catalog: Catalog = connection.catalog_class(connection)
        self._before: Facts | None = None
        if self._catalog.reads_relations and course.changes_schema_only:
            self._before = self._catalog.facts()

    def found(self) -> Scope:
        if self._before is None:
            return None
        return self._catalog.touched(self._before, self._catalog.facts())
