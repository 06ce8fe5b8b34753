"""`tenants move`, `copy`, `export`, `import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from domicile.commands import add_verbosity, telling
from domicile.commands.life import duration
from domicile.console import Output
from domicile.fleet.migrations import Progress, silent
from domicile.fleet.moves.archive import export_tenant, import_tenant
from domicile.fleet.moves.copying import copy_tenant
from domicile.fleet.moves.move import GRACE, PATIENCE, move_tenant


def add_parsers(actions: Any) -> None:
    move = actions.add_parser("move", help="Move a tenant to another database, server or engine.")
    move.add_argument("slug")
    move.add_argument(
        "--to",
        required=True,
        metavar="PLACEMENT",
        help="A key of PLACEMENTS, or of DATABASES where one placement only uses it.",
    )
    move.add_argument("--grace", help="Keep the old home for so long: 0s, 12h, 7d (default), 2w.")
    move.add_argument(
        "--lock-timeout",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="How long to wait for transactions that write (default: %(default)g).",
    )

    copy = actions.add_parser("copy", help="Copy a tenant to a new one.")
    copy.add_argument("slug")
    copy.add_argument("copy", metavar="NEW_SLUG")
    _add_newcomer(copy)

    export = actions.add_parser("export", help="Write a tenant to a file.")
    export.add_argument("slug")
    export.add_argument("file", nargs="?", type=Path, help="Default: SLUG.domicile here.")

    restore = actions.add_parser("import", help="Make a tenant of such a file.")
    restore.add_argument("file", type=Path)
    restore.add_argument("--slug", default="", help="Default: that of the exported tenant.")
    _add_newcomer(restore)

    add_verbosity(move, copy, export, restore)


def _add_newcomer(parser: Any) -> None:
    parser.add_argument("--name", default="")
    parser.add_argument("--placement", default="", help="A key of PLACEMENTS.")
    parser.add_argument("--domain", action="append", dest="domains", default=[])


def do_move(
    output: Output, slug: str, to: str, grace: str | None, lock_timeout: float, **options: Any
) -> None:
    with output.status(f"Moving {slug} …"):
        moved = move_tenant(
            slug,
            to,
            grace=GRACE if grace is None else duration(grace),
            lock_timeout=lock_timeout,
            progress=_progress(output, options),
        )
    seconds = moved.read_only_seconds
    output.line(
        f"Moved {slug} from {moved.source} to {moved.tenant.placement};"
        + (f" it was read-only for {seconds:.3f} s." if seconds is not None else ""),
        "green",
    )
    if moved.left_behind:
        output.line(
            f"Left behind, for no model has them: {', '.join(moved.left_behind)}.", "yellow"
        )


def do_copy(
    output: Output,
    slug: str,
    copy: str,
    name: str,
    placement: str,
    domains: list[str],
    **options: Any,
) -> None:
    with output.status(f"Copying {slug} …"):
        tenant = copy_tenant(
            slug,
            copy,
            name=name,
            placement=placement,
            domains=domains,
            progress=_progress(output, options),
        )
    output.line(f"Copied {slug} to {tenant.slug} at {tenant.placement}.", "green")


def do_export(output: Output, slug: str, file: Path | None, **options: Any) -> None:
    with output.status(f"Exporting {slug} …"):
        path = export_tenant(
            slug, file or Path(f"{slug}.domicile"), progress=_progress(output, options)
        )
    output.line(f"Exported {slug} to {path} ({path.stat().st_size:,} bytes).", "green")


def do_import(
    output: Output,
    file: Path,
    slug: str,
    name: str,
    placement: str,
    domains: list[str],
    **options: Any,
) -> None:
    with output.status(f"Importing {file} …"):
        tenant = import_tenant(
            file,
            slug,
            name=name,
            placement=placement,
            domains=domains,
            progress=_progress(output, options),
        )
    output.line(f"Imported {tenant.slug} at {tenant.placement}.", "green")


def _progress(output: Output, options: dict[str, Any]) -> Progress:
    return telling(output) if options["verbosity"] > 1 else silent
