"""Who works on a run: this thread, threads, processes of this machine, or tasks elsewhere."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.conf import ENVIRONMENT_VARIABLE
from django.db import InterfaceError, OperationalError
from django.utils.module_loading import import_string

from domicile.context import no_tenant
from domicile.exceptions import NotSupported
from domicile.fleet.replay.plan import Target
from domicile.fleet.runs.events import HomeEnded
from domicile.fleet.runs.hands import Hands
from domicile.fleet.runs.ledger import (
    LIVE,
    HomeState,
    homes_of,
    living,
    state_of,
    stop_run,
    take_up_dead,
)
from domicile.fleet.runs.options import RunOptions
from domicile.fleet.runs.work import RunMigrator, Worker, pauses
from domicile.fleet.site import handler
from domicile.placement import SHARED_ALIAS
from domicile.records import MigrationRun

logger = logging.getLogger("domicile.fleet")

#: Seconds to wait for tasks that were sent off and have not begun; longer each time.
_PATIENCE, _MOST_PATIENCE = 10.0, 600.0
#: Seconds between looks at the record of a run that others work on.
_LOOK_EVERY = 0.2
#: Rows become visible a little after the time that is written in them.
_OVERLAP = timedelta(seconds=1)
#: Seconds until every process has seen that the run is over.
_LAST_LOOK = 5.0
#: How often in a row a worker starts again that lost its session.
_LIVES = 8

#: Tells whether workers are alive, or may come to be.
Expected = Callable[[], bool]


def labour(run: int, target: Target, options: RunOptions, hands: Hands) -> Iterator[HomeEnded]:
    """Have a run worked on until it is over, by `hands` where that is threads; yield what becomes
    of homes.

    Whoever stops reading stops the run; it can be gone on with later.
    """
    crew = _crew(run, target, options, hands)
    try:
        while state_of(run) in LIVE:
            yield from crew()
            if state_of(run) not in LIVE:
                return
            # Others may still be at work.
            yield from _follow(run, options, lambda: False)
    except (GeneratorExit, KeyboardInterrupt):
        stop_run(run)
        raise


@no_tenant()
def work(run: int, *, seconds: float | None = None) -> bool:
    """Be one of a run's workers, until it is over or so many seconds have passed.

    :return: whether there may be work left. Nothing is done where the run has workers enough.
    """
    record = MigrationRun.objects.filter(pk=run, state__in=LIVE).first()
    if record is None:
        return False
    options = RunOptions.from_record(record.options)
    with _stop_after(seconds) as stop:
        for _ in _enduring(run, options, RunMigrator(run, Target(**record.target), options), stop):
            pass
        return stop.is_set() and state_of(run) in LIVE


@contextmanager
def _stop_after(seconds: float | None) -> Iterator[threading.Event]:
    stop = threading.Event()
    timer = threading.Timer(seconds or 0.0, stop.set)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield stop
    finally:
        timer.cancel()


def hands_for(options: RunOptions) -> int:
    """Return how many threads are worth getting ready for a run before its homes are listed."""
    alone = options.hand_out or options.processes or handler()[SHARED_ALIAS].in_atomic_block
    number = options.workers(options.selection.at_most)
    return 0 if alone or number == 1 else number


def _crew(
    run: int, target: Target, options: RunOptions, hands: Hands
) -> Callable[[], Iterator[HomeEnded]]:
    apart = options.hand_out or options.processes
    if handler()[SHARED_ALIAS].in_atomic_block:
        if apart:
            raise NotSupported(
                "Nobody else sees a run that was started inside a transaction: start it outside"
                " `atomic()`, or without processes and tasks."
            )
        return lambda: _here(run, options, RunMigrator(run, target, options))
    if options.hand_out:
        return _HandedOut(run, options)
    if options.processes:
        return lambda: _in_processes(run, options)
    migrator = RunMigrator(run, target, options)
    if options.jobs == 1:
        return lambda: _here(run, options, migrator)
    return lambda: _in_threads(run, options, migrator, hands)


# Workers of this process -------------------------------------------------------------------------


def _here(run: int, options: RunOptions, migrator: RunMigrator) -> Iterator[HomeEnded]:
    return _enduring(run, options, migrator, threading.Event())


def _enduring(
    run: int, options: RunOptions, migrator: RunMigrator, stop: threading.Event
) -> Iterator[HomeEnded]:
    """A worker that starts again when it loses its session, unless that goes on and on."""
    lives, rests = _LIVES, pauses(5.0)
    while not stop.is_set():
        try:
            for event in Worker(run, options, migrator, stop).events():
                lives, rests = _LIVES, pauses(5.0)
                yield event
            return
        except (OperationalError, InterfaceError) as error:
            lives -= 1
            if not lives or handler()[SHARED_ALIAS].in_atomic_block:
                raise
            logger.warning("A worker of run %s starts again: %s", run, error)
            handler().close_all()
            stop.wait(next(rests))


def _in_threads(
    run: int, options: RunOptions, migrator: RunMigrator, hands: Hands
) -> Iterator[HomeEnded]:
    told: queue.SimpleQueue[HomeEnded | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()

    def worker() -> None:
        try:
            for event in _enduring(run, options, migrator, stop):
                told.put(event)
            told.put(None)
        except BaseException as error:
            told.put(error)

    for _ in range(options.jobs):
        hands.do(worker)
    try:
        yield from _until_silent(told, options.jobs)
    finally:
        stop.set()
        hands.dismiss()


def _until_silent(told: queue.SimpleQueue[Any], workers: int) -> Iterator[HomeEnded]:
    """Yield what workers tell until each has ended; then raise what one of them died of."""
    fault = None
    while workers:
        event = told.get()
        if isinstance(event, HomeEnded):
            yield event
            continue
        workers -= 1
        fault = event or fault
    if fault is not None:
        raise fault


# Workers elsewhere -------------------------------------------------------------------------------


def _in_processes(run: int, options: RunOptions) -> Iterator[HomeEnded]:
    """Processes are started anew and not forked: nobody's open connections are in them."""
    if ENVIRONMENT_VARIABLE not in os.environ:
        raise NotSupported(
            f"Other processes find the settings by {ENVIRONMENT_VARIABLE}, which is not set: set"
            " it, or use threads."
        )
    path = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "django", "tenants", "migrations", "work", str(run)]
    processes = [subprocess.Popen(command, env=environment) for _ in range(options.jobs)]
    try:
        yield from _follow(run, options, lambda: any(p.poll() is None for p in processes))
        with suppress(subprocess.TimeoutExpired):
            for process in processes:
                process.wait(_LAST_LOOK)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def sender(path: str) -> Callable[[int], Any]:
    """Return the function of that dotted path, which has a run worked on by one more task."""
    try:
        send: Callable[[int], Any] = import_string(path)
    except ImportError as error:
        raise NotSupported(
            f"Runs cannot be handed out to {path!r}: {error}. Name a function that takes the number"
            " of a run, or install what it needs."
        ) from error
    return send


