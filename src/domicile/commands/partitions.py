"""`partitions`: the homes of rows that are by time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from domicile.console import Output
from domicile.periods import retention
from domicile.periods.retention import Done


def add_parsers(actions: Any) -> None:
    ensure = actions.add_parser(
        "ensure", help="Make the homes of this period and of those ahead; migrate all."
    )
    ensure.add_argument("--ahead", type=int, help="So many; otherwise as the rules say.")
    ensure.add_argument("--period", action="append", default=[], help="A further one: 2026-11.")
    listing = actions.add_parser("list", help="Show which homes there are.")
    prune = actions.add_parser("prune", help="Archive, detach or drop what rules keep no more.")
    prune.add_argument("--dry-run", action="store_true", help="Only tell what would be done.")
    attach = actions.add_parser("attach", help="Bring back what was detached or archived.")
    attach.add_argument("period", help="Such as 2026-11.")
    attach.add_argument("--archive", type=Path, help="The file that `prune` wrote.")
    for action in (ensure, listing, prune, attach):
        action.add_argument("--placement", default="", help="Only those of this placement.")
    for action in (ensure, listing, prune):
        action.add_argument("--json", action="store_true")


def do_ensure(
    output: Output,
    ahead: int | None,
    period: list[str],
    placement: str,
    json: bool,
    **options: Any,
) -> None:
    if ahead is not None and ahead < 0:
        raise CommandError("--ahead takes a number that is not negative.")
    _show(output, retention.ensure(ahead, periods=period, placement=placement), json=json)


def do_list(output: Output, placement: str, json: bool, **options: Any) -> None:
    _show(output, retention.listed(placement), json=json)


def do_prune(output: Output, dry_run: bool, placement: str, json: bool, **options: Any) -> None:
    done = list(retention.prune(dry_run=dry_run, placement=placement))
    _show(output, done, json=json)
    if not json and not done:
        output.line("Nothing to prune: no home is older than what its rule keeps.")
    elif not json and dry_run:
        output.line("Nothing was done. Without --dry-run it is.")


def do_attach(
    output: Output, period: str, archive: Path | None, placement: str, **options: Any
) -> None:
    found = retention.chosen(placement)
    if len(found) != 1:
        raise CommandError("Name the placement with --placement.")
    retention.attach(found[0], found[0].calendar.parse(period), archive)
    output.line(f"{period} is back.")


def _show(output: Output, done: Iterable[Done], *, json: bool) -> None:
    """As JSON a line each, when it is done; otherwise a table in the end."""
    rows = []
    for each in done:
        row = [each.placement, str(each.period), each.how, each.home, each.detail]
        if json:
            output.json_line(dict(zip(_COLUMNS, row, strict=True)))
        rows.append(row)
    if rows and not json:
        width = 5 if any(row[-1] for row in rows) else 4
        output.table(_COLUMNS[:width], [row[:width] for row in rows])


_COLUMNS = ("placement", "period", "state", "home", "detail")
