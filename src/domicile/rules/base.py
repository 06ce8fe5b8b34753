"""What a rule is: a declared answer to "where do the rows of this model live".

`DOMICILE["RULES"]` is a list of rules, and the first that has a say about a model wins; a model
about which none has lives in tenants or in the shared home, as its app does. Settings files import
this, so nothing here needs apps or settings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.db.models import Model


class Rule:
    """One entry of `DOMICILE["RULES"]`; its subclasses are frozen dataclasses."""

    #: Whether it has a say about models of tenant apps too, whose rows stay in their tenant.
    reaches_tenants: ClassVar[bool] = False

    def databases(self) -> Collection[str]:
        """Return the aliases of `DATABASES` that this rule names."""
        return ()

    def names(self) -> Collection[str]:
        """Return the apps ("blog") and models ("blog.Post") that this rule names."""
        return ()

    def lodging(self, model: type[Model]) -> Lodging | None:
        """Return how the rows of a model are found; None: this rule has no say about it.

        Asked once for each model that has rows of its own. Proxies, many-to-many tables and
        inherited models follow the model that they stand for, belong to or inherit from.
        """
        return None

    def app_alias(self, app_label: str) -> str | None:
        """Return the database of those operations of an app's migrations that name no model."""
        return None

    def readers(self, alias: str) -> Readers | None:
        """Return who else serves reads of a database; None: only itself."""
        return None

    def check(self) -> Iterator[CheckMessage]:
        """Find what is wrong with this rule by itself."""
        return iter(())


@dataclass(frozen=True)
class Lodging:
    """How the rows of one model are found."""

    #: The rule that says so.
    rule: Rule
    #: The database where they are; for rows in several homes, where those stand.
    alias: str
    #: Whether Django makes and changes its table.
    is_migrated: bool = True
    is_writable: bool = True

    @property
    def is_fixed(self) -> bool:
        """Whether all rows are at `alias`, so that nobody has to ask this for each query."""
        kind = type(self)
        return (kind.for_read, kind.for_write) == (Lodging.for_read, Lodging.for_write)

    def for_read(self, hints: Mapping[str, Any]) -> str:
        """Return the alias to read from, by the hints that Django gives to routers."""
        return self.alias

    def for_write(self, hints: Mapping[str, Any]) -> str:
        """Return the alias to write to."""
        return self.alias

    def is_at(self, alias: str) -> bool:
        """Return whether the model's table is there."""
        return alias == self.alias

    @property
    def is_by_time(self) -> bool:
        """Whether each row is in one of several homes, by its time."""
        return False

    @property
    def is_of_tenants(self) -> bool:
        """Whether they are rows of a tenant app, in several homes of each tenant."""
        return False

    @property
    def place(self) -> str | None:
        """The database as which it is compared with others'; None: as that of each tenant."""
        return self.alias

    def of_tenant(self, alias: str) -> Lodging:
        """Return how the rows of one tenant, whose alias is given, are found."""
        return self


@dataclass(frozen=True)
class Fixed(Lodging):
    """All rows of the model are in one database."""


class Readers(Protocol):
    """A database and its replicas, as whom reads are asked of."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """The replicas, without the primary."""

    def choose(self) -> str:
        """Return the alias to read from now: a replica's or the primary's, as
        `domicile.replicas.reading.current_reading()` wants it.

        The router calls it for each read outside `atomic()`: no lock, no I/O, about 1 µs.
        """


def label_of(model: type[Model]) -> str:
    """Return "app.model", in lower case, also of what Django's cache has for a model."""
    return f"{model._meta.app_label}.{model._meta.model_name}".lower()
