"""Tenants are created."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils.module_loading import import_string

from domicile import signals
from domicile.conf import conf
from domicile.exceptions import HomeExists, NotSupported
from domicile.fleet.migrations import Progress, Step, migrate_home, silent
from domicile.fleet.site import Site, handler
from domicile.fleet.sole_work import in_shared_home, refuse_transaction, sole_work_on
from domicile.fleet.steps import clear_remains, delete_row, normalized, reserve, set_status, undo
from domicile.fleet.stock.ready import claimed
from domicile.fleet.stock.template import cloned
from domicile.models import Status
from domicile.naming import validate_slug
from domicile.placement import SHARED_ALIAS, Home, Placement, tenant_alias
from domicile.registry import tenant_model


@in_shared_home
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
    hosts = normalized(domains)
    address = Placement(template.key, slug)
    site = Site.of(address)
    site.store.validate(site.name)
    own = Home(tenant_alias(slug), address)
    periods.check_names(own)
    refuse_transaction(f"create tenant {slug!r}", site)
    with sole_work_on(slug):
        clear_remains(slug)
        if site.exists():  # Asked before there is a row: with that, its home would be dropped.
            raise HomeExists(
                f"There is a {site.store.noun} {site.name!r} already, and it is no tenant's."
                " Remove it, or choose another slug or placement."
            )
        periods.refuse_remains(own)
        tenant = tenant_model()(slug=slug, name=name or slug, **fields)
        tenant.placement, tenant.status = address, Status.CREATING
        reserve(tenant, hosts)
        try:
            site = _make_home(tenant, site, progress)
            with _savepoint():
                _furnish(tenant, progress)
        except BaseException:
            undo(tenant, site)
            raise
    return tenant


def _make_home(tenant: Any, site: Site, progress: Progress) -> Site:
    """Make the home, with all migrations; return where it is."""
    progress(Step("row", f"tenant {tenant.slug}"))
    try:
        with _savepoint():
            made, how = _made_home(tenant, site, progress)
    except (HomeExists, NotSupported):
        # None was made. One that somebody else made a moment ago is not ours to drop.
        delete_row(tenant)
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
    set_status(tenant, Status.ACTIVE)
    progress(Step("complete", f"tenant {tenant.slug}"))


def _savepoint() -> AbstractContextManager[None]:
    """Inside a transaction, which an error would leave unable to undo anything: a savepoint."""
    if handler()[SHARED_ALIAS].in_atomic_block:
        return transaction.atomic(using=SHARED_ALIAS)
    return nullcontext()


acreate_tenant = sync_to_async(create_tenant)
