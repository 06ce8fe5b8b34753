"""What a worker does, wherever it runs: take homes of a run, migrate them, write what became of it.

The record of the run is all that workers share; see `domicile.fleet.runs.ledger`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from datetime import timedelta
from time import monotonic
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from domicile.exceptions import ConnectionLimitReached, HomeBusy
from domicile.fleet.replay.migrator import HomeMigrator, Outcome
from domicile.fleet.replay.plan import Target
from domicile.fleet.runs.events import HomeEnded
from domicile.fleet.runs.forecast import read_each
from domicile.fleet.runs.ledger import (
    LIVE,
    HomeState,
    RecordedNotes,
    RunState,
    conclude,
    homes_of,
    slot_lock,
    state_of,
    stop_run,
    take_up,
    take_up_dead,
)
from domicile.fleet.runs.options import FIRST_BATCH, RunOptions
from domicile.fleet.runs.results import Results
from domicile.fleet.runs.selection import current_homes
from domicile.fleet.site import handler
from domicile.fleet.sole_work import sole_work_on_each
from domicile.fleet.survey import applied_in
from domicile.periods.migrations import migrate_by_time
from domicile.periods.survey import by_time_in
from domicile.placement import SHARED_ALIAS, TENANT_PREFIX, Home
from domicile.records import MigrationRunHome as Row

#: Errors that pass when somebody else is done.
_BUSY = (HomeBusy, ConnectionLimitReached)

#: Seconds.
#: Those who look whether a worker is alive hold its lock for less.
_PROBE = 0.2
_LONGEST_PAUSE = 1.0
_LOCKED_PAUSE = 0.5


class RunMigrator(HomeMigrator):
    """Migrates homes as a run is to, and notes in its record what could be cut off half done."""

    def __init__(self, run: int, target: Target, options: RunOptions) -> None:
        self.recorded = RecordedNotes(run)
        super().__init__(
            target, fake=options.fake, lock_timeout=options.lock_timeout, note=self.recorded
        )


class Worker:
    """Works in one slot of a run, in the calling thread, which must have no tenant active."""

    def __init__(
        self, run: int, options: RunOptions, migrator: RunMigrator, stop: threading.Event
    ) -> None:
        self.run = run
        self.options = options
        self.migrator = migrator
        self.stop = stop
        self.homes = homes_of(run)
        self.name = ""
        self._pauses = pauses(_LONGEST_PAUSE)
        self._batch = min(FIRST_BATCH, options.batch)

    def events(self) -> Iterator[HomeEnded]:
        """Work until the run is over or `stop` is set; yield what became of each home.

        :raises OperationalError, InterfaceError: the session with the shared database is lost, and
            with it the locks that keep others away.
        """
        with ExitStack() as held:
            slot = self._take_slot(held)
            if slot is None:
                return
            self.name = f"{slot}@{socket.gethostname()[:32]}:{os.getpid()}"
            self._session = _shared().connection
            held.callback(self._give_back)
            while not self.stop.is_set():
                batch = self._claim()
                if batch:
                    yield from self._do(batch)
                    self._pauses = pauses(_LONGEST_PAUSE)
                elif not self._wait():
                    return

    def _take_slot(self, held: ExitStack) -> int | None:
        """Return the number of a slot that was free, and whose lock `held` now holds."""
        for pause in (_PROBE, 0.0):
            for slot in range(1, self.options.jobs + 1):
                if held.enter_context(slot_lock(self.run, slot)):
                    take_up(self.run, slot, self.options.retries)
                    return slot
            self.stop.wait(pause)
        return None

    def _give_back(self) -> None:
        """What was taken and not tried waits again. Without its locks this worker has no say: then
        its slot is free, which tells as much.
        """
        if _shared().connection is self._session:
            with suppress(DatabaseError, InterfaceError):
                self._put_back([row.pk for row in self._mine()])

    # Taking homes ------------------------------------------------------------------------------

    def _claim(self) -> list[Row]:
        """Return homes that are this worker's now; none where none may be taken at present."""
        state = state_of(self.run)
        if state not in LIVE:
            return []
        skips = _shared().features.has_select_for_update_skip_locked
        with transaction.atomic(using=SHARED_ALIAS) if skips else nullcontext():
            ready = self._ready(state)
            size = self._size(ready.count())
            if skips:
                ready = ready.select_for_update(skip_locked=True)
            rows = list(ready[:size])
            # One that was tried before may be what killed its worker: it gets a claim of its own.
            rows = [row for row in rows if not row.attempts] or rows[:1]
            return self._take(rows) if rows else []

    def _size(self, waiting: int) -> int:
        """Return how many to take; of the last as few as fall to each worker, if they take long."""
        share = -(-waiting // self.options.jobs)
        least = FIRST_BATCH if self._batch > FIRST_BATCH else 1
        return min(self._batch, max(share, least))

    def _ready(self, state: str) -> Any:
        ready = self.homes.filter(
            Q(not_before=None) | Q(not_before__lte=timezone.now()), state=HomeState.WAITING
        )
        if state == RunState.CANARY:
            ready = ready.filter(is_canary=True)
        return ready.only("run_id", "alias", "attempts").order_by("pk")

    def _take(self, rows: Sequence[Row]) -> list[Row]:
        """Mark them as running here. Of those that somebody else took meanwhile, none is."""
        keys = [row.pk for row in rows]
        taken = self.homes.filter(pk__in=keys, state=HomeState.WAITING).update(
            state=HomeState.RUNNING, worker=self.name, attempts=F("attempts") + 1, started_at=Now()
        )
        if taken < len(rows):
            mine = set(self._mine().filter(pk__in=keys).values_list("pk", flat=True))
            rows = [row for row in rows if row.pk in mine]
        for row in rows:
            row.attempts += 1
        return list(rows)

    def _mine(self) -> Any:
        return self.homes.filter(worker=self.name, state=HomeState.RUNNING)

    def _wait(self) -> bool:
        """None can be taken: pause, and tell whether there may be some later."""
        state = state_of(self.run)
        if state in LIVE and not conclude(self.run, state):
            take_up_dead(self.run, self.options.retries, besides=self.name)
            self.stop.wait(next(self._pauses))
            return True
        if state == RunState.CANARY:
            return True
        self.stop.set()  # The others of this process may be pausing.
        return False

    # Migrating ---------------------------------------------------------------------------------

    def _do(self, batch: Sequence[Row]) -> Iterator[HomeEnded]:
        began = monotonic()
        with sole_work_on_each(map(_slug, batch)) as mine:
            rows = [row for row in batch if _slug(row) in mine]
            self._put_back([row.pk for row in batch if _slug(row) not in mine], _LOCKED_PAUSE)
            homes = current_homes(mine)
            with Results(self._mine()) as results, self.migrator.recorded.fetched(homes.values()):
                work = _Batch(homes.values(), self.migrator)
                for row in rows:
                    event = self._migrate(row, homes.get(_slug(row)), work, results)
                    yield event
                    if self.stop.is_set() or self._ends_run(event):
                        break
                else:
                    rows = []
            if rows:
                self._give_back()
        self._set_pace(len(batch), monotonic() - began)

    def _set_pace(self, homes: int, seconds: float) -> None:
        """Take as many homes at a time as are done in about a second: they are locked together."""
        fitting = int(4 * homes if seconds < 0.25 else homes / seconds)
        self._batch = max(1, min(fitting, self.options.batch))

    def _migrate(self, row: Row, home: Home | None, work: _Batch, results: Results) -> HomeEnded:
        if home is None:
            return results.gone(row)
        try:
            outcomes = work.migrate(home)
        except Exception as error:
            self._check_session(_shared().is_usable)
            if isinstance(error, _BUSY) and row.attempts <= self.options.retries:
                return results.busy(row, error)
            return results.failed(row, error)
        finally:
            # A fleet has more homes than a process should have connections.
            handler().forget(home.alias)
        self._check_session()
        return results.done(row, *outcomes)

    def _check_session(self, is_usable: Callable[[], bool] = lambda: True) -> None:
        """Raise where the locks are gone: with the session, which a migration's code can close."""
        if _shared().connection is not self._session or not is_usable():
            raise OperationalError("The session that holds this worker's locks is closed.")

    def _ends_run(self, event: HomeEnded) -> bool:
        if event.state != HomeState.FAILED or self.options.keep_going:
            return False
        stop_run(self.run)
        return True

    def _put_back(self, keys: Sequence[int], pause: float = 0.0) -> None:
        """They were not tried."""
        if keys:
            self._mine().filter(pk__in=keys).update(
                state=HomeState.WAITING,
                worker="",
                attempts=F("attempts") - 1,
                not_before=timezone.now() + timedelta(seconds=pause) if pause else None,
            )


class _Batch:
    """Homes that a worker has taken, read together: what each has applied, and its tenant's homes
    by time.
    """

    def __init__(self, homes: Iterable[Home], migrator: HomeMigrator) -> None:
        self._migrator = migrator
        self._applied = read_each(applied_in, homes)
        self._faults: dict[Home, Exception] = {}
        self._by_time = read_each(by_time_in, homes, self._faults)

    def migrate(self, home: Home) -> tuple[Outcome, list[Outcome]]:
        """Migrate a home, and then those by time."""
        own = self._migrator.migrate(home, self._applied.get(home))
        if home in self._faults:
            raise self._faults[home]
        return own, migrate_by_time(self._by_time[home], self._migrator)


def pauses(longest: float) -> Iterator[float]:
    """Yield seconds to wait, longer each time."""
    pause = 0.02
    while True:
        yield pause
        pause = min(2 * pause, longest)


def _shared() -> Any:
    return handler()[SHARED_ALIAS]


def _slug(row: Row) -> str:
    return row.alias.removeprefix(TENANT_PREFIX)
