"""Addresses: small frozen values that everything passes around."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS

TENANT_PREFIX = "tenant:"
#: What stands for the alias of each tenant, where many are told of.
EACH_TENANT = f"{TENANT_PREFIX}*"
#: Between the alias of a tenant and that of a replica from which it is read.
AT_REPLICA = "@"
#: Between the alias of a tenant and the placement and period of one of its homes by time, as in
#: `tenant:acme/marks:2026-11`; and between slug and period in the name of such a placement.
AT_PERIOD = "/"
SHARED_ALIAS = "shared"
#: The name of a placement's template, which no slug can be.
TEMPLATE_NAME = "_template"
#: The names under which the real default database is reached.
SHARED_ALIASES = (DEFAULT_DB_ALIAS, SHARED_ALIAS)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a tenant lives now.

    `template` is a key of `DOMICILE["PLACEMENTS"]`; `name` fills the `{slug}` of that template's
    schema or database name. A move changes the placement, never the alias.
    """

    template: str
    name: str

    def __str__(self) -> str:
        return f"{self.template}:{self.name}"


@dataclass(frozen=True, slots=True)
class Home:
    """A placement together with the alias that reaches it, now and after every move."""

    alias: str
    placement: Placement
    #: The alias of a database by whose session it is reached, in place of the placement's own: a
    #: replica of that.
    through: str | None = None
    #: The placement of the tenant's own home, where this is another of its homes and both are
    #: schemas of one database: then it reads from there too.
    beside: Placement | None = None

    @property
    def slug(self) -> str:
        return owner_of(self.alias).removeprefix(TENANT_PREFIX)

    @property
    def cure(self) -> str:
        """What to do where it is gone, for messages."""
        if self.alias.startswith(TENANT_PREFIX) and AT_PERIOD not in self.alias:
            return f"Restore it, or remove the tenant with `tenants drop {self.slug}`."
        return "Restore it; if it was dropped on purpose, it is not asked for again."


def tenant_alias(slug: str) -> str:
    return f"{TENANT_PREFIX}{slug}"


def is_tenant_alias(alias: str | None) -> bool:
    return alias is not None and alias.startswith(TENANT_PREFIX)


def owner_of(alias: str) -> str:
    """Return the alias of the tenant that an alias belongs to: of its own home, of a replica's, or
    of a period's; any other alias as it is.
    """
    if not alias.startswith(TENANT_PREFIX):
        return alias
    return alias.partition(AT_PERIOD)[0].partition(AT_REPLICA)[0]
