"""Tenants are dropped, at once or when their grace is over."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Q
from django.utils import timezone

from domicile import signals
from domicile.exceptions import TenantBusy
from domicile.fleet.site import Site
from domicile.fleet.sole_work import find_tenant, in_shared_home, refuse_transaction, sole_work_on
from domicile.fleet.steps import remove
from domicile.models import Status
from domicile.registry import tenant_model

logger = logging.getLogger("domicile.fleet")


@in_shared_home
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


@in_shared_home
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
    remove(tenant, Site.of(tenant.placement))
    tenant.pk = pk


adrop_tenant = sync_to_async(drop_tenant)
