"""`tenants ready` and `tenants tidy`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from domicile.commands import add_verbosity, telling
from domicile.console import Output
from domicile.fleet.migrations import silent
from domicile.fleet.orphans import drop_orphan, find_orphans
from domicile.fleet.stock.ready import fill_ready, ready_stock


def add_parsers(actions: Any) -> None:
    ready = actions.add_parser("ready", help="Show how many homes are ready for new tenants.")
    ready.add_argument("--fill", action="store_true", help="Make those that are missing.")
    ready.add_argument("--json", action="store_true")
    add_verbosity(ready)

    tidy = actions.add_parser("tidy", help="Show homes that belong to no tenant.")
    tidy.add_argument(
        "--drop", action="append", default=[], metavar="NAME", help="Drop it with all its data."
    )
    tidy.add_argument("--json", action="store_true")


def do_ready(output: Output, fill: bool, json: bool, **options: Any) -> None:
    progress = telling(output) if options["verbosity"] > 1 and not json else silent
    stock = fill_ready(progress) if fill else ready_stock()
    if json:
        output.json([line._asdict() for line in stock])
    elif stock:
        rows = [[line.placement, str(line.ready), str(line.wanted)] for line in stock]
        output.table(["placement", "ready", "wanted"], rows)
    else:
        output.line("No homes are kept ready. DOMICILE['READY'] says how many.")


def do_tidy(output: Output, drop: list[str], json: bool, **options: Any) -> None:
    orphans = {site.name: site for site in find_orphans()}
    unknown = [name for name in drop if name not in orphans]
    if unknown:
        raise CommandError(f"{', '.join(unknown)}: no such home, or not one without a tenant.")
    for name in drop:
        drop_orphan(orphans[name])
        output.line(f"Dropped {orphans.pop(name).store.noun} {name}.")
    listed = [
        {"home": site.name, "kind": site.store.noun, "placement": site.placement.template}
        for site in orphans.values()
    ]
    if json:
        output.json(listed)
    elif listed:
        output.table(["home", "kind", "placement"], [list(row.values()) for row in listed])
        output.line("These belong to no tenant. `tenants tidy --drop NAME` drops one.")
    elif not drop:
        output.line("Every home belongs to a tenant.")
