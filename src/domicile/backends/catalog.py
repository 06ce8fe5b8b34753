"""What a home looks like, as its engine's catalog tells it.

A fact is an object and its definition, such as `index students_student.by_name` and `btree (name)`.
The home's own name is in none, and neither is what a migration cannot mean: the order in which a
table got its columns (homes that added the same fields in another order are alike to Django, which
names every column), the values of sequences, what the engine names by itself and nobody refers to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from importlib.resources import files
from typing import Any, ClassVar

from domicile.exceptions import NotSupported

Facts = dict[str, str]


class Catalog:
    """Reads the catalog of one wrapper's home, in its current transaction."""

    #: Whether it can tell what some relations alone look like.
    reads_relations: ClassVar[bool] = False

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def facts(self) -> Facts:
        """Return object → definition; `HomeMissing` where there is no such home."""
        raise NotSupported(f"{self.connection.display_name} does not tell what a home looks like.")

    def fingerprint(self, relations: Collection[str] | None = None) -> str:
        """Return 32 hexadecimal digits, equal exactly where the facts are.

        :param relations: where `reads_relations`, those that are meant; None: all that is there.
        """
        return fingerprint_of(self.facts())

    def get_ready(self) -> None:
        """Do what the first fingerprint that is read in a session costs more than others."""

    def touched(self, before: Facts, after: Facts) -> Collection[str] | None:
        """Return the relations that differing facts are about; None where some are about another
        kind of object.
        """
        return None


def fingerprint_of(facts: Mapping[str, str]) -> str:
    """Return one digest of many facts, whatever their order."""
    lines = sorted(f"{name}\x1f{definition}" for name, definition in facts.items())
    return hashlib.md5("\x1e".join(lines).encode(), usedforsecurity=False).hexdigest()


def together(parts: Iterable[str | None]) -> str:
    """Return the words of a definition that are there, with a space between."""
    return " ".join(part for part in parts if part)


def statement(package: str, name: str) -> str:
    """Return the SQL that stands in a file beside a module."""
    return files(package).joinpath(name).read_text()
