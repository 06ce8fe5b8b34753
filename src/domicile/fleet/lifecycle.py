"""The life of a tenant: create, suspend, resume, maintain, rename, drop.

Creating and dropping go in steps, each of which can be the last that a process does. The row says
how far it went: `creating` and `dropping` are seen by nobody but these functions. A lock of the
shared database, which the server releases when its holder dies, tells work that goes on from work
that was cut off; what was cut off is cleared away by the next `create_tenant()` of that slug, and
finished by the next `drop_tenant()`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string

from domicile import signals
from domicile.conf import conf
from domicile.context import no_tenant
from domicile.exceptions import (
    DomainTaken,
    HomeExists,
    NotSupported,
    SlugTaken,
    TenantBusy,
    TenantUnavailable,
    UnknownTenant,
)
from domicile.fleet.migrations import Progress, Step, migrate_home, silent
from domicile.fleet.replay.migrator import HomeMigrator
from domicile.fleet.replay.plan import Target
from domicile.fleet.site import Site, handler
from domicile.fleet.stock.ready import claimed
from domicile.fleet.stock.template import cloned
from domicile.guards import refuse_beside_transaction
from domicile.models import Status
from domicile.naming import usable_domain, validate_slug
from domicile.placement import SHARED_ALIAS, Home, Placement, tenant_alias
from domicile.registry import domain_model, tenant_model

logger = logging.getLogger("domicile.fleet")


def _in_shared_home(func: Callable[..., Any]) -> Callable[..., Any]:
    """Run with no tenant active: these functions may be called from inside one."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with no_tenant():
            return func(*args, **kwargs)

    return wrapper


# Finding what to work on ---------------------------------------------------------------------


def find_tenant(tenant: Any) -> Any:
    """Return a fresh instance of a tenant, in whatever state, by slug or by instance."""
    slug = getattr(tenant, "slug", tenant)
    found = tenant_model()._base_manager.filter(slug=slug).first()
    if found is None:
        raise UnknownTenant(f"There is no tenant {slug!r}. `tenants list` shows which there are.")
    return found


@contextmanager
def sole_work_on(slug: str) -> Iterator[None]:
    """Keep every other process from working on a tenant; `TenantBusy` where one does already."""
    with sole_work_on_each([slug]) as mine:
        if not mine:
            raise TenantBusy(
                f"Another process is creating, migrating or dropping {slug!r}. Try again when it is"
                " done."
            )
        yield


@contextmanager
def sole_work_on_each(slugs: Iterable[str]) -> Iterator[set[str]]:
    """Keep every other process from working on those tenants that none works on; the value tells
    which these are.
    """
    keys = {f"domicile:tenant:{slug}": slug for slug in slugs}
    with handler()[SHARED_ALIAS].named_locks(keys) as held:
        yield {keys[key] for key in held}


def refuse_transaction(what: str, site: Site) -> None:
    """Raise `WriteOutsideAtomic`, where the project wants that, if a transaction is open which
    would not take back what is done to a home and to the row that tells of it.
    """
    refuse_beside_transaction(what, handler()[SHARED_ALIAS], site.store.connection)


# Creating --------------------------------------------------------------------------------------


