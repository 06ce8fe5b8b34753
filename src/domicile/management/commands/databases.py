"""`databases ACTION …`: every database of the project, those of the settings first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from domicile.commands import add_verbosity, errors_told
from domicile.commands import added as added_command
from domicile.commands import connections as connections_command
from domicile.commands import map as map_command
from domicile.commands import route as route_command
from domicile.commands.migrate import add_run_options, add_selection, chosen, fleet_events
from domicile.commands.run_display import refuse_unfinished, show_run
from domicile.console import Output
from domicile.exceptions import TablesMissing
from domicile.fleet.runs.control import EVERYTHING, plan_fleet, run_status
from domicile.fleet.runs.databases import Migrated, migrate_databases, pending_in, static_aliases
from domicile.fleet.runs.events import RunEnded
from domicile.fleet.runs.forecast import Forecast
from domicile.fleet.runs.selection import Selection
from domicile.fleet.tables import own_tables
from domicile.periods.migrations import migrate_periods, pending_periods

#: Actions that have a module of their own.
_MODULES = {
    "route": route_command,
    "map": map_command,
    "connections": connections_command,
    "add": added_command,
    "remove": added_command,
}
#: What the table calls all tenants together.
_FLEET = "tenants"
_PERIODS = ("placement", "homes", "pending")


class Command(BaseCommand):
    help = "Migrates all databases, and tells where the rows of each model are."
    requires_system_checks = ["domicile"]

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        migrate = actions.add_parser("migrate", help="Migrate all to the newest migrations.")
        add_run_options(migrate)
        add_verbosity(migrate)
        plan = actions.add_parser("plan", help="Show what is pending where; do nothing.")
        plan.add_argument("--json", action="store_true")
        for action in (migrate, plan):
            add_selection(action)
        for module in dict.fromkeys(_MODULES.values()):
            module.add_parsers(actions)

    def handle(self, *, action: str, **options: Any) -> None:
        output = Output.to(self.stdout, no_color=options["no_color"])
        with errors_told():
            if action in _MODULES:
                getattr(_MODULES[action], f"do_{action}")(output, **options)
            else:
                getattr(self, f"_{action}")(output, options)

    def _migrate(self, output: Output, options: dict[str, Any]) -> None:
        selection, json = chosen(options), options["json"]
        databases = []
        for database in _migrated(fake=options["fake"]):
            databases.append(database)
            if json:
                output.json_line({"event": "database", **_recorded(database)})
        rows = [_row(database) for database in databases]
        if databases and databases[-1].error is not None:
            self._show(output, [*rows, [_FLEET, "", "", "left alone"]], json=json)
            raise CommandError(f"{databases[-1].alias!r} failed; what comes after was left alone.")
        events = fleet_events(EVERYTHING, selection, options)
        ended = show_run(output, events, json=json, verbosity=options["verbosity"])
        rows += [_row_of_fleet(ended), *_rows_by_time(ended)]
        self._show(output, rows, json=json)
        refuse_unfinished(ended)

    def _show(self, output: Output, rows: Sequence[Sequence[str]], *, json: bool) -> None:
        if not json:
            output.table(["database", "homes", "migrations", "result"], rows)

    def _plan(self, output: Output, options: dict[str, Any]) -> None:
        selection = chosen(options)
        pending = [(alias, pending_in(alias)) for alias in static_aliases()]
        forecast = _forecast(selection)
        periods = [*pending_periods(), *(_pending_by_time(forecast) if forecast else ())]
        if options["json"]:
            fleet = forecast and {"unchanged": forecast.unchanged, "pending": forecast.as_record()}
            by_time = [dict(zip(_PERIODS, each, strict=True)) for each in periods]
            output.json({"databases": dict(pending), "periods": by_time, _FLEET: fleet})
            return
        rows = [[alias, "1", _listed(names)] for alias, names in pending]
        rows += [[alias, str(homes), _listed(names)] for alias, homes, names in periods]
        output.table(["database", "homes", "pending"], [*rows, *_rows_of_forecast(forecast)])


def _migrated(*, fake: bool) -> Iterator[Migrated]:
    """Those of the settings, then rows by time; ends after the first that fails."""
    for work in (migrate_databases, migrate_periods):
        for database in work(fake=fake):
            yield database
            if database.error is not None:
                return


def _listed(names: Sequence[str]) -> str:
    if len(names) < 3:
        return ", ".join(names) or "nothing"
    return f"{names[0]} … {names[-1]} ({len(names)})"


def _row(database: Migrated) -> list[str]:
    result = f"done in {database.seconds:.1f} s"
    if database.error is not None:
        result = f"{type(database.error).__name__}: {database.error}"
    return [database.alias, str(database.homes), _listed(database.migrations), result]


def _row_of_fleet(ended: RunEnded) -> list[str]:
    counts = {"done": ended.done, "failed": ended.failed, "not tried": ended.waiting}
    told = [f"{count} {name}" for name, count in counts.items() if count]
    told += [f"{ended.by_time} by time"] if ended.by_time else []
    homes = ended.done + ended.failed + ended.waiting + ended.unchanged
    result = f"{', '.join(told) or 'nothing to do'} in {ended.seconds:.1f} s"
    return [_FLEET, str(homes), f"see run {ended.run}", result]


def _forecast(selection: Selection) -> Forecast | None:
    """Return what is pending in tenants; None where the tables that tell of these are not there."""
    try:
        with own_tables():
            return plan_fleet(**vars(selection))
    except TablesMissing:
        return None


def _rows_of_forecast(forecast: Forecast | None) -> Iterator[list[str]]:
    if forecast is None:
        yield [_FLEET, "", f"known when {DEFAULT_DB_ALIAS!r} is migrated"]
        return
    for group in forecast.groups:
        if not group.place:
            yield [_FLEET, str(group.homes), _listed(group.migrations)]
    if forecast.unknown:
        yield [_FLEET, str(forecast.unknown), "cannot be read"]
    if forecast.unchanged:
        yield [_FLEET, str(forecast.unchanged), _listed(())]


def _rows_by_time(ended: RunEnded) -> list[list[str]]:
    """Tenants' homes by time, which are done with their own."""
    pending = [group for group in run_status(ended.run).plan if group.get("place")]
    return [
        [str(group["place"]), str(group["homes"]), _listed(group["migrations"]), f"with {_FLEET}"]
        for group in pending
    ]


def _pending_by_time(forecast: Forecast) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield of tenants' homes by time what `pending_periods()` does of others."""
    for group in forecast.by_time:
        yield group.place, group.homes, group.migrations
    for place, count in forecast.unchanged_by_time.items():
        yield place, count, ()


def _recorded(database: Migrated) -> dict[str, Any]:
    return {
        "alias": database.alias,
        "homes": database.homes,
        "migrations": database.migrations,
        "seconds": database.seconds,
        "error": None if database.error is None else str(database.error),
    }
