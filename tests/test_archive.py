"""A tenant in one file, and out of it again on another engine."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from django.db import connections

import domicile
from domicile.exceptions import ArchiveRefused, SlugTaken
from domicile.fleet.moves.manifest import read_manifest
from domicile.models import Status
from domicile.placement import Placement
from tests.growing import GROWN, SHELF, migrations
from tests.moving import contents, fill, homes_like, require
from tests.tenants import DATABASES, tenant
from tests.testproject.students.models import Student
from tests.testproject.universities.models import Hostname, University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

WAYS = [("schema", "file"), ("file", "schema"), ("mariadb", "schema"), ("schema15", "mariadb")]


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_what_was_exported_is_imported(source: str, target: str, tmp_path: Path) -> None:
    require(source)
    require(target)
    with tenant("acme", placement=source, domains=["acme.example"], founded=1910) as acme:
        fill(acme)
        before = contents(acme)
        path = domicile.export_tenant("acme", tmp_path / "acme.domicile")
        assert list(tmp_path.iterdir()) == [path]
        with Copy(path, "bcme", target) as bcme:
            assert contents(bcme) == before
            assert (bcme.status, bcme.name, bcme.founded) == (Status.ACTIVE, acme.name, 1910)
            assert not bcme.domains.exists()
            with bcme.activate():
                last = max(row[0] for row in before["students"])
                new = Student.objects.create(registration="new", name="New", home="bcme")
                assert new.pk == last + 1


class Copy:
    """A tenant made of a file, which is dropped in the end."""

    def __init__(self, path: Path, slug: str, placement: str) -> None:
        self.tenant = domicile.import_tenant(path, slug, placement=placement)

    def __enter__(self) -> University:
        return University.objects.get(slug=self.tenant.slug)

    def __exit__(self, *exc_info: object) -> None:
        domicile.drop_tenant(self.tenant)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The file of a tenant that is not there any more."""
    with tenant("acme", placement="schema") as acme:
        fill(acme, 50)
        return domicile.export_tenant("acme", tmp_path / "acme.domicile")


def check_nothing_was_made() -> None:
    assert not University.objects.exists()
    assert not homes_like("schema", "acme")


def test_its_own_slug_is_the_default(exported: Path) -> None:
    imported = domicile.import_tenant(exported, domains=["new.example"])
    assert imported.placement == Placement("schema", "acme")
    assert Hostname.objects.get().host == "new.example"
    with pytest.raises(SlugTaken):
        domicile.import_tenant(exported)
    domicile.drop_tenant("acme")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.95, 0.999])
def test_a_file_that_was_cut_off_is_refused(exported: Path, kept: float) -> None:
    data = exported.read_bytes()
    exported.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ArchiveRefused, match=r"acme\.domicile"):
        domicile.import_tenant(exported)
    check_nothing_was_made()


def test_a_file_that_was_changed_is_refused(exported: Path) -> None:
    data = exported.read_bytes()
    for position in range(0, len(data), len(data) // 40):
        changed = bytearray(data)
        changed[position] ^= 0x40
        exported.write_bytes(changed)
        try:
            imported = domicile.import_tenant(exported)
        except ArchiveRefused:
            check_nothing_was_made()
        else:  # A date or a flag that says nothing about the content.
            assert contents(imported)["students"]
            domicile.drop_tenant(imported)


def rewritten(path: Path, **changes: bytes) -> Path:
    """The same archive by other hands: members changed, and the zip right in itself."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
        comment = old.comment
    with zipfile.ZipFile(path, "w") as new:
        for name, data in {**members, **changes}.items():
            new.writestr(name, data)
        new.comment = comment
    return path


def test_rows_that_were_edited_are_refused(exported: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        member = read_manifest(archive).tables["students_student"]["member"]
        rows = archive.read(member)
    rewritten(exported, **{member: rows.replace(b"ma 1", b"ma 7")})
    with pytest.raises(ArchiveRefused, match=r"students_student.*were changed"):
        domicile.import_tenant(exported)
    check_nothing_was_made()


def test_a_manifest_that_was_edited_is_refused(exported: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    manifest["slug"] = "other"
    rewritten(exported, **{"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(ArchiveRefused, match="manifest was changed"):
        domicile.import_tenant(exported)
    check_nothing_was_made()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ama")
    with pytest.raises(ArchiveRefused, match="no such archive"):
        domicile.import_tenant(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter", "Dear Ama")
    with pytest.raises(ArchiveRefused, match="no manifest"):
        domicile.import_tenant(path)


def test_one_of_a_newer_project_is_refused(exported: Path, tmp_path: Path) -> None:
    with migrations(tmp_path, {"0002_shelf": SHELF}), tenant("acme", placement="schema"):
        newer = domicile.export_tenant("acme", tmp_path / "newer.domicile")
    with pytest.raises(ArchiveRefused, match=r"no migration students\.0002_shelf"):
        domicile.import_tenant(newer)
    check_nothing_was_made()


@pytest.mark.parametrize("target", ["schema", "file"])
def test_one_of_an_older_project_is_migrated(exported: Path, tmp_path: Path, target: str) -> None:
    with migrations(tmp_path, GROWN):
        imported = domicile.import_tenant(exported, placement=target)
        with imported.activate():
            # A migration that writes a row has met the rows of the archive.
            assert Student.objects.count() == 51
            with connections[imported.alias].cursor() as cursor:
                cursor.execute("SELECT count(*), max(shelf) FROM students_student")
                assert cursor.fetchone() == (51, "")
        domicile.drop_tenant(imported)
