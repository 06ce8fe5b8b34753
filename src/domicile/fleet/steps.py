"""The steps of creating and dropping a tenant, each of which can be the last that a process does.

The row says how far it went: `creating` and `dropping` are seen by nobody but these functions. What
was cut off is cleared away by the next `create_tenant()` of that slug, and finished by the next
`drop_tenant()`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction

from domicile import signals
from domicile.exceptions import DomainTaken, SlugTaken
from domicile.fleet.site import Site, handler
from domicile.models import Status
from domicile.naming import usable_domain
from domicile.placement import SHARED_ALIAS, Home
from domicile.registry import domain_model, tenant_model

logger = logging.getLogger("domicile.fleet")


def normalized(domains: Iterable[str]) -> list[str]:
    """Return the hosts as they are stored, each once."""
    return list(dict.fromkeys(map(usable_domain, domains)))


def reserve(tenant: Any, hosts: list[str]) -> None:
    """Write the row and its domains. Two who want the same name meet here, and one gets it."""
    try:
        with transaction.atomic(using=SHARED_ALIAS):
            signals.tenant_creating.send(type(tenant), tenant=tenant)
            tenant.save(force_insert=True)
            for position, host in enumerate(hosts):
                add_domain(tenant, host, is_primary=position == 0)
    except IntegrityError as error:
        if tenant_model()._base_manager.filter(slug=tenant.slug).exists():
            raise SlugTaken(f"There is a tenant {tenant.slug!r} already.") from error
        raise


def add_domain(tenant: Any, host: str, *, is_primary: bool) -> None:
    model = domain_model()
    if model._base_manager.filter(host=host).exists():
        raise DomainTaken(f"The domain {host!r} belongs to another tenant.")
    try:
        with transaction.atomic(using=SHARED_ALIAS):
            model(tenant=tenant, host=host, is_primary=is_primary).save(force_insert=True)
    except IntegrityError as error:
        raise DomainTaken(f"The domain {host!r} belongs to another tenant.") from error


def set_status(tenant: Any, status: Status) -> None:
    tenant.status, tenant.drop_after = status, None
    tenant.save(update_fields=["status", "drop_after", "changed_at"])


def undo(tenant: Any, site: Site) -> None:
    if tenant.pk is None:
        return
    try:
        remove(tenant, site)
    except Exception:
        logger.exception(
            "Could not clear away what was made of tenant %s; the next attempt will.", tenant.slug
        )


def remove(tenant: Any, site: Site) -> None:
    """Drop the homes, then the row: while there is a home, there is a row that tells of it."""
    from domicile.periods.tenants import drop_homes

    own = Home(tenant.alias, site.placement)
    drop_homes(own)
    handler().forget(tenant.alias)
    site.drop()
    if drop_homes(own):  # One was being made, and may have kept the tenant's role.
        site.drop()
    delete_row(tenant)


def delete_row(tenant: Any) -> None:
    tenant.status = Status.DROPPING
    tenant.delete()


def clear_remains(slug: str) -> None:
    """Remove what a process left that died while it created this tenant; `SlugTaken` where there is
    one.
    """
    found = tenant_model()._base_manager.filter(slug=slug).first()
    if found is None:
        return
    if found.status != Status.CREATING:
        raise SlugTaken(f"There is a tenant {slug!r} already.")
    logger.warning("Clearing away tenant %s, whose creation was cut off.", slug)
    remove(found, Site.of(found.placement))
