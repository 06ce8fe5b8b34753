"""What makes a schema again whose rows come from elsewhere."""

from __future__ import annotations

from typing import Any

from domicile.backends.postgresql.clone import _HOME as HOME
from domicile.backends.postgresql.clone import ScriptReader


class KeysLastReader(ScriptReader):
    """Leaves all foreign keys to after the rows."""

    #: Whether those to shared tables come along.
    with_shared = True
    #: Whether what is granted on the schema itself does.
    with_grants = True

    def _query(self, name: str) -> list[Any]:
        found = super()._query(name)
        if name == "keys":
            return self._later_keys(found)
        if name == "later" and not self.with_grants:
            return [(stage, text) for stage, text in found if f"SCHEMA {HOME} " not in text]
        return found

    def _later_keys(self, keys: list[Any]) -> list[Any]:
        later = [(*key[:-1], False) for key in keys]
        if self.with_shared:
            return later
        self.cursor.execute(
            "SELECT c.oid FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = ANY (current_schemas(false))"
        )
        inside = {oid for (oid,) in self.cursor.fetchall()}
        return [key for key in later if key[2] in inside]
