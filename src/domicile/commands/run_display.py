"""How a run over the fleet looks: a bar in a terminal, lines in a log, JSON for programs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from time import monotonic

from django.core.management.base import CommandError

from domicile.console import Output
from domicile.exceptions import first_line
from domicile.fleet.runs.events import HomeEnded, RunEnded, RunEvent, RunStarted
from domicile.placement import TENANT_PREFIX
from domicile.records import MigrationRunHome

State = MigrationRunHome.State

#: Seconds between lines that tell how far it is, where there is no terminal.
_TELL_EVERY = 10.0


def show_run(
    output: Output, events: Iterator[RunEvent], *, json: bool = False, verbosity: int = 1
) -> RunEnded:
    """Print what happens in a run, and return how it ended. Closing `events` stops the run."""
    display = _Json(output) if json else _Lines(output, verbosity)
    with closing(events), closing(display), _old_left_alone():  # type: ignore[type-var]
        for event in events:
            display.show(event)
    assert isinstance(event, RunEnded)
    return event


@contextmanager
def _old_left_alone() -> Iterator[None]:
    """Keep the garbage collector from what is there before: all of the project, which it would look
    through again and again while the first home's models are rendered.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def refuse_unfinished(run: RunEnded) -> None:
    """Raise `CommandError`, for the exit status, where not all homes are done."""
    if run.waiting:
        cure = f"`tenants migrations {'retry' if run.failed else 'resume'} {run.run}` goes on"
        raise CommandError(f"Run {run.run} was stopped before {_homes(run.waiting)}. {cure}.")
    if run.failed:
        raise CommandError(
            f"{run.failed} failed. Mend the cause; `tenants migrations retry {run.run}` then"
            " tries them again."
        )


class _Json:
    def __init__(self, output: Output) -> None:
        self.output = output

    def show(self, event: RunEvent) -> None:
        names = {RunStarted: "started", HomeEnded: "home", RunEnded: "ended"}
        self.output.json_line({"event": names[type(event)], **asdict(event)})

    def close(self) -> None:
        """Each line is out already."""


class _Lines:
    def __init__(self, output: Output, verbosity: int) -> None:
        self.output = output
        self.verbosity = verbosity
        self.ended = 0
        self.failed = 0
        self.total = 0
        self.progress = output.progress("Migrating")

    def close(self) -> None:
        self.progress.stop()

    def show(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._started(event)
            case HomeEnded():
                self._home(event)
            case RunEnded():
                self._ended(event)

    def _started(self, event: RunStarted) -> None:
        self.total = event.homes
        self.began = self.told = monotonic()
        if event.homes:
            more = f" with {event.by_time} by time" if event.by_time else ""
            self.output.line(
                f"Run {event.run}: {_homes(event.homes)} to migrate{more}, {event.unchanged} with"
                " nothing to do."
            )
            self.progress.start(event.homes)

    def _home(self, event: HomeEnded) -> None:
        slug = event.alias.removeprefix(TENANT_PREFIX)
        reason = first_line(event.error)
        if event.state == State.FAILED:
            self.failed += 1
            self.output.line(f"{slug}: {reason}", "red")
        elif event.state == State.WAITING:
            self.output.line(f"{slug} is busy and waits: {reason}", "yellow")
        elif self.verbosity > 1:
            self.output.line(f"{slug}: {_work(event)} in {event.seconds:.3f} s")
        if event.state != State.WAITING:
            self.ended += 1
        self.progress.update(completed=self.ended, failed=self.failed)
        self._tell()

    def _tell(self) -> None:
        now = monotonic()
        if self.output.is_terminal or now - self.told < _TELL_EVERY:
            return
        self.told = now
        each = (now - self.began) / max(1, self.ended)
        self.output.line(
            f"{self.ended} of {self.total}, {1 / each:.3g}/s,"
            f" {(self.total - self.ended) * each:.0f} s left, {self.failed} failed"
        )

    def _ended(self, event: RunEnded) -> None:
        self.progress.stop()
        total = event.done + event.failed + event.waiting
        if not total:
            self.output.line(f"Nothing to do in {_homes(event.unchanged)}.")
            return
        self.output.line(
            f"Migrated {event.done} of {total} homes"
            + (f" and {event.by_time} by time" if event.by_time else "")
            + f" in {event.seconds:.1f} s"
            + (f"; {event.failed} failed" if event.failed else "")
            + (f"; {event.waiting} were not tried" if event.waiting else "")
            + "."
        )


def _homes(count: int) -> str:
    return "1 home" if count == 1 else f"{count} homes"


def _work(event: HomeEnded) -> str:
    how = f"{event.how} with {event.by_time} by time" if event.by_time else event.how
    return f"{how}: {', '.join(event.migrations)}" if event.migrations else how
