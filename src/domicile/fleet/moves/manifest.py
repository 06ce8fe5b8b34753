"""What an archive of a tenant says of itself, and whether it is as it was written.

The file is a zip archive, written and read as a stream: for each table of each home a member with a
line of JSON for each row, and last `manifest.json`, which tells the migrations that the home has
had, and of each member its rows, their checksum and the digest of its bytes. The digest of the
manifest is the archive's comment. So a file that was cut off or changed is known before anything is
made of it.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from domicile.exceptions import ArchiveRefused, MigrationsUnknown
from domicile.fleet.moves.history import History

#: What is written; all up to it can be read. Since 2 there are homes by time.
FORMAT = 2
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
class ArchivedHome:
    """A home in an archive: the migrations that it has had, and its tables."""

    applied: list[list[str]]
    #: By table: member, columns, rows, checksum, sha256.
    tables: dict[str, dict[str, Any]]
    #: Of one by time.
    placement: str = ""
    period: str = ""

    @property
    def history(self) -> History:
        return History(frozenset((app, name) for app, name in self.applied))

    def __str__(self) -> str:
        return f"{self.placement}:{self.period}" if self.period else "the tenant's own home"


@dataclass(frozen=True)
class Manifest:
    """All homes of an archive, and whose they were."""

    slug: str
    name: str
    applied: list[list[str]]
    tables: dict[str, dict[str, Any]]
    fields: dict[str, Any]
    engine: str
    django: str
    made_at: str
    format: int = FORMAT
    by_time: tuple[ArchivedHome, ...] = ()

    @property
    def own(self) -> ArchivedHome:
        return ArchivedHome(self.applied, self.tables)

    @property
    def homes(self) -> list[ArchivedHome]:
        return [self.own, *self.by_time]


def write_manifest(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Put in what the archive says of itself, when all else is in."""
    data = json.dumps(asdict(manifest), indent=1).encode()
    archive.writestr(_MANIFEST, data)
    archive.comment = hashlib.sha256(data).hexdigest().encode()


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
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
    if values.get("format") not in range(1, FORMAT + 1):
        raise _refused(
            archive.filename,
            f"it has format {values.get('format')}, and this version of Domicile reads {FORMAT}",
        )
    values["by_time"] = tuple(ArchivedHome(**home) for home in values.get("by_time", ()))
    return Manifest(**values)


def verify(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Read all of it once, and raise `ArchiveRefused` unless it is what was written."""
    tables = [item for home in manifest.homes for item in home.tables.items()]
    if set(archive.namelist()) != {table["member"] for _, table in tables} | {_MANIFEST}:
        raise _refused(archive.filename, "its members are not those that its manifest names")
    for name, table in tables:
        digest = hashlib.sha256()
        try:
            with archive.open(table["member"]) as member:
                while chunk := member.read(_CHUNK):
                    digest.update(chunk)
        except _UNREADABLE as error:
            raise _refused(archive.filename, f"the rows of {name!r} cannot be read") from error
        if digest.hexdigest() != table["sha256"]:
            raise _refused(archive.filename, f"the rows of {name!r} were changed")


def history_of(manifest: Manifest, home: ArchivedHome) -> History:
    """Return the history of a home; `ArchiveRefused` where it is not that of this project."""
    try:
        return home.history
    except MigrationsUnknown as error:
        raise ArchiveRefused(f"The archive of {manifest.slug!r} cannot be read: {error}") from error


def refuse_homeless(manifest: Manifest, home: ArchivedHome, alias: str) -> None:
    """Raise `ArchiveRefused` where a table has rows that this project would have elsewhere than in
    the home behind an alias.
    """
    models = history_of(manifest, home).models(alias)
    known = {model._meta.db_table for model in models}
    for name, table in home.tables.items():
        if table["rows"] and name not in known:
            raise ArchiveRefused(
                f"The archive of {manifest.slug!r} has {table['rows']} rows of {name!r} in {home},"
                " where this project has no such table: its settings say otherwise where the"
                " model lives (DOMICILE['RULES'], TENANT_APPS). Nothing was made."
            )


def _refused(path: object, reason: str) -> ArchiveRefused:
    return ArchiveRefused(f"{path} cannot be imported: {reason}. Nothing was made. Export it anew.")
