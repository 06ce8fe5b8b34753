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
        action.add_argument("--tenant", metavar="SLUG", default="", help="Only that tenant's.")
    for action in (ensure, listing, prune):
        action.add_argument("--json", action="store_true")


def do_ensure(
    output: Output,
    ahead: int | None,
    period: list[str],
    placement: str,
    tenant: str,
    json: bool,
    **options: Any,
) -> None:
    if ahead is not None and ahead < 0:
        raise CommandError("--ahead takes a number that is not negative.")
    done = retention.ensure(ahead, periods=period, placement=placement, tenant=tenant)
    failed = _show(output, done, json=json)
    if failed:
        raise CommandError(f"Homes of {', '.join(failed)} could not be made, or migrated.")


def do_list(output: Output, placement: str, tenant: str, json: bool, **options: Any) -> None:
    _show(output, retention.listed(placement, tenant), json=json)


def do_prune(
    output: Output, dry_run: bool, placement: str, tenant: str, json: bool, **options: Any
) -> None:
    done = list(retention.prune(dry_run=dry_run, placement=placement, tenant=tenant))
    _show(output, done, json=json)
    if not json and not done:
        output.line("Nothing to prune: no home is older than what its rule keeps.")
    elif not json and dry_run:
        output.line("Nothing was done. Without --dry-run it is.")


def do_attach(
    output: Output, period: str, archive: Path | None, placement: str, tenant: str, **options: Any
) -> None:
    homes = retention.only_homes(placement, tenant)
    retention.attach(homes, homes.calendar.parse(period), archive)
    output.line(f"{period} is back.")


def _show(output: Output, done: Iterable[Done], *, json: bool) -> list[str]:
    """As JSON a line each, when it is done; otherwise a table in the end, of the columns that have
    anything. Return the tenants with whose homes something went wrong.
    """
    rows, failed = [], dict[str, None]()
    for each in done:
        row = [each.tenant, each.placement, str(each.period), each.how, each.home, each.detail]
        if json:
            output.json_line(dict(zip(_COLUMNS, row, strict=True)))
        if each.how == "failed":
            failed[each.tenant] = None
        rows.append(row)
    if rows and not json:
        used = [n for n, column in enumerate(zip(*rows, strict=True)) if any(column)]
        output.table([_COLUMNS[n] for n in used], [[row[n] for n in used] for row in rows])
    return list(failed)


_COLUMNS = ("tenant", "placement", "period", "state", "home", "detail")
