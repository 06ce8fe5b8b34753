"""Addresses: small frozen values that everything passes around."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS

TENANT_PREFIX = "tenant:"
#: Between the alias of a tenant and that of a replica from which it is read.
AT_REPLICA = "@"
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

    @property
    def slug(self) -> str:
        return self.alias.removeprefix(TENANT_PREFIX).partition(AT_REPLICA)[0]

    @property
    def cure(self) -> str:
        """What to do where it is gone, for messages."""
        if self.alias.startswith(TENANT_PREFIX):
            return f"Restore it, or remove the tenant with `tenants drop {self.slug}`."
        return "Restore it; if it was dropped on purpose, it is not asked for again."


def tenant_alias(slug: str) -> str:
    return f"{TENANT_PREFIX}{slug}"


def is_tenant_alias(alias: str | None) -> bool:
    return alias is not None and alias.startswith(TENANT_PREFIX)
