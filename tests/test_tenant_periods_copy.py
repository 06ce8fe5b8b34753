"""Tenants with homes by time, copied, exported and imported."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections

import domicile
from domicile.exceptions import ArchiveRefused, HomeExists, InvalidName, NotSupported, TenantBusy
from domicile.fleet.drift import find_drift
from domicile.fleet.migrations import Step
from domicile.fleet.runs.selection import Selection
from domicile.periods.homes import homes_of
from domicile.registry import registry
from tests import servers
from tests.databases import databases
from tests.doomed import Doomed, doomed
from tests.marks import (
    APPS,
    KINDS,
    NOVEMBER,
    applied,
    at,
    by_month,
    contents,
    kind,
    left_of,
    located,
    make_acme,
    placements_of,
    put_aside,
    unapply,
)
from tests.processes import FIRST, eventually
from tests.testproject.marks.models import Mark, Pupil
from tests.testproject.universities.models import University

__all__ = ["doomed", "kind"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def check_is_its_own(copy: University, acme: University) -> None:
    """What is written to one is not in the other, and refers to its own rows."""
    before = contents(acme)
    assert contents(copy) == before
    assert list(find_drift(Selection())) == []
    with copy.activate():
        Pupil.objects.create(pk=99, name="New", home=copy.slug)
        Mark.objects.create(given_at=at(NOVEMBER), pupil_id=99)
        Mark.objects.using(f"{copy.alias}/marks:2026-10").delete()
    assert contents(acme) == before


@pytest.fixture(params=["copied", "imported"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def brought(way: str, acme: University, folder: Path, slug: str = "bcme", **options: Any) -> Any:
    if way == "copied":
        return domicile.copy_tenant(acme, slug, **options)
    path = domicile.export_tenant(acme, folder / "acme.domicile")
    return domicile.import_tenant(path, slug, **options)


def test_months_come_along(kind: str, way: str, tmp_path: Path) -> None:
    with by_month(kind):
        acme = make_acme()
        bcme = brought(way, acme, tmp_path)
        assert len(located()) == 4
        check_is_its_own(bcme, acme)
        domicile.drop_tenant(acme)
        assert len(contents(bcme)[1]) == 4
        domicile.drop_tenant(bcme)
        assert located() == []


@pytest.mark.parametrize("roles", [False, True])
def test_keys_refer_to_the_copys_own_rows(roles: bool) -> None:
    with by_month("roles" if roles else "schemas"):
        copy = domicile.copy_tenant(make_acme(), "bcme")
        with copy.activate(), pytest.raises(IntegrityError):
            Mark.objects.create(given_at=at(NOVEMBER), pupil_id=12345)


def test_a_tenant_may_come_to_another_kind_of_home(way: str, tmp_path: Path) -> None:
    placements = placements_of("schemas") | {"file": placements_of("files")["own"]}
    with by_month(PLACEMENTS=placements, RELATIONS=["marks.Mark.pupil"]):
        acme = make_acme()
        ccme = brought(way, acme, tmp_path, "ccme", placement="file")
        assert contents(ccme) == contents(acme)
        dcme = brought(way, ccme, tmp_path, "dcme", placement="own")
        assert contents(dcme) == contents(acme)
        with dcme.activate(), pytest.raises(IntegrityError):
            Mark.objects.create(given_at=at(NOVEMBER), pupil_id=12345)


def test_months_that_are_behind_come_as_they_are(way: str, tmp_path: Path) -> None:
    with by_month():
        acme = make_acme()
        unapply("tenant:acme/marks:2026-10")
        bcme = brought(way, acme, tmp_path)
        was_behind = ("marks", "0001_initial") not in applied("tenant:bcme/marks:2026-10")
        assert was_behind == (way == "copied")
        call_command("tenants", "migrate", stdout=io.StringIO())
        assert len(contents(bcme)[1]) == 3


def test_a_month_that_comes_later_is_not_of_that_instant(way: str, tmp_path: Path) -> None:
    with by_month():
        acme, written = make_acme(), []

        def write_elsewhere(step: Step) -> None:
            if step.detail.startswith("marks_pupil") and not written:
                written.append(step)
                thread = threading.Thread(target=_write_december)
                thread.start()
                thread.join()

        if way == "copied":
            bcme = domicile.copy_tenant(acme, "bcme", progress=write_elsewhere)
        else:
            path = tmp_path / "acme.domicile"
            domicile.export_tenant(acme, path, progress=write_elsewhere)
            bcme = domicile.import_tenant(path, "bcme")
        assert written
        assert [len(rows) for rows in contents(acme)] == [4, 8, 3]
        assert [len(rows) for rows in contents(bcme)] == [3, 6, 3]
        assert "t_bcme_2026_12" not in located()


def _write_december() -> None:
    try:
        with domicile.activate("acme"):
            pupil = Pupil.objects.create(name="Late", home="acme")
            for day in (NOVEMBER, "2026-12-01"):
                Mark.objects.create(given_at=at(day), pupil=pupil)
    finally:
        connections.close_all()


def test_rows_that_no_model_holds_are_not_left_behind() -> None:
    with by_month():
        acme = make_acme()
        with connections["tenant:acme/marks:2026-10"].cursor() as cursor:
            cursor.execute("CREATE TABLE odd AS SELECT 1 AS one")
        with pytest.raises(NotSupported, match="odd"):
            domicile.copy_tenant(acme, "bcme")
        assert left_of("bcme") == []


def test_what_was_put_aside_is_not_left_out(tmp_path: Path) -> None:
    with by_month(keep=3, retire="detach"):
        acme = make_acme()
        put_aside("acme", "2026-10")
        for refused in ("copied", "imported"):
            with pytest.raises(NotSupported, match="t_acme_2026_10_detached"):
                brought(refused, acme, tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert left_of("bcme") == []


def test_names_that_months_could_not_have_are_refused(way: str, tmp_path: Path) -> None:
    with by_month():
        acme = make_acme()
        with pytest.raises(InvalidName):
            brought(way, acme, tmp_path, "b" * 58)
        homes_of("marks", "acme").store.create("t_bcme_2026_10")
        with pytest.raises(HomeExists, match="t_bcme_2026_10"):
            brought(way, acme, tmp_path)
        assert University.objects.count() == 1


# Archives ----------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Of a tenant with months, which is not there any more."""
    with by_month():
        return domicile.export_tenant(make_acme(), tmp_path / "acme.domicile")


