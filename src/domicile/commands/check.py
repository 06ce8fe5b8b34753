"""`tenants check`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from domicile.commands.migrate import add_selection, chosen
from domicile.console import Output
from domicile.fleet.drift import find_drift
from domicile.placement import TENANT_PREFIX


def add_parsers(actions: Any) -> None:
    check = actions.add_parser("check", help="Find homes that do not look like the others.")
    add_selection(check)
    check.add_argument("--json", action="store_true")


def do_check(output: Output, json: bool, **options: Any) -> None:
    selection = chosen(options)
    selection.check()
    found = 0
    for drift in find_drift(selection):
        found += 1
        if json:
            output.json_line(asdict(drift))
            continue
        slug = drift.alias.removeprefix(TENANT_PREFIX)
        for difference in drift.differs:
            output.line(f"{slug}: {difference}", "red")
    if found:
        raise CommandError(
            f"{found} of the homes do not look as they should. Mend them by hand, and run this"
            " again."
        )
    if not json:
        output.line("All homes look as they should.", "green")
