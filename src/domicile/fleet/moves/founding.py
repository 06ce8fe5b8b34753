"""New tenants whose home is filled from something that there is: a copy, an archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from domicile import signals
from domicile.conf import conf
from domicile.exceptions import HomeExists, NotSupported
from domicile.fleet.migrations import Progress, Step
from domicile.fleet.moves.destination import free_placement
from domicile.fleet.site import Site, handler
from domicile.fleet.sole_work import refuse_transaction, sole_work_on
from domicile.fleet.steps import clear_remains, delete_row, normalized, reserve, set_status, undo
from domicile.models import Status, Tenant
from domicile.naming import validate_slug
from domicile.periods import tenants as periods
from domicile.placement import Home, Placement, tenant_alias
from domicile.registry import tenant_model


@contextmanager
def founded(
    slug: str,
    *,
    name: str,
    placement: str,
    domains: Iterable[str],
    progress: Progress,
    **fields: Any,
) -> Iterator[Any]:
    """Make a tenant with an empty home, to be filled inside; it is active and visible afterwards.

    As with `create_tenant()`, whatever fails leaves nothing behind, and what a killed process left
    is cleared away by the next call with this slug. Raises the same errors.
    """
    template = conf().placement(placement)
    validate_slug(slug)
    hosts = normalized(domains)
    own = Home(tenant_alias(slug), Placement(template.key, slug))
    periods.check_names(own)
    with sole_work_on(slug):
        clear_remains(slug)
        periods.refuse_remains(own)
        tenant = tenant_model()(slug=slug, name=name or slug, **fields)
        tenant.placement, tenant.status = free_placement(template, slug), Status.CREATING
        site = Site.of(tenant.placement)
        refuse_transaction(f"create tenant {slug!r}", site)
        reserve(tenant, hosts)
        try:
            site.store.create(site.name)
        except (HomeExists, NotSupported):
            # One that somebody else made a moment ago is not ours to drop.
            delete_row(tenant)
            raise
        try:
            progress(Step("home", f"{site.store.noun} {site.name}"))
            yield tenant
            handler().forget(tenant.alias)
            with tenant.activate():
                signals.tenant_created.send(type(tenant), tenant=tenant)
            set_status(tenant, Status.ACTIVE)
        except BaseException:
            undo(tenant, site)
            raise
    progress(Step("complete", f"tenant {slug}"))


def inherited(tenant: Any) -> dict[str, Any]:
    """Return the values of a tenant's own fields that another tenant may have too."""
    model = type(tenant)
    common = {field.name for field in Tenant._meta.get_fields()}
    return {
        field.name: getattr(tenant, field.name)
        for field in model._meta.concrete_fields
        if field.name not in common and not field.unique
    }