class _HandedOut:
    """Sends off tasks, and again when none has been at work for long."""

    def __init__(self, run: int, options: RunOptions) -> None:
        self.run = run
        self.options = options
        self.send = sender(options.hand_out)
        self.patience = _PATIENCE

    def __call__(self) -> Iterator[HomeEnded]:
        for _ in range(self.options.jobs):
            self.send(self.run)
        until = monotonic() + self.patience
        self.patience = min(2 * self.patience, _MOST_PATIENCE)
        return _follow(self.run, self.options, lambda: monotonic() < until)


def _follow(run: int, options: RunOptions, expected: Expected) -> Iterator[HomeEnded]:
    """Yield what others write into the record, until the run is over or nobody works on it."""
    watch, pause = Watch(run), threading.Event()
    while True:
        live = state_of(run) in LIVE
        yield from watch.news()
        if not live:
            return
        take_up_dead(run, options.retries)
        if not expected() and not living(run, options.jobs):
            return
        pause.wait(_LOOK_EVERY)


class Watch:
    """Tells once of each row of a run that is written from now on."""

    def __init__(self, run: int) -> None:
        self.run = run
        self._told: set[tuple[Any, ...]] = set()
        self._newest: datetime | None = None
        for _ in self.news():
            pass

    def news(self) -> Iterator[HomeEnded]:
        rows = homes_of(self.run).filter(state__in=(HomeState.DONE, HomeState.FAILED))
        if self._newest is not None:
            rows = rows.filter(ended_at__gte=self._newest - _OVERLAP)
        written = rows.order_by("ended_at").values_list(
            "ended_at", "alias", "state", "how", "seconds", "error", "by_time"
        )
        before, self._told = self._told, set()
        for row in written.iterator():
            if row not in before:
                ended_at, alias, state, how, seconds, error, by_time = row
                self._newest = ended_at
                yield HomeEnded(self.run, alias, state, how, (), seconds or 0.0, error, by_time)
            self._told.add(row)
