"""The homes that tenants have moved from: kept for their grace, then dropped."""

from __future__ import annotations

import logging
from typing import Any

from django.utils import timezone

from domicile.exceptions import TenantBusy
from domicile.fleet.moves.phases import Phase, settle
from domicile.fleet.site import Site
from domicile.fleet.sole_work import in_shared_home, sole_work_on
from domicile.periods.tenants import drop_retired
from domicile.records import Move

logger = logging.getLogger("domicile.fleet")


@in_shared_home
def drop_old_homes(slug: str = "") -> list[str]:
    """Drop the homes from which tenants have moved (or one has), whose grace is over; return the
    slugs. One that cannot be dropped now is left for the next time.
    """
    return [move.slug for move in expired(slug) if _drops_source(move)]


def expired(slug: str = "") -> Any:
    """Return the moves, or those of a tenant, whose old home is to be dropped."""
    found = Move.objects.filter(phase=Phase.SWITCHED, drop_source_after__lte=timezone.now())
    return (found.filter(slug=slug) if slug else found).order_by("pk")


def drop_moves(slug: str) -> None:
    """Drop every home that a tenant has besides the one it lives in, grace or not: the tenant is
    being dropped, by the holder of its lock.
    """
    settle(slug)
    for move in Move.objects.filter(slug=slug, phase=Phase.SWITCHED):
        _drop_source(move)


def _drops_source(move: Move) -> bool:
    try:
        with sole_work_on(move.slug):
            if Move.objects.filter(pk=move.pk, phase=Phase.SWITCHED).exists():
                _drop_source(move)
    except TenantBusy:
        return False
    except Exception:
        logger.exception(
            "Could not drop the old home of tenant %s; the next attempt may.", move.slug
        )
        return False
    return True


def _drop_source(move: Move) -> None:
    """Drop all that the tenant has left; its own home last, which may have a role that owns all."""
    drop_retired(move.source_home, move.pk)
    site = Site.of(move.source)
    if move.retired_name:
        site.store.drop(move.retired_name)
    site.drop()
    move.phase, move.ended_at = Phase.DONE, timezone.now()
    move.save(update_fields=["phase", "ended_at"])