@_in_shared_home
def create_tenant(
    slug: str,
    *,
    name: str = "",
    placement: str = "",
    domains: Iterable[str] = (),
    progress: Progress = silent,
    **fields: Any,
) -> Any:
    """Create a tenant: its row, its home with all migrations, its initial data.

    The home is one that was kept ready, or a clone of the placement's template, or else made by
    migrations (`domicile.fleet.stock.ready`, `domicile.fleet.stock.template`).

    :param slug: its name in addresses, schemas and files.
    :param name: its name for people; the slug if empty.
    :param placement: a key of `DOMICILE["PLACEMENTS"]`; `DEFAULT_PLACEMENT` if empty.
    :param domains: host names of its own; the first is the primary one.
    :param progress: called with a `Step` after each step.
    :param fields: further fields of the tenant model.
    :return: the tenant, active and visible. Until then nobody sees it.
    :raises InvalidName: a slug or a host cannot be one. `NameTaken`: somebody has it.
    :raises HomeExists: a schema, database or file of that name is there and is not a tenant's.
    :raises TenantBusy: another process creates or drops this very tenant.
    :raises WriteOutsideAtomic: `WRITES_OUTSIDE_ATOMIC` is "error", and the transaction of a
        database is open that is not the home's.

    Whatever fails leaves nothing behind. A process that is killed leaves a row that nobody sees;
    the next call with this slug clears it away.
    """
    from domicile.periods import tenants as periods

    template = conf().placement(placement or conf().default_placement)
    validate_slug(slug)
    hosts = _normalized(domains)
    address = Placement(template.key, slug)
    site = Site.of(address)
    site.store.validate(site.name)
    own = Home(tenant_alias(slug), address)
    periods.check_names(own)
    refuse_transaction(f"create tenant {slug!r}", site)
    with sole_work_on(slug):
        _clear_remains(slug)
        if site.exists():
            raise HomeExists(
                f"There is a {site.store.noun} {site.name!r} already, and it is no tenant's."
                " Remove it, or choose another slug or placement."
            )
        periods.refuse_remains(own)
        tenant = tenant_model()(slug=slug, name=name or slug, **fields)
        tenant.placement, tenant.status = address, Status.CREATING
        _reserve(tenant, hosts)
        try:
            site = _make_home(tenant, site, progress)
            with _savepoint():
                _furnish(tenant, progress)
        except BaseException:
            _undo(tenant, site)
            raise
    return tenant


def _savepoint() -> AbstractContextManager[None]:
    """Inside a transaction, which an error would leave unable to undo anything: a savepoint."""
    if handler()[SHARED_ALIAS].in_atomic_block:
        return transaction.atomic(using=SHARED_ALIAS)
    return nullcontext()


def _normalized(domains: Iterable[str]) -> list[str]:
    """Return the hosts as they are stored, each once."""
    return list(dict.fromkeys(map(usable_domain, domains)))


def _reserve(tenant: Any, hosts: list[str]) -> None:
    """Write the row and its domains. Two who want the same name meet here, and one gets it."""
    try:
        with transaction.atomic(using=SHARED_ALIAS):
            signals.tenant_creating.send(type(tenant), tenant=tenant)
            tenant.save(force_insert=True)
            for position, host in enumerate(hosts):
                _add_domain(tenant, host, is_primary=position == 0)
    except IntegrityError as error:
        if tenant_model()._base_manager.filter(slug=tenant.slug).exists():
            raise SlugTaken(f"There is a tenant {tenant.slug!r} already.") from error
        raise


def _add_domain(tenant: Any, host: str, *, is_primary: bool) -> None:
    model = domain_model()
    if model._base_manager.filter(host=host).exists():
        raise DomainTaken(f"The domain {host!r} belongs to another tenant.")
    try:
        with transaction.atomic(using=SHARED_ALIAS):
            model(tenant=tenant, host=host, is_primary=is_primary).save(force_insert=True)
    except IntegrityError as error:
        raise DomainTaken(f"The domain {host!r} belongs to another tenant.") from error


def _make_home(tenant: Any, site: Site, progress: Progress) -> Site:
    """Make the home, with all migrations; return where it is."""
    progress(Step("row", f"tenant {tenant.slug}"))
    try:
        with _savepoint():
            made, how = _made_home(tenant, site, progress)
    except (HomeExists, NotSupported):
        # None was made. One that somebody else made a moment ago is not ours to drop.
        _delete_row(tenant)
        raise
    progress(Step("home", f"{made.store.noun} {made.name}"))
    if how:
        progress(how)
    else:
        with _savepoint():
            migrate_home(tenant, progress)
    return made


def _made_home(tenant: Any, site: Site, progress: Progress) -> tuple[Site, Step | None]:
    """Return where the home is, and what brought the migrations with it."""
    ready = claimed(tenant, site)
    if ready is not None:
        return ready, Step("claim", f"ready {site.store.noun}")
    if cloned(site, progress):
        return site, Step("clone", f"template of {site.placement.template}")
    site.store.create(site.name)
    return site, None


def _furnish(tenant: Any, progress: Progress) -> None:
    with tenant.activate():
        signals.tenant_migrated.send(type(tenant), tenant=tenant)
        hook = conf().initial_data
        if hook is not None:
            import_string(hook)(tenant)
            progress(Step("data", hook))
        signals.tenant_created.send(type(tenant), tenant=tenant)
    _set_status(tenant, Status.ACTIVE)
    progress(Step("complete", f"tenant {tenant.slug}"))


