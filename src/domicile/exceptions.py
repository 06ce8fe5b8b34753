"""Everything Domicile raises.

DomicileError
 ├─ TenantRequired            a tenant model was touched with no tenant active
 ├─ CrossTenantError          a row, queryset or relation of one home used in another (a ValueError)
 ├─ CrossDatabaseError        the same of two databases that a rule tells apart (a ValueError)
 ├─ WriteRefused              a write to what may only be read
 │   └─ WriteOutsideAtomic    a write outside the transaction, while another database's is open
 ├─ PeriodRequired            a row, or a query, of a model by time tells no time (a ValueError)
 │   └─ TooManyPeriods        or more of it than its rule allows
 ├─ PeriodChanged             a row was to be saved whose time is in another period's home
 ├─ PeriodMissing             a period has no home, and none is made for it (a LookupError)
 ├─ TablesMissing             the default database was not migrated yet, or not to the newest
 ├─ UnknownTenant             no such tenant, or not one that may be seen yet (a LookupError)
 ├─ UnknownRun                no such run of migrations (a LookupError)
 ├─ UnknownPlacement          no such kind of home (a LookupError)
 ├─ UnknownDatabase           no database was added under this alias (a LookupError)
 ├─ DatabaseInUse             a database was to be removed while somebody is at work in it
 ├─ TenantUnavailable         suspended, under maintenance, or on its way out
 ├─ TenantBusy                another process is working on this tenant
 │   └─ HomeBusy              somebody holds a lock in its home that a migration needs
 ├─ UntrustedHeader           a tenant header from a peer that is not trusted (a PermissionDenied)
 ├─ InvalidName               a name no engine or host would take (a ValueError)
 │   ├─ InvalidSlug
 │   └─ InvalidHost
 ├─ NameTaken                 somebody else has it
 │   ├─ SlugTaken
 │   └─ DomainTaken
 ├─ HomeExists                a schema, database or file of that name is there already
 ├─ HomeInUse                 the row of a tenant was to be deleted and its home left behind
 ├─ HomeDiffers               a home was migrated and came out different from the others
 ├─ HomeCutOff                a migration stands half done in a home, and another was asked for
 ├─ HomeMissing               the schema, database or file is gone (an OperationalError)
 │   └─ HomeMoved             the tenant was moved meanwhile: activate it again
 ├─ CloneDiffers              a new home came out otherwise than the one it was cloned from
 ├─ RowsDiffer                rows arrived elsewhere other than they left, or not at all
 ├─ MigrationsUnknown         a home has had migrations that this project does not have
 ├─ ArchiveRefused            the file is no archive of a tenant, or not one to import here
 ├─ ConnectionLimitReached    every connection allowed to this process is in use
 ├─ ReplicasExhausted         no replica is well, and the primary serves enough (OperationalError)
 └─ NotSupported              this engine cannot do it
"""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import PermissionDenied
from django.db import OperationalError


class DomicileError(Exception):
    """Base of all errors of this package."""


class TenantRequired(DomicileError):
    """A tenant model was touched with no tenant active."""


class CrossTenantError(DomicileError, ValueError):
    """Something that belongs to one home was used in another."""


class CrossDatabaseError(DomicileError, ValueError):
    """A row, queryset or relation of one database was used in another."""


class WriteRefused(DomicileError):
    """A write to something that may only be read; nothing was sent."""


class WriteOutsideAtomic(WriteRefused):
    """A write to one database outside its `atomic()`, while that of another was open."""


class PeriodRequired(DomicileError, ValueError):
    """A row, or a query, of a model whose rows are by time does not tell which."""


class TooManyPeriods(PeriodRequired):
    """A query touches more periods than its rule allows."""


class PeriodChanged(DomicileError, ValueError):
    """A row was to be saved where it is, and its time is in another period."""


class PeriodMissing(DomicileError, LookupError):
    """A period has no home, and none is made for it."""


class TablesMissing(DomicileError):
    """The default database was not migrated yet, or not to the newest migrations."""


class UnknownTenant(DomicileError, LookupError):
    """No such tenant, or not one that may be seen yet."""


class UnknownRun(DomicileError, LookupError):
    """No such run of migrations, or none that can be gone on with."""


class UnknownPlacement(DomicileError, LookupError):
    """No such kind of home in `DOMICILE["PLACEMENTS"]`."""


class UnknownDatabase(DomicileError, LookupError):
    """No database was added at run time under this alias."""


class DatabaseInUse(DomicileError):
    """A database was to be removed while somebody is at work in it."""


class TenantUnavailable(DomicileError):
    """The tenant is suspended, under maintenance, or on its way out."""


class TenantBusy(DomicileError):
    """Another process is working on this tenant."""


class HomeBusy(TenantBusy):
    """Somebody holds a lock in the tenant's home for longer than may be waited for it."""


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


class HomeDiffers(DomicileError):
    """A home was migrated, which cannot be undone there, and came out different from the others.

    `differs` names each difference.
    """

    def __init__(self, message: str, differs: list[str]) -> None:
        super().__init__(message)
        self.differs = tuple(differs)


class HomeCutOff(DomicileError):
    """A migration that is no transaction stands half done in a home, and another was asked for."""


class HomeMissing(DomicileError, OperationalError):
    """The schema, database or file that should be this tenant's home is gone."""


class HomeMoved(HomeMissing):
    """The tenant was moved to another home meanwhile: activate it again."""


class CloneDiffers(DomicileError):
    """A new home came out otherwise than the one it was cloned from; what both look like."""

    def __init__(self, message: str, facts: Mapping[str, str], model: Mapping[str, str]) -> None:
        super().__init__(message)
        self.facts = facts
        self.model = model


class RowsDiffer(DomicileError):
    """Rows arrived elsewhere other than they left, or not at all; the message names the table."""


class MigrationsUnknown(DomicileError):
    """A home has had migrations that this project does not have."""


class ArchiveRefused(DomicileError):
    """The file is no archive of a tenant, is damaged, or cannot be imported into this project."""


class ConnectionLimitReached(DomicileError, OperationalError):
    """Every connection allowed to this process is in use."""


class ReplicasExhausted(DomicileError, OperationalError):
    """No replica can be read from, and no more reads may fall back on the primary now."""


class NotSupported(DomicileError):
    """This engine cannot do what was asked."""


def first_line(error: BaseException | str) -> str:
    """Return the first line of what an error says; of one that says nothing, its class."""
    lines = str(error).strip().splitlines()
    if lines:
        return lines[0]
    return "" if isinstance(error, str) else type(error).__name__
