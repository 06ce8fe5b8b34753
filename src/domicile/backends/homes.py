"""What an engine can do with a whole home: find it, make it, drop it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from domicile.conf import PlacementTemplate
from domicile.exceptions import CloneDiffers, InvalidName, NotSupported
from domicile.placement import TENANT_PREFIX, Home, Placement

#: The migrations that a home has applied: pairs of app label and name.
Applied = frozenset[tuple[str, str]]


class Row(NamedTuple):
    """A row of a home: its table, and the values of some of its columns."""

    table: str
    values: Mapping[str, str]

    def take_from(self, connection: Any) -> None:
        """Delete it in the home that a connection is at; `CloneDiffers` where it is not there."""
        with connection.cursor() as cursor:
            cursor.execute(*self._statement("DELETE", connection))
            if not cursor.rowcount:
                raise self.missing()

    def require(self, connection: Any) -> None:
        """Raise `CloneDiffers` where it is not in the home that a connection is at."""
        with connection.cursor() as cursor:
            cursor.execute(*self._statement("SELECT 1", connection))
            if not cursor.fetchall():
                raise self.missing()

    def _statement(self, verb: str, connection: Any) -> tuple[str, list[str]]:
        quote = connection.ops.quote_name
        columns = " AND ".join(f"{quote(column)} = %s" for column in self.values)
        return f"{verb} FROM {quote(self.table)} WHERE {columns}", list(self.values.values())

    def missing(self) -> CloneDiffers:
        """Return the error of a clone whose original had no such row."""
        return CloneDiffers(f"There is no such row in {self.table!r}: {self.values}.", {}, {})


@dataclass(frozen=True)
class Original:
    """A home that others are cloned from, and what is known of it."""

    name: str
    #: Empty: it is read.
    fingerprint: str = ""
    #: Names the state of one that nobody writes to, so that what has been read of it can be used
    #: again; empty: it may have changed.
    version: str = ""
    #: By which it is known; without it, it is another by now. No clone has it.
    label: Row | None = None


class HomeStore(ABC):
    """Homes of one layout, as `template` says, reached through one wrapper (`connection`)."""

    #: What the engine calls such a home, for messages.
    noun = "home"
    #: The longest name in bytes; longer ones would be truncated or refused by the server.
    max_name_bytes = 63
    #: Can many homes be read in a few statements, through one session?
    reads_many: ClassVar[bool] = False
    #: Can `clone()` make a home from another?
    clones: ClassVar[bool] = False
    #: Can `rename()` give a home another name?
    renames: ClassVar[bool] = False

    def __init__(self, connection: Any, template: PlacementTemplate) -> None:
        self.connection = connection
        self.template = template

    def validate(self, name: str) -> None:
        """Raise `InvalidName` where the engine would not take `name`, or not as it is."""
        if "\0" in name or not name:
            raise InvalidName(f"{name!r} cannot name a {self.noun}: it is empty or contains NUL.")
        if len(name.encode()) > self.max_name_bytes:
            raise InvalidName(
                f"{name!r} cannot name a {self.noun}: it has {len(name.encode())} bytes and"
                f" {self.connection.display_name} takes {self.max_name_bytes} at most."
            )

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether there is a home of that name."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Make an empty home; `HomeExists` where there is one of that name."""

    def create_beside(self, name: str, other: str) -> None:
        """Make an empty home of the tenant that `other` is a home of: whoever may enter that, may
        enter this.
        """
        self.create(name)

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop the home and all in it; nothing happens where there is none."""

    def names(self) -> set[str]:
        """Return the homes that are there and whose names a tenant of this placement could have."""
        raise NotSupported(f"{self.connection.display_name} does not list its homes.")

    def traces(self) -> set[str]:
        """Return names of homes that are there, and of homes of which something was left."""
        return self.names()

    def clone(self, original: Original, target: str) -> None:
        """Make a home with the structure and the rows of another.

        :raises HomeExists: `target` is there. `CloneDiffers`: it came out otherwise, and was
            dropped again. `NotSupported`: the original has what cannot be cloned.
        """
        raise NotSupported(f"{self.connection.display_name} does not clone a {self.noun}.")

    def rename(self, old: str, new: str) -> None:
        """Give a home that nobody uses another name; `HomeExists` where there is one of that,
        `HomeMissing` where there is none to rename.
        """
        raise NotSupported(f"{self.connection.display_name} does not rename a {self.noun}.")

    def retired_name(self, name: str, number: int) -> str:
        """Return under which name a home is kept that `HomeEnd.retire()` has closed."""
        raise NotSupported(f"{self.connection.display_name} does not retire a {self.noun}.")

    def check_clone(self, original: Original, target: str, found: str = "") -> None:
        """Raise `CloneDiffers` unless the clone looks as it has to.

        :param found: the clone's fingerprint; empty: not known yet.
        """
        source, found = original.name, found or self.fingerprints([target])[target]
        if found != (original.fingerprint or self.fingerprints([source])[source]):
            raise CloneDiffers(
                f"The {self.noun} {target!r}, a clone of {source!r}, is not like it.",
                self.facts(target),
                self.facts(source),
            )

    def facts(self, name: str) -> dict[str, str]:
        """Return what a home looks like: object → definition."""
        with self.visit(name) as connection:
            facts: dict[str, str] = connection.catalog_facts()
            return facts

    def applied(self, names: Sequence[str]) -> dict[str, Applied]:
        """Return what each home has applied: nothing where it has no `django_migrations`.

        Homes that are not there are left out.
        """
        found = {}
        for name in names:
            if self.exists(name):
                with self.visit(name) as connection:
                    found[name] = applied_at(connection)
        return found

    def fingerprints(self, names: Sequence[str]) -> dict[str, str]:
        """Return what tells each home's looks from others'; homes that are not there are left out.

        Two homes of one layout are alike exactly where these are equal.
        """
        found = {}
        for name in names:
            if self.exists(name):
                with self.visit(name) as connection:
                    found[name] = connection.catalog_fingerprint()
        return found

    @contextmanager
    def visit(self, name: str) -> Iterator[Any]:
        """Open a session of its own in a home, and close it in the end."""
        settings = self.connection.settings_dict
        options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
        home = Home(f"{TENANT_PREFIX}{name}", Placement(self.template.key, name))
        connection = type(self.connection)(
            {**settings, "NAME": name, "OPTIONS": options}, home.alias
        )
        connection.home = home
        connection.host = self.connection.host
        try:
            yield connection
        finally:
            connection.close()


def applied_at(connection: Any) -> Applied:
    """Return what the home behind a connection has applied, by that very session: Django's recorder
    would ask for the connection by its alias.
    """
    with connection.cursor() as cursor:
        if "django_migrations" not in connection.introspection.table_names(cursor):
            return frozenset()
        cursor.execute("SELECT app, name FROM django_migrations")
        return frozenset(cursor.fetchall())