def _undo(tenant: Any, site: Site) -> None:
    if tenant.pk is None:
        return
    try:
        _remove(tenant, site)
    except Exception:
        logger.exception(
            "Could not clear away what was made of tenant %s; the next attempt will.", tenant.slug
        )


def _remove(tenant: Any, site: Site) -> None:
    """Drop the homes, then the row: while there is a home, there is a row that tells of it."""
    from domicile.periods.tenants import drop_homes

    own = Home(tenant.alias, site.placement)
    drop_homes(own)
    handler().forget(tenant.alias)
    site.drop()
    if drop_homes(own):  # One was being made, and may have kept the tenant's role.
        site.drop()
    _delete_row(tenant)


def _delete_row(tenant: Any) -> None:
    tenant.status = Status.DROPPING
    tenant.delete()


def _clear_remains(slug: str) -> None:
    """Remove what a process left that died while it created this tenant; `SlugTaken` where there is
    one.
    """
    found = tenant_model()._base_manager.filter(slug=slug).first()
    if found is None:
        return
    if found.status != Status.CREATING:
        raise SlugTaken(f"There is a tenant {slug!r} already.")
    logger.warning("Clearing away tenant %s, whose creation was cut off.", slug)
    _remove(found, Site.of(found.placement))


# Living ----------------------------------------------------------------------------------------


@_in_shared_home
def suspend_tenant(tenant: Any) -> Any:
    """Answer its requests with 503 until it is resumed; return the tenant."""
    tenant = _transition(tenant, Status.SUSPENDED, {Status.ACTIVE, Status.MAINTENANCE})
    signals.tenant_suspended.send(type(tenant), tenant=tenant)
    return tenant


@_in_shared_home
def maintain_tenant(tenant: Any) -> Any:
    """Put it under maintenance: 503 until it is resumed; return the tenant."""
    return _transition(tenant, Status.MAINTENANCE, {Status.ACTIVE})


@_in_shared_home
def resume_tenant(tenant: Any) -> Any:
    """Serve it again, also one that waits for its drop; return the tenant."""
    found = find_tenant(tenant)
    # Not while somebody drops it.
    with sole_work_on(found.slug) if found.status == Status.DROPPING else nullcontext():
        found = find_tenant(found)
        if found.status == Status.DROPPING and found.drop_after is None:
            raise TenantUnavailable(f"{found.slug!r} is being dropped; its home may be gone.")
        tenant = _transition(
            found, Status.ACTIVE, {Status.SUSPENDED, Status.MAINTENANCE, Status.DROPPING}
        )
    signals.tenant_resumed.send(type(tenant), tenant=tenant)
    return tenant


def _transition(tenant: Any, status: Status, allowed: set[Status]) -> Any:
    tenant = find_tenant(tenant)
    if tenant.status == status:
        return tenant
    if tenant.status not in allowed:
        raise TenantUnavailable(
            f"{tenant.slug!r} is {tenant.get_status_display()}, so it cannot become {status.label}."
        )
    _set_status(tenant, status)
    return tenant


def _set_status(tenant: Any, status: Status) -> None:
    tenant.status, tenant.drop_after = status, None
    tenant.save(update_fields=["status", "drop_after", "changed_at"])


@_in_shared_home
def rename_tenant(tenant: Any, *, name: str = "", domains: Iterable[str] | None = None) -> Any:
    """Change its name for people (unless empty) and its domains (unless None), both or neither.

    The slug stays: it names the home and the alias. Raises `InvalidHost`, `DomainTaken`.
    """
    hosts = None if domains is None else _normalized(domains)
    tenant = find_tenant(tenant)
    with transaction.atomic(using=SHARED_ALIAS):
        if name:
            tenant.name = name
            tenant.save(update_fields=["name", "changed_at"])
        if hosts is not None:
            tenant.domains.exclude(host__in=hosts).delete()
            kept = set(tenant.domains.values_list("host", flat=True))
            for host in hosts:
                if host not in kept:
                    _add_domain(tenant, host, is_primary=False)
            tenant.domains.exclude(host__in=hosts[:1]).update(is_primary=False)
            tenant.domains.filter(host__in=hosts[:1]).update(is_primary=True)
    signals.tenant_renamed.send(type(tenant), tenant=tenant)
    return tenant


