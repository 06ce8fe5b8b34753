"""`databases connections`: which databases answer, and what their servers say of their sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import connections

from domicile.added import added_databases, find_added
from domicile.backends.activity import Activity, Examined, examine
from domicile.console import Output
from domicile.exceptions import first_line

#: Stands for what an engine does not tell.
_UNKNOWN = "-"
_COLUMNS = ("database", "vendor", "alive", "in use", "idle", "waiting", "queries", "age")


def add_parsers(actions: Any) -> None:
    """Add the action."""
    parser = actions.add_parser("connections", help="Show whether databases answer, and their use.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--timeout",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="How long to wait for one to connect (3).",
    )


def do_connections(output: Output, **options: Any) -> None:
    """Print all databases; `CommandError` where one does not answer."""
    databases = all_databases()
    found = examine(databases, options["timeout"])
    if options["json"]:
        output.json([_recorded(database) for database in found])
    else:
        output.table(_COLUMNS, [_row(database) for database in found])
        for server, activity in _servers(found, databases).items():
            admitted = f"{activity.server_sessions} of the {activity.server_limit} sessions"
            output.line(f"{server} has {admitted} that it admits.")
    dead = [database for database in found if not database.alive]
    if dead:
        faults = [f"{database.alias!r}: {first_line(database.error)}" for database in dead]
        raise CommandError("These do not answer.\n" + "\n".join(faults))


def all_databases() -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of the databases of `DATABASES`, then of those added at run time."""
    databases: dict[str, Mapping[str, Any]] = dict(connections.settings)
    for alias in added_databases():
        try:
            databases[alias] = find_added(alias) or {}
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
    return databases


def _servers(
    found: Sequence[Examined], databases: Mapping[str, Mapping[str, Any]]
) -> dict[str, Activity]:
    """Return what one database of each server says of the whole."""
    servers: dict[str, Activity] = {}
    for database in found:
        if database.activity.server_limit is not None:
            settings = databases[database.alias]
            where = settings["HOST"] or "localhost"
            server = f"{where}:{settings['PORT']}" if settings["PORT"] else where
            servers[server] = database.activity
    return servers


def _row(database: Examined) -> list[str]:
    activity = database.activity
    return [
        database.alias,
        database.vendor,
        "no" if database.latency is None else f"{database.latency:.0f} ms",
        *map(_short, (activity.in_use, activity.idle, activity.waiting, activity.queries)),
        _lasting(activity.age),
    ]


def _short(number: int | None) -> str:
    """Return a number in at most five characters: 981, 48 k, 4810 M."""
    if number is None:
        return _UNKNOWN
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= 10 * size:
            return f"{number // size} {unit}"
    return str(number)


def _lasting(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _recorded(database: Examined) -> dict[str, Any]:
    return {
        "alias": database.alias,
        "vendor": database.vendor,
        "alive": database.alive,
        "latency_ms": database.latency,
        **asdict(database.activity),
        "error": database.error,
    }
