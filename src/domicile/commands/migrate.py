"""`tenants migrate` and `tenants migrations status|history|resume|retry|work`."""

from __future__ import annotations

from argparse import ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils.timezone import localtime

from domicile.commands import add_verbosity
from domicile.commands.run_display import refuse_unfinished, show_run
from domicile.console import Output
from domicile.fleet.replay.plan import Target
from domicile.fleet.runs import control as runs
from domicile.fleet.runs import crews
from domicile.fleet.runs.control import RunStatus
from domicile.fleet.runs.events import RunEvent
from domicile.fleet.runs.forecast import Forecast
from domicile.fleet.runs.options import RunOptions
from domicile.fleet.runs.selection import Selection, conditions

#: Names that stand for the functions of Domicile's own integrations.
_HAND_OUT = {
    "celery": "domicile.integrations.celery.hand_out",
    "tasks": "domicile.integrations.tasks.hand_out",
}
_DEFAULTS = RunOptions()


def add_parsers(actions: Any) -> None:
    migrate = actions.add_parser("migrate", help="Migrate the homes of tenants.")
    migrate.add_argument("app_label", nargs="?", default="")
    migrate.add_argument("migration", nargs="?", default="", help='Its name, or "zero".')
    add_selection(migrate)
    add_run_options(migrate)
    migrate.add_argument("--plan", action="store_true", help="Show what is pending; do nothing.")

    migrations = actions.add_parser("migrations", help="Look at runs, and go on with them.")
    kinds = migrations.add_subparsers(dest="kind", required=True, metavar="WHAT")
    status = kinds.add_parser("status", help="How a run stands: the last, or that number.")
    history = kinds.add_parser("history", help="The last runs.")
    history.add_argument("--limit", type=_number, default=20)
    resume = kinds.add_parser("resume", help="Go on with a run that was cut off or stopped.")
    retry = kinds.add_parser("retry", help="Try the homes that failed again.")
    work = kinds.add_parser("work", help="Be one more worker of a run; ends with it.")
    work.add_argument("run", type=int)
    for parser in (status, resume, retry):
        parser.add_argument("run", type=int, nargs="?")
    for parser in (resume, retry):
        _add_hand_out(parser, None)
    for parser in (status, history, resume, retry):
        parser.add_argument("--json", action="store_true")
    add_verbosity(migrate, resume, retry)


def add_selection(parser: Any) -> None:
    parser.add_argument(
        "--only", action="append", default=[], metavar="SLUG", help="These; patterns as uni-*."
    )
    parser.add_argument(
        "--except", action="append", default=[], metavar="SLUG", dest="exclude", help="Not these."
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="Tenants that are so: status=active, created_at__gte=2026-01-01.",
    )


def add_run_options(parser: Any) -> None:
    parser.add_argument("--jobs", type=_number, default=0, help="Workers at a time.")
    parser.add_argument("--processes", action="store_true", help="Workers are processes.")
    _add_hand_out(parser, "")
    parser.add_argument(
        "--canary", type=_number, default=0, metavar="N", help="First so many; a failure stops."
    )
    parser.add_argument("--batch", type=_number, default=0, help="Homes a worker takes at once.")
    parser.add_argument("--fake", action="store_true", help="Record them, run nothing.")
    parser.add_argument(
        "--keep-going",
        action=BooleanOptionalAction,
        default=True,
        help="Go on with the other homes when one fails (as it does unless told not to).",
    )
    parser.add_argument(
        "--lock-timeout",
        type=_seconds,
        default=_DEFAULTS.lock_timeout,
        metavar="SECONDS",
        help="Leave a home for later whose tables are in use for so long; 0: wait.",
    )
    parser.add_argument(
        "--retries", type=_number, default=_DEFAULTS.retries, help="Of a home that is busy."
    )
    parser.add_argument("--json", action="store_true", help="Each event as a line of JSON.")


def _add_hand_out(parser: Any, default: str | None) -> None:
    parser.add_argument(
        "--hand-out",
        default=default,
        metavar="TO",
        help="Have workers run as tasks: celery, tasks (Django's), or a function's dotted path.",
    )


def run_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return those options of a command line that are `RunOptions`'."""
    names = ("jobs", "processes", "canary", "batch", "fake", "keep_going", "retries")
    return {
        **{name: options[name] for name in names},
        "lock_timeout": options["lock_timeout"] or None,
        "hand_out": _hand_out(options["hand_out"]),
    }


def chosen(options: dict[str, Any]) -> Selection:
    """Return the tenants that a command line chooses."""
    try:
        where = conditions(options["where"])
    except ValueError as error:
        raise CommandError(str(error)) from error
    return Selection(tuple(options["only"]), tuple(options["exclude"]), where)


