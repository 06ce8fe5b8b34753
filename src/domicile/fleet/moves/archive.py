"""A tenant in one file, for any engine that has the models; `domicile.fleet.moves.manifest` tells
how the file is made up.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import django
from django.utils import timezone

from domicile.backends.transfer import HomeEnd
from domicile.conf import conf
from domicile.exceptions import ArchiveRefused, InvalidName, TenantUnavailable
from domicile.fleet.migrations import Progress, Step, migrate_home, silent
from domicile.fleet.moves.by_time import made, parts_of
from domicile.fleet.moves.destination import placement_named
from domicile.fleet.moves.founding import founded, inherited
from domicile.fleet.moves.history import History, applied_through
from domicile.fleet.moves.manifest import (
    ArchivedHome,
    Manifest,
    history_of,
    opened,
    read_manifest,
    refuse_homeless,
    verify,
    write_manifest,
)
from domicile.fleet.moves.move import refuse_transaction
from domicile.fleet.moves.rows import ModelRows
from domicile.fleet.moves.transfer import OWN_TABLES, compare, open_end, refusing_rows
from domicile.fleet.moves.values import Tally, line_of
from domicile.fleet.site import handler
from domicile.fleet.sole_work import find_tenant, in_shared_home, sole_work_on
from domicile.models import VISIBLE
from domicile.periods.homes import homes_of
from domicile.periods.places import placements
from domicile.periods.tenants import refuse_put_aside
from domicile.placement import Home, Placement, tenant_alias
from domicile.registry import tenant_model

# Exporting -------------------------------------------------------------------------------------


@in_shared_home
def export_tenant(tenant: Any, path: str | Path, *, progress: Progress = silent) -> Path:
    """Write a tenant to a file, as it is at one instant, while others go on writing; return the
    path. A file of that name is replaced when the new one is complete.

    :raises MigrationsUnknown: it has had migrations that this project does not have.
    :raises TenantBusy: another process works on it.
    :raises NotSupported: homes by time of it were put aside.
    """
    refuse_transaction()
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    with sole_work_on(find_tenant(tenant).slug):
        tenant = find_tenant(tenant)
        if tenant.status not in VISIBLE:
            raise TenantUnavailable(
                f"{tenant.slug!r} is {tenant.get_status_display()}, so it cannot be exported."
            )
        refuse_put_aside(tenant.home, "exported")
        try:
            _write(tenant, partial, progress)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return path


def _write(tenant: Any, path: Path, progress: Progress) -> None:
    with (
        open_end(handler(), tenant.home) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        source.snapshot(),
    ):
        history = History(applied_through(source.connection))
        own = _write_home(archive, source, history, "rows", progress)
        by_time = []
        for part in parts_of(source):
            where = {"placement": part.homes.placement, "period": str(part.period)}
            folder = f"rows/{part.homes.placement}/{part.period}"
            by_time.append(_write_home(archive, part.end, part.history, folder, progress, **where))
        manifest = Manifest(
            slug=tenant.slug,
            name=tenant.name,
            applied=own.applied,
            tables=own.tables,
            fields={name: str(v) for name, v in inherited(tenant).items() if v is not None},
            engine=source.connection.display_name,
            django=django.get_version(),
            made_at=timezone.now().isoformat(),
            by_time=tuple(by_time),
        )
        write_manifest(archive, manifest)


def _write_home(
    archive: zipfile.ZipFile,
    source: HomeEnd,
    history: History,
    folder: str,
    progress: Progress,
    **where: str,
) -> ArchivedHome:
    tables = {}
    for number, model in enumerate(history.models(source.home.alias)):
        rows = ModelRows(model, source.connection)
        member = f"{folder}/{number:04}.jsonl"
        tables[rows.table] = {"member": member, **_write_rows(archive, member, rows)}
        progress(Step("rows", f"{rows.table} {tables[rows.table]['rows']}"))
    return ArchivedHome(sorted(map(list, history.applied)), tables, **where)


def _write_rows(archive: zipfile.ZipFile, member: str, rows: ModelRows) -> dict[str, Any]:
    tally, digest = Tally(), hashlib.sha256()
    with archive.open(member, "w", force_zip64=True) as out:
        for row in rows.read():
            line = line_of(row)
            tally.add(line)
            data = f"{line}\n".encode()
            digest.update(data)
            out.write(data)
    return {
        "columns": [field.column for field in rows.fields],
        "rows": tally.rows,
        "checksum": tally.checksum,
        "sha256": digest.hexdigest(),
    }


# Importing -------------------------------------------------------------------------------------


@in_shared_home
def import_tenant(
    path: str | Path,
    slug: str = "",
    *,
    name: str = "",
    placement: str = "",
    domains: Iterable[str] = (),
    progress: Progress = silent,
) -> Any:
    """Make a tenant of a file that `export_tenant()` wrote, here or elsewhere; return it.

    It is read as the migrations that it has had demand, and then migrated to the newest.

    :param slug: its slug; the exported one's if empty. `name` alike.
    :param placement: as for `move_tenant()`; `DEFAULT_PLACEMENT` if empty. Homes by time are where
        this project's rules place them.
    :param domains: its host names: those of the original are not in the file.
    :raises ArchiveRefused: the file is cut off, was changed, is no such file, or comes from a
        project with migrations that this one does not have, or that has tables elsewhere. Nothing
        has been made then.
    :raises InvalidName, NameTaken: as for `create_tenant()`.
    :raises RowsDiffer: something did not arrive.
    """
    refuse_transaction()
    template = placement_named(placement or conf().default_placement)
    with opened(Path(path)) as archive:
        manifest = read_manifest(archive)
        verify(archive, manifest)
        slug = slug or manifest.slug
        _refuse_unplaced(manifest, Home(tenant_alias(slug), Placement(template.key, slug)))
        with founded(
            slug,
            name=name or manifest.name,
            placement=template.key,
            domains=domains,
            progress=progress,
            **_fields(manifest),
        ) as tenant:
            history = history_of(manifest, manifest.own)
            history.build(tenant.home)
            handler().forget(tenant.alias)
            with open_end(handler(), tenant.home) as target:
                _load(archive, manifest.own, history, target, progress)
            for home in manifest.by_time:
                _load_by_time(archive, manifest, home, tenant, progress)
            migrate_home(tenant, progress)
            _migrate_by_time(tenant, manifest)
    return tenant


def _refuse_unplaced(manifest: Manifest, own: Home) -> None:
    """Raise `ArchiveRefused` where rows have no place in this project; `NotSupported` where those
    by time have none in homes of a tenant that lives there.
    """
    refuse_homeless(manifest, manifest.own, own.alias)
    for home in manifest.by_time:
        try:
            if home.placement not in placements(of_tenants=True):
                raise InvalidName("no rule of this project has that placement for tenants' rows")
            homes = homes_of(home.placement, own=own)
            alias = homes.alias(homes.calendar.parse(home.period))
        except InvalidName as error:
            raise ArchiveRefused(
                f"The archive of {manifest.slug!r} has rows at {home}, and {error}. Nothing was"
                " made."
            ) from error
        refuse_homeless(manifest, home, alias)


def _fields(manifest: Manifest) -> dict[str, Any]:
    """Return the values of the tenant model's own fields that this project's has too."""
    fields = {field.name: field for field in tenant_model()._meta.concrete_fields}
    return {
        name: fields[name].to_python(value)
        for name, value in manifest.fields.items()
        if name in fields
    }


def _load_by_time(
    archive: zipfile.ZipFile,
    manifest: Manifest,
    home: ArchivedHome,
    tenant: Any,
    progress: Progress,
) -> None:
    history = history_of(manifest, home)
    homes = homes_of(home.placement, own=tenant.home)
    with made(tenant, homes, homes.calendar.parse(home.period), history, progress) as target:
        _load(archive, home, history, target, progress)


def _migrate_by_time(tenant: Any, manifest: Manifest) -> None:
    with tenant.activate():
        for home in manifest.by_time:
            homes = homes_of(home.placement, own=tenant.home)
            homes.migrate(homes.calendar.parse(home.period))


def _load(
    archive: zipfile.ZipFile,
    home: ArchivedHome,
    history: History,
    target: HomeEnd,
    progress: Progress,
) -> None:
    models = history.models(target.home.alias)
    with refusing_rows(), target.loading(keep=OWN_TABLES):
        for model in models:
            rows = ModelRows(model, target.connection)
            table = home.tables.get(rows.table)
            if table is None:
                continue
            _refuse_columns(rows, table["columns"])
            with archive.open(table["member"]) as member:
                rows.write(map(json.loads, member))
            compare(rows.table, Tally(table["rows"], table["checksum"]), rows.tally())
            progress(Step("rows", f"{rows.table} {table['rows']}"))
        target.reset_sequences(models)


def _refuse_columns(rows: ModelRows, columns: list[str]) -> None:
    """The same migrations make the same columns, unless one was edited after it was released."""
    here = [field.column for field in rows.fields]
    if here != columns:
        raise ArchiveRefused(
            f"Table {rows.table!r} has the columns {', '.join(columns)} in the archive, and"
            f" {', '.join(here)} by this project's migrations of the same names."
        )
