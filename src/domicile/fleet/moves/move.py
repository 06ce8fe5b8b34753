"""Moves a tenant to another home, which may be on another server and of another engine.

The row of a `Move` says how far it got, and each phase is one that a process may die in:

- preparing: the target is made, and has tables. The tenant knows nothing of it.
- copying: the database keeps writers from the source, for as long as this process lives, and rows
  are carried and compared. What is beside the tenant's own home is held, carried and retired with
  it (`domicile.fleet.moves.beside`).
- switching: the target is complete. The source is retired, at one instant; from then on it refuses
  whoever still comes. That instant decides: before it, the move is undone; after it, finished.
- switched: the tenant's placement is the target. The source waits for the end of its grace.

The same call again finishes or begins anew, as it has to (`domicile.fleet.moves.phases`); old homes
are dropped in `domicile.fleet.moves.old_homes`. Each change of phase is made only if the
row is still in the phase before; so of two who believe that they work on it, one goes on.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from domicile import signals
from domicile.conf import PlacementTemplate, conf
from domicile.exceptions import HomeExists, NotSupported, TenantBusy, TenantUnavailable
from domicile.fleet.migrations import Progress, Step, silent
from domicile.fleet.moves.beside import Beside
from domicile.fleet.moves.destination import free_placement, placement_named
from domicile.fleet.moves.history import History, applied_through
from domicile.fleet.moves.old_homes import drop_old_homes, expired
from domicile.fleet.moves.phases import Phase, advance, place, settle, settled
from domicile.fleet.moves.transfer import make_tables, open_end, transfer
from domicile.fleet.site import Site, handler
from domicile.fleet.sole_work import find_tenant, in_shared_home, sole_work_on
from domicile.models import VISIBLE
from domicile.periods.tenants import refuse_move
from domicile.placement import SHARED_ALIAS, Placement
from domicile.records import Move

logger = logging.getLogger("domicile.fleet")

GRACE = timedelta(days=7)
#: Seconds to wait for the transactions of writers.
PATIENCE = 30.0


@dataclass(frozen=True)
class Moved:
    """What came of a move."""

    tenant: Any
    source: Placement
    #: For how long the source kept writers waiting; None: that process died.
    read_only_seconds: float | None
    #: Tables with rows that no model holds, which another engine could not take.
    left_behind: tuple[str, ...] = ()


@in_shared_home
def move_tenant(
    tenant: Any,
    placement: str,
    *,
    grace: timedelta = GRACE,
    lock_timeout: float = PATIENCE,
    progress: Progress = silent,
) -> Moved:
    """Move a tenant to a home of another kind. Its slug, alias, domains and status stay; its homes
    by time come along where they are schemas beside its own, before and after.

    :param placement: a key of `DOMICILE["PLACEMENTS"]`, or an alias of `DATABASES` where one only
        places homes.
    :param grace: how long the old home is kept; `drop_expired()` drops it after.
    :param lock_timeout: seconds to wait for transactions that write.
    :raises HomeBusy: they did not end. `RowsDiffer`: something did not arrive as it left.
    :raises MigrationsUnknown: between engines, the home has had migrations that are not here.
    :raises TenantBusy: another process works on the tenant.
    :raises NotSupported: it has homes by time that could not come along.

    Whatever fails before the switch leaves the tenant where it was. A process that is killed is
    finished by the same call.
    """
    refuse_transaction()
    template = placement_named(placement)
    slug = find_tenant(tenant).slug
    with sole_work_on(slug):
        finished = settle(slug)
        tenant = find_tenant(slug)
        if tenant.status not in VISIBLE:
            raise TenantUnavailable(
                f"{slug!r} is {tenant.get_status_display()}, so it cannot be moved."
            )
        if tenant.placement.template == template.key:
            moved = _last_move(tenant, finished or (None if grace else expired(slug).last()))
        else:
            refuse_move(tenant.home, template)
            moved = _Mover(tenant, template, grace, lock_timeout, progress).run()
    if not grace:
        drop_old_homes(slug)
    return moved


def refuse_transaction() -> None:
    """Raise `NotSupported` inside a transaction of the shared home."""
    if handler()[SHARED_ALIAS].in_atomic_block:
        raise NotSupported(
            "A tenant cannot be moved inside a transaction, which would undo the records of how far"
            " it got: call this outside `atomic()`."
        )


def _last_move(tenant: Any, finished: Move | None) -> Moved:
    """Return what this very call finishes; to be there already is otherwise an error."""
    if finished is None:
        raise NotSupported(f"{tenant.slug!r} is at {tenant.placement} already.")
    return Moved(tenant, finished.source, finished.read_only_seconds)


class _Mover:
    """One attempt to move a tenant, by the process that holds its lock."""

    def __init__(
        self,
        tenant: Any,
        template: PlacementTemplate,
        grace: timedelta,
        patience: float,
        progress: Progress,
    ) -> None:
        self.tenant = tenant
        self.grace = grace
        self.patience = patience
        self.progress = progress
        self.move = Move(slug=tenant.slug, grace=grace)
        self.move.source = tenant.placement
        self.move.target = free_placement(template, tenant.slug)

    def run(self) -> Moved:
        self.move.save()
        self._tell(f"{self.move.source} → {self.move.target}")
        self._make_home()
        left_behind: list[str] = []
        try:
            left_behind = self._carry()
        except BaseException as error:
            # What the servers did last may have come too late for us to hear.
            if settled(self.move) is None:
                raise
            logger.warning("Moved %s in spite of %r.", self.tenant.slug, error)
        tenant = find_tenant(self.tenant)
        handler().forget(tenant.alias)
        signals.tenant_moved.send(type(tenant), tenant=tenant, source=self.move.source)
        self._tell(str(tenant.placement))
        seconds = Move.objects.get(pk=self.move.pk).read_only_seconds
        return Moved(tenant, self.move.source, seconds, tuple(left_behind))

    def _make_home(self) -> None:
        site = Site.of(self.move.target)
        try:
            site.store.create(site.name)
        except (HomeExists, NotSupported):
            # One that somebody else made a moment ago is not ours to drop.
            self.move.delete()
            raise
        self._tell(f"{site.store.noun} {site.name}")

    def _carry(self) -> list[str]:
        move = self.move
        with open_end(handler(), move.source_home) as source:
            history = History(applied_through(source.connection))
            with open_end(handler(), move.target_home) as target:
                make_tables(source, target, history)
                handler().forget(self.tenant.alias)
                beside = Beside(source, target, self.progress)
                beside.build()
                advance(move, Phase.PREPARING, Phase.COPYING)
                self._tell("the target has its tables")
                source.prepare(self.patience)
                source.beside = beside.ends
                with source.frozen(self.patience):
                    began = time.monotonic()
                    self._tell("no writes from here on")
                    _refuse_migrated(source, history)
                    refuse_move(move.source_home, conf().placement(move.target.template))
                    left_behind = transfer(source, target, history, self.progress)
                    left_behind += beside.carry()
                    self._switch(source, began)
            source.hide(move.retired_name)
        return left_behind

    def _switch(self, source: Any, began: float) -> None:
        move = self.move
        advance(
            move,
            Phase.COPYING,
            Phase.SWITCHING,
            retired_name=source.retired_name(move.pk),
            read_only_seconds=time.monotonic() - began,
        )
        self._tell("all rows are there")
        source.retire(move.pk)
        self._tell("source retired")
        place(move)
        Move.objects.filter(pk=move.pk).update(read_only_seconds=time.monotonic() - began)

    def _tell(self, detail: str) -> None:
        self.progress(Step(self.move.phase, detail))


def _refuse_migrated(source: Any, history: History) -> None:
    if applied_through(source.connection) != history.applied:
        raise TenantBusy(
            f"{source.home.slug!r} was migrated meanwhile. Move it again when that is done."
        )
