"""The homes by time of a tenant that is copied, exported or imported, each carried as its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from domicile.backends.homes import applied_at
from domicile.backends.transfer import HomeEnd
from domicile.fleet.migrations import Progress, Step
from domicile.fleet.moves.history import History
from domicile.fleet.moves.transfer import copy_rows, open_end
from domicile.fleet.site import handler
from domicile.periods.calendar import Period
from domicile.periods.homes import PeriodHomes, homes_of
from domicile.periods.making import COMPLETE, create
from domicile.periods.places import placements
from domicile.placement import Home


@dataclass(frozen=True)
class Part:
    """A home by time whose rows are read as they were at one instant."""

    homes: PeriodHomes
    period: Period
    end: HomeEnd
    history: History


def parts_of(source: HomeEnd) -> Iterator[Part]:
    """Yield the homes by time of the tenant whose own home is a source, in which a snapshot is
    open, one after the other: those beside it as they are in that snapshot, each other in one of
    its own.
    """
    own = source.home
    for placement in placements(of_tenants=True):
        homes = homes_of(placement, own=own)
        # Listed now, so that none is missing that is in the snapshot.
        for period in sorted(homes.found(homes.store)):
            with _end_of(source, homes.home(period)) as end:
                applied = applied_at(end.connection)
                # In the snapshot there is nothing yet of one that was made since.
                if COMPLETE in applied:
                    yield Part(homes, period, end, History(applied - {COMPLETE}))


@contextmanager
def _end_of(source: HomeEnd, home: Home) -> Iterator[HomeEnd]:
    if home.beside is not None:  # The same session reaches both.
        yield source.other(home)
        return
    with open_end(handler(), home) as end, end.snapshot():
        yield end


def copy_by_time(source: HomeEnd, tenant: Any, progress: Progress) -> None:
    """Give a new tenant, which has the rows of a source's own home, those of its homes by time."""
    for part in parts_of(source):
        homes = homes_of(part.homes.placement, own=tenant.home)
        with made(tenant, homes, part.period, part.history, progress) as target:
            copy_rows(part.end, target, part.history, progress)


@contextmanager
def made(
    tenant: Any, homes: PeriodHomes, period: Period, history: History, progress: Progress
) -> Iterator[HomeEnd]:
    """Make a home by time of a new tenant, with the tables of a history; yield it, to be filled:
    after that it counts as one that is there.
    """
    site = homes.site(period)
    homes.validate(period)
    with tenant.activate():
        create(homes, period, site)
        home = homes.home(period)
        history.build(home, tenant.home)
    progress(Step("home", f"{site.store.noun} {site.name}"))
    handler().forget(home.alias)
    with open_end(handler(), home) as target:
        yield target
    with tenant.activate():
        recorder = MigrationRecorder(connections[home.alias])
        if COMPLETE not in recorder.applied_migrations():  # It came with the rows.
            recorder.record_applied(*COMPLETE)
    handler().forget(home.alias)
