"""What many homes have applied, read in a few statements through one session.

Most homes of a fleet have applied the same. So each gives a digest, and only one home for each
digest all its rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DatabaseError

from domicile.backends.homes import Applied

#: How often a batch is read again because a home was dropped meanwhile.
_ATTEMPTS = 10
Digest = tuple[Any, ...]


class AppliedReader(ABC):
    """Reads `django_migrations` of many homes."""

    #: Homes read in one statement. The more there are, the longer planning takes for each.
    batch = 100

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._known: dict[Digest, Applied] = {}

    def read(self, names: Sequence[str]) -> dict[str, Applied]:
        """Return what each home has applied; those that are not there are left out."""
        found: dict[str, Applied] = {}
        for start in range(0, len(names), self.batch):
            found |= self._steadily(names[start : start + self.batch])
        return found

    def _steadily(self, names: Sequence[str]) -> dict[str, Applied]:
        """Read a batch; again, where a home that was there a moment ago is gone."""
        for _ in range(_ATTEMPTS):
            savepoint = self.connection.savepoint()  # None outside a transaction, which needs none.
            try:
                found = self._read(names)
            except DatabaseError as error:
                if not self.is_gone(error):
                    raise
                self.connection.savepoint_rollback(savepoint)
            else:
                self.connection.savepoint_commit(savepoint)
                return found
        return self._read(names)

    def _read(self, names: Sequence[str]) -> dict[str, Applied]:
        with self.connection.cursor() as cursor:
            present = self.present(cursor, names)
            found: dict[str, Applied] = dict.fromkeys(present, frozenset())
            recorded = [name for name, has_table in present.items() if has_table]
            for name, *digest in self.digests(cursor, recorded) if recorded else ():
                found[name] = self._meaning(cursor, name, tuple(digest))
        return found

    def _meaning(self, cursor: Any, name: str, digest: Digest) -> Applied:
        if digest not in self._known:
            self._known[digest] = frozenset(self.rows(cursor, name))
        return self._known[digest]

    @abstractmethod
    def present(self, cursor: Any, names: Sequence[str]) -> dict[str, bool]:
        """Return the homes that are there, and whether they have the table."""

    @abstractmethod
    def digests(self, cursor: Any, names: Sequence[str]) -> Iterable[Sequence[Any]]:
        """Return rows of a home's name and the values that make its digest; those that have applied
        nothing may be left out.
        """

    @abstractmethod
    def rows(self, cursor: Any, name: str) -> Iterable[tuple[str, str]]:
        """Return app and name of each migration applied."""

    @abstractmethod
    def is_gone(self, error: DatabaseError) -> bool:
        """Tell whether the server said that there is no such table, or home."""
