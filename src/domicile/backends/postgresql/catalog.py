"""What schemas of PostgreSQL look like."""

from __future__ import annotations

import re
from collections.abc import Collection

from domicile.backends.catalog import Catalog, Facts, fingerprint_of
from domicile.backends.postgresql.looking import facts_of, fingerprints_of

#: How the facts begin that relations are.
_RELATIONS = ("table ", "foreign table ", "view ", "materialized view ", "sequence ")
#: The quoted name that stands first in a fact, behind its kind.
_FIRST_NAME = re.compile(r'(?:[a-z]+ )+?("(?:[^"]|"")*"|[^\s".(]+)(?:\.|$| to )')
_SCHEMAS = r"""
    SELECT nspname, nspname = current_schema() FROM pg_catalog.pg_namespace
    WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'
    ORDER BY nspname
"""


class PostgresCatalog(Catalog):
    reads_relations = True

    def facts(self) -> Facts:
        main, *others = self._schemas()
        facts = facts_of(self.connection, main)
        for schema in others:
            found = facts_of(self.connection, schema)
            facts |= {f"schema {schema}: {name}": found[name] for name in found}
        return facts

    def fingerprint(self, relations: Collection[str] | None = None) -> str:
        if relations is not None and not relations:
            return fingerprint_of({})
        main, *others = self._schemas()
        if others and not relations:
            return fingerprint_of(self.facts())
        found = fingerprints_of(self.connection, [main], relations or ())
        return found[main] if main in found else fingerprint_of(self.facts())

    def get_ready(self) -> None:
        fingerprints_of(self.connection, [""], [""])

    def touched(self, before: Facts, after: Facts) -> Collection[str] | None:
        known = {
            fact.removeprefix(kind)
            for kind in _RELATIONS
            for fact in (*before, *after)
            if fact.startswith(kind)
        }
        differing = {fact for fact in before | after if before.get(fact) != after.get(fact)}
        named = map(_FIRST_NAME.match, differing)
        quoted = {found[1] if found else "" for found in named}
        return sorted(map(_unquoted, quoted)) if quoted <= known else None

    def _schemas(self) -> list[str]:
        """Return the schemas of the home, first the one that is meant where none is named."""
        if self.connection.schema is not None:
            return [self.connection.schema]
        with self.connection.cursor() as cursor:
            cursor.execute(_SCHEMAS)
            rows = cursor.fetchall()
        main = [name for name, is_main in rows if is_main]
        if self.connection.home is None:
            return main
        return main + [name for name, is_main in rows if not is_main]


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
