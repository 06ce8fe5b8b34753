"""Runs of migrations over the fleet: start, go on with, try again, look at.

A run is a record in the shared home (`domicile.records`), which says what was asked and how far
each home is; any process can go on with it. A home that has nothing pending has no row there.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import chain, islice
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from domicile.context import no_tenant
from domicile.exceptions import UnknownRun
from domicile.fleet.replay.plan import Plan, Target
from domicile.fleet.runs.crews import hands_for, labour, sender
from domicile.fleet.runs.events import RunEnded, RunEvent, RunStarted
from domicile.fleet.runs.forecast import Forecast, Part, read_in_parts
from domicile.fleet.runs.hands import hired
from domicile.fleet.runs.ledger import LIVE, HomeState, RunState, counts_of, homes_of, living
from domicile.fleet.runs.options import RunOptions
from domicile.fleet.runs.selection import Selection
from domicile.fleet.tables import own_tables
from domicile.records import MigrationRun, MigrationRunHome

#: To the newest migrations of all apps.
EVERYTHING = Target()
#: Runs that can be gone on with.
_UNFINISHED = (RunState.PLANNING, *LIVE, RunState.STOPPED)
_ERRORS_SHOWN = 20


@dataclass(frozen=True)
class RunStatus:
    """A run as its record tells of it now."""

    run: int
    state: str
    started_by: str
    started_at: datetime
    ended_at: datetime | None
    target: str
    plan: list[dict[str, Any]]
    unchanged: int
    waiting: int
    running: int
    done: int
    failed: int
    #: Homes by time that were migrated with those of their tenants.
    by_time: int
    #: Workers alive now.
    workers: int
    #: By alias, of some that failed, or wait because they were busy.
    errors: dict[str, str]

    @property
    def seconds(self) -> float:
        return ((self.ended_at or timezone.now()) - self.started_at).total_seconds()


def migrate_fleet(
    target: Target = EVERYTHING,
    *,
    only: Iterable[str] = (),
    exclude: Iterable[str] = (),
    where: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[RunEvent]:
    """Migrate the homes of visible tenants; yield what happens. Nothing happens until it is read.

    :param target: where to; the newest migrations of all apps unless it says otherwise.
    :param only: slugs and patterns (`uni-*`); all if empty. `exclude` likewise, to be left out.
    :param where: look-ups of the tenant model, in values that JSON has: `{"status": "active"}`.
    :param options: fields of `RunOptions`: jobs, processes, hand_out, canary, batch, fake,
        keep_going, lock_timeout, retries.
    :return: `RunStarted`, a `HomeEnded` for each home, `RunEnded`.
    :raises UnknownTenant: `only` names a tenant that there is not. `ValueError`: an option cannot
        be. `CommandError`: as Django's `migrate` says, of an app or migration that there is not.

    A home that fails is told of, and raises nothing here.
    """
    selection = Selection(tuple(only), tuple(exclude), where or {})
    asked = RunOptions(selection=selection, **options)
    return _run(lambda: _started(target, asked), asked)


@no_tenant()
def plan_fleet(
    target: Target = EVERYTHING,
    *,
    only: Iterable[str] = (),
    exclude: Iterable[str] = (),
    where: Mapping[str, Any] | None = None,
) -> Forecast:
    """Return what `migrate_fleet()` would do. Changes and records nothing."""
    selection = Selection(tuple(only), tuple(exclude), where or {})
    selection.check()
    forecast = Forecast(Plan.to(target))
    for _ in forecast.look(read_in_parts(selection.homes())):
        pass
    return forecast


def resume_run(run: int | None = None, *, hand_out: str | None = None) -> Iterator[RunEvent]:
    """Go on with a run that was cut off or stopped, the last one unless its number is given.

    Homes that failed are left as they are. Raises `UnknownRun` where there is none to go on with.
    """
    return _run(lambda: _resumed(_find(run, state__in=_UNFINISHED), hand_out))


def retry_run(run: int | None = None, *, hand_out: str | None = None) -> Iterator[RunEvent]:
    """Try the failed homes of a run again, the last with any unless its number is given, and go on
    with the others where it was stopped. Raises `UnknownRun` where there is none.
    """
    return _run(lambda: _retried(_find(run, homes__state=HomeState.FAILED), hand_out))


@no_tenant()
def run_status(run: int | None = None) -> RunStatus:
    """Return how a run stands, the last one unless its number is given."""
    return _status(_find(run))


@no_tenant()
def run_history(limit: int = 20) -> list[RunStatus]:
    """Return the last runs, the newest first."""
    with own_tables():
        return [_status(run) for run in MigrationRun.objects.order_by("-pk")[:limit]]


# Starting and going on -----------------------------------------------------------------------


@no_tenant()
def _run(begin: Callable[[], MigrationRun], asked: RunOptions | None = None) -> Iterator[RunEvent]:
    with hired(hands_for(asked) if asked else 0) as hands:
        with own_tables():
            run = begin()
        options = RunOptions.from_record(run.options)
        hands.keep(options.jobs if options.jobs > 1 else 0)
        waiting = homes_of(run.pk).filter(state__in=(HomeState.WAITING, HomeState.RUNNING)).count()
        by_time = sum(group["homes"] for group in run.plan if group.get("place"))
        yield RunStarted(run.pk, waiting, run.unchanged, by_time)
        if run.state in LIVE:  # Also where every home is done and nobody lived to say so.
            yield from labour(run.pk, Target(**run.target), options, hands)
    yield _ended(run.pk)


def _started(target: Target, options: RunOptions) -> MigrationRun:
    options.selection.check()
    if options.hand_out:
        sender(options.hand_out)
    parts = read_in_parts(options.selection.homes())
    with ThreadPoolExecutor(max_workers=1) as aside:
        # The migrations are imported while the first homes are asked what they have applied.
        planning = aside.submit(Plan.to, target)
        first = list(islice(parts, 1))
        plan = planning.result()
    run = MigrationRun(started_by=_who(), target=asdict(target), options=options.as_record())
    run.save(force_insert=True)
    return _listed(run, plan, options, chain(first, parts))


def _listed(
    run: MigrationRun, plan: Plan, options: RunOptions, parts: Iterable[Part]
) -> MigrationRun:
    """Write a row for each home that has something pending; then the run can be worked on."""
    forecast, canaries = Forecast(plan), options.canary
    for homes in forecast.look(parts):
        rows = [
            MigrationRunHome(run=run, alias=home.alias, is_canary=number < canaries)
            for number, home in enumerate(homes)
        ]
        canaries = max(0, canaries - len(homes))
        MigrationRunHome.objects.bulk_create(rows, ignore_conflicts=True)
    pending = forecast.pending
    settled = replace(
        options, jobs=options.workers(pending), batch=options.homes_at_a_time(pending)
    )
    run.options, run.plan, run.unchanged = (
        settled.as_record(),
        forecast.as_record(),
        forecast.unchanged,
    )
    if not pending:
        run.state, run.ended_at = RunState.DONE, timezone.now()
    else:
        run.state = RunState.CANARY if options.canary else RunState.RUNNING
    run.save(force_update=True)
    return run


def _resumed(run: MigrationRun, hand_out: str | None) -> MigrationRun:
    options = RunOptions.from_record(run.options)
    if hand_out is not None:
        options = replace(options, hand_out=hand_out, processes=False)
        run.options = options.as_record()
    if run.state == RunState.PLANNING:
        parts = read_in_parts(options.selection.homes())
        return _listed(run, Plan.to(Target(**run.target)), options, parts)
    if run.state not in LIVE:
        canaries = homes_of(run.pk).filter(is_canary=True).exclude(state=HomeState.DONE)
        run.state = RunState.CANARY if canaries.exists() else RunState.RUNNING
        run.ended_at = None
    run.save(update_fields=["state", "ended_at", "options"])
    return run


def _retried(run: MigrationRun, hand_out: str | None) -> MigrationRun:
    homes_of(run.pk).filter(state=HomeState.FAILED).update(
        state=HomeState.WAITING, error="", attempts=0, worker="", not_before=None, ended_at=None
    )
    return _resumed(run, hand_out)


def _find(run: int | None, **wanted: Any) -> MigrationRun:
    """Return the run of that number, or the last one that is as `wanted`."""
    with own_tables():
        runs = MigrationRun.objects.filter(**wanted if run is None else {"pk": run})
        found = runs.order_by("-pk").first()
    if found is None:
        which = "such run of migrations" if run is None else f"run {run}"
        raise UnknownRun(
            f"There is no {which}. `tenants migrations history` shows which there are."
        )
    return found


# Telling -----------------------------------------------------------------------------------------


def _ended(run: int) -> RunEnded:
    status = run_status(run)
    return RunEnded(
        run=run,
        state=status.state,
        done=status.done,
        failed=status.failed,
        waiting=status.waiting + status.running,
        unchanged=status.unchanged,
        seconds=status.seconds,
        by_time=status.by_time,
    )


def _status(run: MigrationRun) -> RunStatus:
    homes = homes_of(run.pk)
    counts = counts_of(homes)
    errors = homes.exclude(error="").order_by("-state", "pk").values_list("alias", "error")
    return RunStatus(
        run=run.pk,
        state=run.state,
        started_by=run.started_by,
        started_at=run.started_at,
        ended_at=run.ended_at,
        target=" ".join(filter(None, run.target.values())),
        plan=run.plan,
        unchanged=run.unchanged,
        waiting=counts.get(HomeState.WAITING, 0),
        running=counts.get(HomeState.RUNNING, 0),
        done=counts.get(HomeState.DONE, 0),
        failed=counts.get(HomeState.FAILED, 0),
        by_time=homes.aggregate(total=Sum("by_time", default=0))["total"],
        workers=living(run.pk, run.options.get("jobs", 0)) if run.state in LIVE else 0,
        errors=dict(errors[:_ERRORS_SHOWN]),
    )


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A container whose user has no name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:200]
