"""How a move gets from one phase to the next, and how one that was cut off is settled."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone

from domicile.exceptions import HomeMissing, TenantBusy
from domicile.fleet.moves.destination import open_moves
from domicile.fleet.moves.transfer import open_end
from domicile.fleet.site import Site, handler
from domicile.fleet.sole_work import find_tenant
from domicile.periods.tenants import drop_built
from domicile.placement import SHARED_ALIAS
from domicile.records import Move

logger = logging.getLogger("domicile.fleet")

Phase = Move.Phase


def advance(move: Move, before: str, after: str, **values: Any) -> None:
    """Go to the next phase; `TenantBusy` where somebody else took the move over."""
    if not Move.objects.filter(pk=move.pk, phase=before).update(phase=after, **values):
        raise TenantBusy(f"Another process has taken over the move of {move.slug!r}.")
    for name, value in {"phase": after, **values}.items():
        setattr(move, name, value)


def place(move: Move) -> None:
    """Have the tenant live at the target, with what is beside its own home, for every process to
    see.
    """
    with transaction.atomic(using=SHARED_ALIAS):
        advance(
            move,
            Phase.SWITCHING,
            Phase.SWITCHED,
            drop_source_after=timezone.now() + move.grace,
        )
        tenant = find_tenant(move.slug)
        tenant.placement = move.target
        tenant.save(update_fields=["placement_template", "placement_name", "changed_at"])


def settled(move: Move) -> Move | None:
    """Settle a move that failed; return it if the tenant has moved all the same."""
    shared = handler()[SHARED_ALIAS]
    shared.close_if_unusable_or_obsolete()
    try:
        return settle(move.slug)
    except Exception:
        logger.exception(
            "Could not clear away what was made for the move of tenant %s; the same command again"
            " will.",
            move.slug,
        )
        return None


def settle(slug: str) -> Move | None:
    """Undo or finish a move of a tenant that was cut off; return it if it is finished."""
    move = open_moves().filter(slug=slug).exclude(phase=Phase.SWITCHED).last()
    if move is None:
        return None
    if move.phase == Phase.SWITCHING and _source_is_retired(move):
        logger.warning("Finishing the move of tenant %s, which was cut off.", slug)
        place(move)
        with open_end(handler(), move.source_home) as source:
            source.hide(move.retired_name)
        return move
    if move.phase != Phase.UNDOING:
        advance(move, move.phase, Phase.UNDOING)
    _undo(move)
    return None


def _source_is_retired(move: Move) -> bool:
    with open_end(handler(), move.source_home) as source:
        return source.is_retired(move.retired_name)


def _undo(move: Move) -> None:
    """Drop the target, then the row: while there is a home, there is a row that tells of it."""
    handler().forget(move.source_home.alias)
    drop_built(move.source_home, move.target_home)
    Site.of(move.target).drop()
    try:
        with open_end(handler(), move.source_home) as source:
            source.unprepare()
    except HomeMissing:
        pass  # Nothing to take back where nothing is.
    move.delete()