def do_migrate(output: Output, app_label: str, migration: str, **options: Any) -> None:
    target, selection = Target(app_label, migration), chosen(options)
    if options["plan"]:
        show_plan(output, runs.plan_fleet(target, **vars(selection)), json=options["json"])
        return
    _show(output, fleet_events(target, selection, options), options)


def fleet_events(
    target: Target, selection: Selection, options: dict[str, Any]
) -> Iterator[RunEvent]:
    """Return what happens in a run as a command line asks for it."""
    try:
        return runs.migrate_fleet(target, **vars(selection), **run_options(options))
    except ValueError as error:
        raise CommandError(str(error)) from error


def _show(output: Output, events: Iterator[RunEvent], options: dict[str, Any]) -> None:
    ended = show_run(output, events, json=options["json"], verbosity=options["verbosity"])
    refuse_unfinished(ended)


def show_plan(output: Output, forecast: Forecast, *, json: bool) -> None:
    """Print what is pending in which homes."""
    if json:
        output.json({"unchanged": forecast.unchanged, "pending": forecast.as_record()})
        return
    for group in forecast.groups:
        which = f"homes at {group.place}" if group.place else "homes"
        output.line(f"{group.homes} of the {which}, such as {group.example}:", "bold")
        for name in group.migrations:
            output.line(f"  {name}")
    if forecast.unknown:
        output.line(f"{forecast.unknown} homes could not be read; migrating them tells why.", "red")
    output.line(f"{forecast.unchanged} with nothing to do.")


def do_migrations(output: Output, kind: str, **options: Any) -> None:
    _KINDS[kind](output, **options)


def _status(output: Output, run: int | None, json: bool, **options: Any) -> None:
    status = runs.run_status(run)
    if json:
        output.json(_recorded(status))
        return
    output.pairs(
        [
            ("run", f"{status.run}: {_state(status)}"),
            ("target", status.target or "the newest migrations"),
            ("started", f"{_time(status.started_at)} by {status.started_by}"),
            ("took", f"{status.seconds:.1f} s"),
            ("homes", _counts(status)),
        ]
    )
    for group in status.plan:
        where = f" at {group['place']}" if group.get("place") else ""
        output.line(f"  {group['homes']}{where}: {', '.join(group['migrations'])}")
    for alias, error in status.errors.items():
        output.line(f"{alias}: {error}", "red")
    if not status.workers and status.state in ("planning", "canary", "running"):
        output.line(f"Nobody works on it. `tenants migrations resume {status.run}` goes on.")


def _history(output: Output, limit: int, json: bool, **options: Any) -> None:
    history = runs.run_history(limit)
    if json:
        output.json([_recorded(status) for status in history])
        return
    output.table(
        ["run", "started", "target", "state", "done", "failed", "waiting", "took"],
        [
            [
                str(status.run),
                _time(status.started_at),
                status.target or "newest",
                _state(status),
                str(status.done),
                str(status.failed),
                str(status.waiting + status.running),
                f"{status.seconds:.1f} s",
            ]
            for status in history
        ],
    )


def _resume(output: Output, run: int | None, hand_out: str | None, **options: Any) -> None:
    _show(output, runs.resume_run(run, hand_out=hand_out and _hand_out(hand_out)), options)


def _retry(output: Output, run: int | None, hand_out: str | None, **options: Any) -> None:
    _show(output, runs.retry_run(run, hand_out=hand_out and _hand_out(hand_out)), options)


def _work(output: Output, run: int, **options: Any) -> None:
    crews.work(run)


_KINDS: dict[str, Callable[..., None]] = {
    "status": _status,
    "history": _history,
    "resume": _resume,
    "retry": _retry,
    "work": _work,
}


def _state(status: RunStatus) -> str:
    dead = status.state in ("planning", "canary", "running") and not status.workers
    return "cut off" if dead else status.state


def _counts(status: RunStatus) -> str:
    counts = ("done", "failed", "running", "waiting", "unchanged")
    told = [f"{getattr(status, name)} {name}" for name in counts]
    return ", ".join([*told, *([f"{status.by_time} by time"] if status.by_time else [])])


def _recorded(status: RunStatus) -> dict[str, Any]:
    times = {name: getattr(status, name) for name in ("started_at", "ended_at")}
    return {
        **asdict(status),
        **{name: time and time.isoformat(timespec="seconds") for name, time in times.items()},
        "seconds": round(status.seconds, 3),
    }


def _time(time: datetime) -> str:
    return localtime(time).strftime("%Y-%m-%d %H:%M")


def _hand_out(given: str) -> str:
    return _HAND_OUT.get(given, given)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is no number from 0 on.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 on.")
    return seconds
