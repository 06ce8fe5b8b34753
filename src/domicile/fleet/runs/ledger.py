"""The record of a run, as workers and those who follow them see it.

A worker works in a slot of the run, and holds the slot's lock for its life; a slot whose lock is
free tells that whoever worked in it is dead, and what is recorded as running there waits again.
There are as many slots as the run has `jobs`, so a worker too many, such as a task that was
delivered twice, finds none and ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db.models import Count
from django.db.models.functions import Now

from domicile.fleet.site import handler
from domicile.placement import SHARED_ALIAS, Home, owner_of
from domicile.records import MigrationRun, MigrationRunHome

RunState = MigrationRun.State
HomeState = MigrationRunHome.State

#: The states of a run that is worked on.
LIVE = (RunState.CANARY, RunState.RUNNING)


def homes_of(run: int) -> Any:
    """Return a queryset of a run's rows."""
    return MigrationRunHome.objects.filter(run=run)


def slot_lock(run: int, slot: int) -> AbstractContextManager[bool]:
    """Hold the lock of a slot; the value tells whether it was free."""
    return handler()[SHARED_ALIAS].named_lock(f"domicile:run:{run}:{slot}")


def state_of(run: int) -> str | None:
    """Return the state of a run, None where its record was deleted."""
    return MigrationRun.objects.filter(pk=run).values_list("state", flat=True).first()


def counts_of(homes: Any) -> dict[str, int]:
    """Return how many of a run's rows are in each state."""
    return dict(homes.order_by().values_list("state").annotate(Count("pk")))


def conclude(run: int, state: str) -> bool:
    """Write the next state of a run none of whose homes waits or is worked on; tell whether so."""
    homes = homes_of(run)
    if state == RunState.CANARY:
        homes = homes.filter(is_canary=True)
    counts = counts_of(homes)
    if counts.get(HomeState.WAITING) or counts.get(HomeState.RUNNING):
        return False
    live = MigrationRun.objects.filter(pk=run, state=state)
    if state == RunState.CANARY and not counts.get(HomeState.FAILED):
        live.update(state=RunState.RUNNING)
    elif state == RunState.CANARY:
        live.update(state=RunState.STOPPED, ended_at=Now())
    else:
        failed = counts.get(HomeState.FAILED)
        ended = RunState.FAILED if failed else RunState.DONE
        live.update(state=ended, ended_at=Now())
    return True


def stop_run(run: int) -> None:
    """Let no more homes of it be taken."""
    MigrationRun.objects.filter(pk=run, state__in=LIVE).update(
        state=RunState.STOPPED, ended_at=Now()
    )


def take_up_dead(run: int, retries: int, *, besides: str = "") -> None:
    """Let those homes wait again whose workers are dead."""
    running = homes_of(run).filter(state=HomeState.RUNNING).exclude(worker=besides)
    workers = running.order_by().values_list("worker", flat=True).distinct()
    for slot in {worker.partition("@")[0] for worker in workers}:
        with slot_lock(run, int(slot)) as free:
            if free:
                take_up(run, int(slot), retries)


def take_up(run: int, slot: int, retries: int) -> None:
    """The worker of a slot, whose lock the caller holds, is dead: what it left waits again, unless
    it seems to be what the workers die of.
    """
    left = homes_of(run).filter(state=HomeState.RUNNING, worker__startswith=f"{slot}@")
    if not left.exists():
        return
    left.filter(attempts__gt=retries).update(
        state=HomeState.FAILED,
        error=f"Each of {retries + 1} workers that migrated it died: see their logs.",
        ended_at=Now(),
    )
    left.update(state=HomeState.WAITING, worker="")


def living(run: int, jobs: int) -> int:
    """Return how many workers of a run are alive."""
    count = 0
    for slot in range(1, jobs + 1):
        with slot_lock(run, slot) as free:
            count += not free
    return count


class RecordedNotes:
    """Notes of migrations that are no transaction (`domicile.fleet.replay.notes`): rows of a run.

    There is one note of a home, whichever run it was written in: what was cut off in one run may be
    finished by the next. That of a home by time is in the row of its tenant's own.
    """

    def __init__(self, run: int) -> None:
        self.run = run
        #: By alias of the row, those of all homes of that tenant by their own.
        self._fetched: dict[str, dict[str, Any]] = {}

    @contextmanager
    def fetched(self, homes: Collection[Home]) -> Iterator[None]:
        """Read the notes of homes, which nobody else writes now, in one statement."""
        aliases = [home.alias for home in homes]
        left = _noted().filter(alias__in=aliases).values_list("alias", "note")
        self._fetched |= {alias: {} for alias in aliases} | dict(left.reverse())
        try:
            yield
        finally:
            for alias in aliases:
                self._fetched.pop(alias, None)

    def read(self, home: Home) -> dict[str, Any]:
        note: dict[str, Any] = self._notes_at(owner_of(home.alias)).get(home.alias, {})
        return note

    def _notes_at(self, alias: str) -> dict[str, Any]:
        notes = self._fetched.get(alias)
        if notes is None:
            notes = _noted().filter(alias=alias).values_list("note", flat=True).first()
        return notes or {}

    def write(self, home: Home, note: dict[str, Any]) -> None:
        alias = owner_of(home.alias)
        notes = {**self._notes_at(alias), home.alias: note}
        if not note:
            del notes[home.alias]
        if notes:
            homes_of(self.run).filter(alias=alias).update(note=notes, is_noted=True)
        elsewhere = _noted().filter(alias=alias).exclude(run=self.run if notes else None)
        elsewhere.update(note={}, is_noted=False)
        if alias in self._fetched:
            self._fetched[alias] = notes


def noted_aliases() -> set[str]:
    """Return the aliases of homes in which something was cut off that is no transaction."""
    return set(_noted().values_list("alias", flat=True))


def _noted() -> Any:
    return MigrationRunHome.objects.filter(is_noted=True).order_by("-pk")