# Dropping --------------------------------------------------------------------------------------


@_in_shared_home
def drop_tenant(tenant: Any, *, grace: timedelta | None = None) -> None:
    """Drop a tenant with all its data; or, with `grace`, hide it and drop it when that is over.

    A drop that was cut off is finished by calling this again, or by `drop_expired()`, and cannot
    be put off any more; nor can that of a tenant that was never complete. `resume_tenant()` brings
    back a tenant whose grace is not over yet.
    """
    with sole_work_on(find_tenant(tenant).slug):
        tenant = find_tenant(tenant)
        if grace and not _is_partial(tenant):
            _mark_dropping(tenant, timezone.now() + grace)
            return
        _drop(tenant)
    signals.tenant_dropped.send(type(tenant), tenant=tenant)


@_in_shared_home
def drop_expired() -> list[str]:
    """Drop the tenants whose grace is over, and finish drops that were cut off; return the slugs.

    One that cannot be dropped now, such as one whose server is down, is left for the next time.
    The homes from which tenants have moved are dropped too where theirs is over.
    """
    from domicile.fleet.moves.old_homes import drop_old_homes

    drop_old_homes()
    expired = tenant_model()._base_manager.filter(
        Q(drop_after=None) | Q(drop_after__lte=timezone.now()), status=Status.DROPPING
    )
    return [slug for slug in expired.values_list("slug", flat=True) if _drop_if_in(expired, slug)]


def _drop_if_in(expired: Any, slug: str) -> bool:
    """Drop one, unless it was resumed meanwhile or somebody else is dropping it."""
    try:
        with sole_work_on(slug):
            tenant = expired.filter(slug=slug).first()
            if tenant is None:
                return False
            _drop(tenant)
    except TenantBusy:
        return False
    except Exception:
        logger.exception("Could not drop tenant %s; the next attempt may.", slug)
        return False
    signals.tenant_dropped.send(type(tenant), tenant=tenant)
    return True


def _is_partial(tenant: Any) -> bool:
    """Tell whether its home may be there in part only."""
    cut_off = tenant.status == Status.DROPPING and tenant.drop_after is None
    return cut_off or tenant.status == Status.CREATING


def _mark_dropping(tenant: Any, after: datetime | None) -> None:
    tenant.status, tenant.drop_after = Status.DROPPING, after
    tenant.save(update_fields=["status", "drop_after", "changed_at"])
    signals.tenant_dropping.send(type(tenant), tenant=tenant)


def _drop(tenant: Any) -> None:
    from domicile.fleet.moves.old_homes import drop_moves

    refuse_transaction(f"drop tenant {tenant.slug!r}", Site.of(tenant.placement))
    _mark_dropping(tenant, None)
    pk = tenant.pk
    drop_moves(tenant.slug)
    # To drop what is left of a move may be to finish it.
    tenant.placement = find_tenant(tenant).placement
    _remove(tenant, Site.of(tenant.placement))
    tenant.pk = pk


# Migrating -------------------------------------------------------------------------------------


@_in_shared_home
def migrate_tenant(
    tenant: Any, app_label: str = "", migration: str = "", *, progress: Progress = silent
) -> Any:
    """Migrate one tenant's home, all apps or one, to the newest or the named migration, and then
    those of its periods.
    """
    from domicile.periods.migrations import migrate_by_time
    from domicile.periods.survey import by_time_in

    tenant = find_tenant(tenant)
    with sole_work_on(tenant.slug):
        migrate_home(tenant, progress, app_label, migration)
        migrator = HomeMigrator.to(Target(app_label, migration))
        (found,) = by_time_in([tenant.home]).values()
        names = (name for each in migrate_by_time(found, migrator) for name in each.migrations)
        for name in dict.fromkeys(names):
            progress(Step("migration", f"{name} by time"))
    return tenant


acreate_tenant = sync_to_async(create_tenant)
asuspend_tenant = sync_to_async(suspend_tenant)
amaintain_tenant = sync_to_async(maintain_tenant)
aresume_tenant = sync_to_async(resume_tenant)
arename_tenant = sync_to_async(rename_tenant)
adrop_tenant = sync_to_async(drop_tenant)
amigrate_tenant = sync_to_async(migrate_tenant)