def test_an_archive_tells_its_months(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        manifest = json.loads(file.read("manifest.json"))
        members = [name for name in file.namelist() if name.startswith("rows/marks/2026-10/")]
    told = [(home["placement"], home["period"]) for home in manifest["by_time"]]
    assert told == [("marks", "2026-10"), ("marks", "2026-11")]
    assert len(members) == 2


def test_rows_by_time_find_no_place_where_there_is_no_rule(archive: Path) -> None:
    own = {"PLACEMENTS": placements_of("schemas"), "DEFAULT_PLACEMENT": "own"}
    with databases({}, **own), pytest.raises(ArchiveRefused, match="marks:2026-10"):
        domicile.import_tenant(archive)
    with by_month(every="quarter"), pytest.raises(ArchiveRefused, match="2026-10"):
        domicile.import_tenant(archive)
    assert not University.objects.exists()


def test_rows_of_one_home_find_no_place_where_there_is_a_rule(tmp_path: Path) -> None:
    """They are in the tenant's own home, where nobody would look for them any more."""
    own = {"PLACEMENTS": placements_of("schemas"), "DEFAULT_PLACEMENT": "own", "CLONE": False}
    with databases({}, **own, TENANT_APPS=APPS):
        acme = domicile.create_tenant("acme")
        with acme.activate():
            Mark._base_manager.create(given_at=at(NOVEMBER))
        path = domicile.export_tenant(acme, tmp_path / "acme.domicile")
        domicile.drop_tenant(acme)
    with by_month(), pytest.raises(ArchiveRefused, match="1 rows of 'marks_mark'"):
        domicile.import_tenant(path)
    assert not University.objects.exists()


# Cut off -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "step"), [("roles", 61), ("files", 131), ("mariadb", 191)])
@pytest.mark.parametrize("what", ["copy", "import"])
def test_what_was_cut_off_is_done_again(
    doomed: Doomed, what: str, kind: str, step: int, tmp_path: Path
) -> None:
    if KINDS[kind]:
        servers.require(KINDS[kind])
    with by_month(kind) as added:
        acme = make_acme()
        before, words = contents(acme), "tenants copy acme bcme"
        if what == "import":
            words = f"tenants import {domicile.export_tenant(acme, tmp_path / 'a')} --slug bcme"
        left, is_killed = 1 + (FIRST - 1) * step, True
        while is_killed:
            connections.close_all()
            is_killed = doomed.dies(words, kind, added, left)
            registry.clear()
            if is_killed:
                assert registry.by_slug("bcme") is None
                eventually(lambda: is_done(words))
            bcme = University.objects.get(slug="bcme")
            assert contents(bcme) == before
            assert contents(acme) == before
            domicile.drop_tenant(bcme)
            assert left_of("bcme") == []
            left += 2 * step
        assert left > 2 * step, "the kills did not meet the work"


def is_done(words: str) -> bool:
    with suppress(TenantBusy):
        _, action, *rest = words.split()
        if action == "copy":
            domicile.copy_tenant(*rest)
        else:
            domicile.import_tenant(rest[0], "bcme")
        return True
    return False
