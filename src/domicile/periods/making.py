"""How the home of a period is made, once, whoever asks for it first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.migrations.recorder import MigrationRecorder

from domicile.conf import PlacementTemplate
from domicile.context import Activation, no_tenant
from domicile.exceptions import HomeBusy, HomeExists, TenantUnavailable
from domicile.fleet.migrations import Progress, Step
from domicile.fleet.orphans import is_somebodys
from domicile.fleet.replay.migrator import HomeMigrator
from domicile.fleet.replay.plan import NEWEST
from domicile.fleet.site import Site, handler
from domicile.models import Status
from domicile.placement import SHARED_ALIAS
from domicile.registry import tenant_model

if TYPE_CHECKING:
    from domicile.periods.calendar import Period
    from domicile.periods.homes import PeriodHomes

#: The row of `django_migrations` that is written last; no app can be called so.
COMPLETE = ("domicile: period", "complete")
#: Seconds to wait for another process that makes the same home.
_PATIENCE = 30.0
#: Seconds to wait for a lock that others hold on a table that a new home refers to.
_LOCK_TIMEOUT = 5.0


def make(homes: PeriodHomes, period: Period, progress: Progress) -> bool:
    """Make the home of a period; tell whether that was needed.

    In a transaction that is open it is made as a part of that, or, where it cannot be, by a thread
    with sessions of its own.
    """
    _refuse_dropped(homes)
    connection = homes.store.connection
    with _at_owner(homes):
        if connection.in_atomic_block and not _is_transactional(homes.template, connection):
            return bool(_in_thread(lambda: _make(homes, period, progress)))
        return _make(homes, period, progress)


def _at_owner(homes: PeriodHomes) -> Activation:
    """A tenant that is being made is known to nobody else yet."""
    return no_tenant() if homes.own is None else Activation(homes.own)


def _make(homes: PeriodHomes, period: Period, progress: Progress) -> bool:
    site, started = homes.site(period), time.monotonic()
    homes.validate(period)
    while True:
        with homes.alone(period) as free:
            if period in homes.look():
                return False
            if free:
                return _build(homes, period, site, progress)
        if time.monotonic() > started + _PATIENCE:
            raise HomeBusy(
                f"Another process has been making, or dropping, the {site.store.noun}"
                f" {site.name!r} for more than {_PATIENCE:.0f} seconds. Try again."
            )
        time.sleep(0.05)


def _build(homes: PeriodHomes, period: Period, site: Site, progress: Progress) -> bool:
    _clear(homes, period, site)
    connection = site.store.connection
    # In a transaction that is open, only that itself could hold what is waited for.
    timeout = None if connection.in_atomic_block else _LOCK_TIMEOUT
    try:
        with unmoved(homes):
            create(homes, period, site)
            migrate(homes, period, timeout)
            MigrationRecorder(connections[homes.alias(period)]).record_applied(*COMPLETE)
    except HomeExists:
        if period in homes.look():  # Made in a transaction that was open until now.
            return False
        raise
    progress(Step("period", f"{site.store.noun} {site.name}"))
    return True


def _refuse_dropped(homes: PeriodHomes) -> None:
    """Raise `TenantUnavailable` where nobody would drop the home with its tenant any more."""
    if not homes.slug:
        return
    tenant = tenant_model()._base_manager.using(SHARED_ALIAS).filter(slug=homes.slug)
    if not tenant.exclude(status=Status.DROPPING).exists():
        raise TenantUnavailable(
            f"No home for rows of tenant {homes.slug!r} is made: it is being dropped, or gone."
        )


@contextmanager
def unmoved(homes: PeriodHomes) -> Iterator[None]:
    """A transaction, where such homes have them, until the end of which the tenant is not moved:
    who moves it waits, and will see what is beside its own home then.

    :raises HomeMoved: it was moved already.
    """
    with _transaction(homes.template, homes.store.connection):
        if homes.own is not None and homes.beside is not None:
            with Activation(homes.own), connections[homes.own.alias].cursor() as cursor:
                # Changes no row, but waits as a writer does, and is refused as one.
                cursor.execute("UPDATE django_migrations SET app = app WHERE id IS NULL")
        yield


def create(homes: PeriodHomes, period: Period, site: Site) -> None:
    """Make an empty home of a period; `HomeExists` where there is something of that name."""
    if homes.beside is None:
        site.store.create(site.name)
    else:
        site.store.create_beside(site.name, Site.of(homes.beside).name)


def _clear(homes: PeriodHomes, period: Period, site: Site) -> None:
    """Drop what a killed process left; `HomeExists` where there is more than that."""
    if not site.exists():
        return
    if is_somebodys(site):
        raise HomeExists(
            f"The {site.store.noun} {site.name!r}, where rows of {period} would be, is the home of"
            " a tenant. Name periods' homes otherwise in DOMICILE['PLACEMENTS']."
        )
    alias = homes.alias(period)
    with connections[alias].cursor() as cursor:
        tables = connections[alias].introspection.table_names(cursor)
    for model in homes.models():
        if model._meta.db_table in tables and model._base_manager.using(alias).exists():
            raise HomeExists(
                f"There is a {site.store.noun} {site.name!r} already, which has rows and was not"
                " made by Domicile. Remove or rename it."
            )
    handler().forget(alias)
    site.drop()


def migrate(
    homes: PeriodHomes, period: Period, timeout: float | None = _LOCK_TIMEOUT
) -> tuple[str, ...]:
    """Bring a home to the newest migrations; return what was applied."""
    return migrator(timeout).migrate(homes.home(period)).migrations


@cache
def migrator(lock_timeout: float | None) -> HomeMigrator:
    """Return the one that this process keeps, which knows how homes were migrated before."""
    return HomeMigrator(NEWEST, lock_timeout=lock_timeout)


def _is_transactional(template: PlacementTemplate, connection: Any) -> bool:
    return bool(
        connection.features.can_rollback_ddl
        and template.database is not None
        and template.layout in connection.shared_layouts
    )


def _transaction(template: PlacementTemplate, connection: Any) -> AbstractContextManager[Any]:
    if _is_transactional(template, connection):
        alias = connection.alias
        return transaction.atomic(using=SHARED_ALIAS if alias == DEFAULT_DB_ALIAS else alias)
    return nullcontext()


def _in_thread(work: Callable[[], Any]) -> Any:
    """Do something by sessions of its own, outside of every transaction."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend([work(), None])
        except BaseException as error:
            outcome.extend([None, error])
        finally:
            connections.close_all()

    thread = threading.Thread(target=copy_context().run, args=[run])
    thread.start()
    thread.join()
    value, error = outcome
    if error is not None:
        raise error
    return value
