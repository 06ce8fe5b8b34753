"""Everything Domicile raises.

DomicileError
 ├─ TenantRequired            a tenant model was touched with no tenant active
 ├─ CrossTenantError          a row, queryset or relation of one home used in another (a ValueError)
 ├─ UnknownTenant             no such tenant, or not one that may be seen yet (a LookupError)
 ├─ TenantUnavailable         suspended, under maintenance, or on its way out
 ├─ TenantBusy                another process is working on this tenant
 ├─ UntrustedHeader           a tenant header from a peer that is not trusted (a PermissionDenied)
 ├─ InvalidName               a name no engine or host would take (a ValueError)
 │   ├─ InvalidSlug
 │   └─ InvalidHost
 ├─ NameTaken                 somebody else has it
 │   ├─ SlugTaken
 │   └─ DomainTaken
 ├─ HomeExists                a schema, database or file of that name is there already
 ├─ HomeInUse                 the row of a tenant was to be deleted and its home left behind
 ├─ HomeMissing               the schema, database or file is gone (an OperationalError)
 ├─ ConnectionLimitReached    every connection allowed to this process is in use
 └─ NotSupported              this engine cannot do it
"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db import OperationalError


class DomicileError(Exception):
    """Base of all errors of this package."""


class TenantRequired(DomicileError):
    """A tenant model was touched with no tenant active."""


class CrossTenantError(DomicileError, ValueError):
    """Something that belongs to one home was used in another."""


class UnknownTenant(DomicileError, LookupError):
    """No such tenant, or not one that may be seen yet."""


class TenantUnavailable(DomicileError):
    """The tenant is suspended, under maintenance, or on its way out."""


class TenantBusy(DomicileError):
    """Another process is working on this tenant."""


class UntrustedHeader(DomicileError, PermissionDenied):
    """The tenant header came from a peer that is not in `TRUSTED_PROXIES`."""


class InvalidName(DomicileError, ValueError):
    """A name that no engine, or no host, would take."""


class InvalidSlug(InvalidName):
    """A slug that cannot name a home."""


class InvalidHost(InvalidName):
    """A host name that cannot be a tenant's domain."""


class NameTaken(DomicileError):
    """Somebody else has this name."""


class SlugTaken(NameTaken):
    """Another tenant has this slug."""


class DomainTaken(NameTaken):
    """Another tenant has this domain."""


class HomeExists(DomicileError):
    """A schema, database or file of that name is there already."""


class HomeInUse(DomicileError):
    """The row of a tenant was to be deleted and its home left behind."""


class HomeMissing(DomicileError, OperationalError):
    """The schema, database or file that should be this tenant's home is gone."""


class ConnectionLimitReached(DomicileError, OperationalError):
    """Every connection allowed to this process is in use."""


class NotSupported(DomicileError):
    """This engine cannot do what was asked."""
