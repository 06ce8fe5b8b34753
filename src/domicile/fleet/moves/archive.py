"""A tenant in one file, for any engine that has the models.

The file is a zip archive, written and read as a stream: for each table a member with a line of JSON
for each row, and last `manifest.json`, which tells the migrations the tenant has had, and of each
member its rows, their checksum and the digest of its bytes. The digest of the manifest is the
archive's comment. So a file that was cut off or changed is known before anything is made of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from django.utils import timezone

from domicile.backends.transfer import HomeEnd
from domicile.conf import conf
from domicile.exceptions import ArchiveRefused, MigrationsUnknown, TenantUnavailable
from domicile.fleet.lifecycle import _in_shared_home, find_tenant, sole_work_on
from domicile.fleet.migrations import Progress, Step, migrate_home, silent
from domicile.fleet.moves.destination import placement_named
from domicile.fleet.moves.founding import founded, inherited
from domicile.fleet.moves.history import History, applied_through
from domicile.fleet.moves.move import refuse_transaction
from domicile.fleet.moves.rows import ModelRows
from domicile.fleet.moves.transfer import OWN_TABLES, compare, open_end, refusing_rows
from domicile.fleet.moves.values import Tally, line_of
from domicile.fleet.site import handler
from domicile.models import VISIBLE
from domicile.periods.tenants import refuse_leaving
from domicile.registry import tenant_model

FORMAT = 1
_MANIFEST = "manifest.json"
_CHUNK = 1 << 20
#: What `zipfile` and its like raise for bytes that are not as they were written.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    KeyError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    slug: str
    name: str
    applied: list[list[str]]
    #: By table: member, rows, checksum, sha256.
    tables: dict[str, dict[str, Any]]
    fields: dict[str, Any]
    engine: str
    django: str
    made_at: str
    format: int = FORMAT

    @property
    def history(self) -> History:
        return History(frozenset((app, name) for app, name in self.applied))


# Exporting -------------------------------------------------------------------------------------


@_in_shared_home
def export_tenant(tenant: Any, path: str | Path, *, progress: Progress = silent) -> Path:
    """Write a tenant to a file, as it is at one instant, while others go on writing; return the
    path. A file of that name is replaced when the new one is complete.

    :raises MigrationsUnknown: it has had migrations that this project does not have.
    :raises TenantBusy: another process works on it.
    :raises NotSupported: it has rows in homes by time.
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
        refuse_leaving(tenant.slug, "exported")
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
        tables = {}
        for number, model in enumerate(history.models(tenant.alias)):
            rows = ModelRows(model, source.connection)
            member = f"rows/{number:04}.jsonl"
            tables[rows.table] = {"member": member, **_write_rows(archive, member, rows)}
            progress(Step("rows", f"{rows.table} {tables[rows.table]['rows']}"))
        _write_manifest(archive, tenant, source, history, tables)


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


def _write_manifest(
    archive: zipfile.ZipFile,
    tenant: Any,
    source: HomeEnd,
    history: History,
    tables: dict[str, dict[str, Any]],
) -> None:
    manifest = Manifest(
        slug=tenant.slug,
        name=tenant.name,
        applied=sorted(map(list, history.applied)),
        tables=tables,
        fields={name: str(v) for name, v in inherited(tenant).items() if v is not None},
        engine=source.connection.display_name,
        django=django.get_version(),
        made_at=timezone.now().isoformat(),
    )
    data = json.dumps(vars(manifest), indent=1).encode()
    archive.writestr(_MANIFEST, data)
    archive.comment = hashlib.sha256(data).hexdigest().encode()


# Importing -------------------------------------------------------------------------------------


@_in_shared_home
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
    :param placement: as for `move_tenant()`; `DEFAULT_PLACEMENT` if empty.
    :param domains: its host names: those of the original are not in the file.
    :raises ArchiveRefused: the file is cut off, was changed, is no such file, or comes from a
        project with migrations that this one does not have. Nothing has been made then.
    :raises InvalidName, NameTaken: as for `create_tenant()`.
    :raises RowsDiffer: something did not arrive.
    """
    refuse_transaction()
    template = placement_named(placement or conf().default_placement)
    with _opened(Path(path)) as archive:
        manifest = read_manifest(archive)
        _verify(archive, manifest)
        history = _history_of(manifest)
        slug = slug or manifest.slug
        with founded(
            slug,
            name=name or manifest.name,
            placement=template.key,
            domains=domains,
            progress=progress,
            **_fields(manifest),
        ) as tenant:
            history.build(tenant.home)
            handler().forget(tenant.alias)
            with open_end(handler(), tenant.home) as target:
                _load(archive, manifest, history, target, progress)
            migrate_home(tenant, progress)
    return tenant


def _history_of(manifest: Manifest) -> History:
    try:
        return manifest.history
    except MigrationsUnknown as error:
        raise ArchiveRefused(f"The archive of {manifest.slug!r} cannot be read: {error}") from error


def _fields(manifest: Manifest) -> dict[str, Any]:
    """Return the values of the tenant model's own fields that this project's has too."""
    fields = {field.name: field for field in tenant_model()._meta.concrete_fields}
    return {
        name: fields[name].to_python(value)
        for name, value in manifest.fields.items()
        if name in fields
    }


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise ArchiveRefused(f"There is no file {path}.") from error
    except _UNREADABLE as error:
        raise _refused(path, "it is no such archive, or is cut off") from error
    with archive:
        yield archive


def read_manifest(archive: zipfile.ZipFile) -> Manifest:
    """Return what an archive says of itself; `ArchiveRefused` where that cannot be believed."""
    try:
        data = archive.read(_MANIFEST)
    except _UNREADABLE as error:
        raise _refused(archive.filename, "it has no manifest that can be read") from error
    if hashlib.sha256(data).hexdigest().encode() != archive.comment:
        raise _refused(archive.filename, "its manifest was changed")
    values = json.loads(data)
    if values.get("format") != FORMAT:
        raise _refused(
            archive.filename,
            f"it has format {values.get('format')}, and this version of Domicile reads {FORMAT}",
        )
    return Manifest(**values)


def _verify(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Read all of it once, and raise `ArchiveRefused` unless it is what was written."""
    expected = {table["member"] for table in manifest.tables.values()} | {_MANIFEST}
    if set(archive.namelist()) != expected:
        raise _refused(archive.filename, "its members are not those that its manifest names")
    for name, table in manifest.tables.items():
        digest = hashlib.sha256()
        try:
            with archive.open(table["member"]) as member:
                while chunk := member.read(_CHUNK):
                    digest.update(chunk)
        except _UNREADABLE as error:
            raise _refused(archive.filename, f"the rows of {name!r} cannot be read") from error
        if digest.hexdigest() != table["sha256"]:
            raise _refused(archive.filename, f"the rows of {name!r} were changed")


def _refused(path: object, reason: str) -> ArchiveRefused:
    return ArchiveRefused(f"{path} cannot be imported: {reason}. Nothing was made. Export it anew.")


def _load(
    archive: zipfile.ZipFile,
    manifest: Manifest,
    history: History,
    target: HomeEnd,
    progress: Progress,
) -> None:
    models = history.models(target.home.alias)
    with refusing_rows(), target.loading(keep=OWN_TABLES):
        for model in models:
            rows = ModelRows(model, target.connection)
            table = manifest.tables.get(rows.table)
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
