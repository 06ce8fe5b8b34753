"""Where a home stands whose migrations are not one transaction, so that they can be continued.

MySQL commits each change of the schema, and `CREATE INDEX CONCURRENTLY` is refused inside a
transaction. There each statement is noted before it is sent, with the fingerprint of the catalog
at that time. Whoever continues compares: an equal catalog means that the statement was not done
(or that doing it again is harmless), another that it was.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from domicile.context import no_tenant
from domicile.exceptions import NotSupported
from domicile.fleet.replay.capture import Gate
from domicile.placement import Home


def fingerprint_at(connection: Any, relations: Collection[str] | None = None) -> str:
    """Return the fingerprint of a home's catalog, or of some relations in it; empty where the
    engine has none.
    """
    try:
        fingerprint: str = connection.catalog_fingerprint(relations)
    except NotSupported:
        return ""
    return fingerprint


class Notes(Protocol):
    """Keeps one note for each home, where it outlives the process; written at once."""

    def read(self, home: Home) -> dict[str, Any]:
        """Return the note of a home, empty where there is none."""

    def write(self, home: Home, note: dict[str, Any]) -> None:
        """Put `note`, which JSON can hold, in the place of the one there is."""


class NoNotes:
    """For callers who undo what was cut off, and do not continue it."""

    def read(self, home: Home) -> dict[str, Any]:
        return {}

    def write(self, home: Home, note: dict[str, Any]) -> None:
        """Nobody will read it."""


class NotedGate(Gate):
    """Lets pass what is still to be done in a home, and notes it before."""

    def __init__(self, notes: Notes, home: Home, connection: Any) -> None:
        self._notes, self._home, self._connection = notes, home, connection
        self._replay = connection.replay_class(connection)
        #: What was left by who was cut off.
        with no_tenant():
            self._left = notes.read(home)
        self._migration: dict[str, Any] = {}
        self._position = 0

    def open(self, migration: str, *, backwards: bool) -> None:
        self._migration = {"migration": migration, "backwards": backwards}
        self._position = 0

    @property
    def _is_left(self) -> bool:
        return self._migration.items() <= self._left.items()

    def admits(self, sql: str) -> bool:
        self._position += 1
        if self._is_left:
            if self._position < self._left["position"]:
                return False
            if self._position == self._left["position"]:
                self._replay.clear_unfinished(sql)
                if fingerprint_at(self._connection) != self._left["before"]:
                    return False
        self._note()
        return True

    def _note(self) -> None:
        note = {
            **self._migration,
            "position": self._position,
            "before": fingerprint_at(self._connection),
        }
        with no_tenant():
            self._notes.write(self._home, note)

    def close(self) -> None:
        """All is done."""
        if self._left or self._position:
            with no_tenant():
                self._notes.write(self._home, {})
