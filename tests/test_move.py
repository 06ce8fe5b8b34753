"""A tenant moves to another home: everything is there afterwards, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.test import Client, override_settings
from django.utils import timezone

import domicile
from domicile import signals
from domicile.exceptions import (
    HomeBusy,
    HomeMissing,
    HomeMoved,
    NotSupported,
    RowsDiffer,
    SlugTaken,
    UnknownPlacement,
)
from domicile.fleet.migrations import Step
from domicile.fleet.site import Site
from domicile.models import Status
from domicile.placement import Home, Placement
from domicile.records import Move
from domicile.registry import registry
from tests import servers
from tests.isolation.engines import with_settings
from tests.moving import contents, fill, homes_like, require
from tests.tenants import DATABASES, domicile_settings, tenant
from tests.testproject.students.models import Club, Course, Student
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

WAYS = [
    ("schema", "schema15"),
    ("schema", "database"),
    ("database", "schema"),
    ("schema15", "schema"),
    ("schema", "file"),
    ("file", "schema"),
    ("mariadb", "schema"),
    ("schema", "mariadb"),
    ("file", "mariadb"),
]


@pytest.fixture(params=WAYS, ids="→".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    for placement in request.param:
        require(placement)
    return request.param


def test_everything_is_there_and_goes_on(way: tuple[str, str]) -> None:
    source, target = way
    with tenant("acme", placement=source, domains=["acme.example"]) as acme:
        fill(acme)
        before = contents(acme)
        moved = domicile.move_tenant("acme", target)
        assert moved.source == Placement(source, "acme")
        assert moved.read_only_seconds
        there = University.objects.get()
        assert (there.placement.template, there.status) == (target, Status.ACTIVE)
        assert [domain.host for domain in there.domains.all()] == ["acme.example"]
        assert contents(there) == before
        with domicile.activate("acme"):
            last = max(row[0] for row in before["students"])
            assert (
                Student.objects.create(registration="new", name="New", home="acme").pk == last + 1
            )
            assert Student.objects.get(registration="00000").course.name == "Law"


def test_the_source_is_kept_and_then_dropped(way: tuple[str, str]) -> None:
    source, target = way
    with tenant("acme", placement=source) as acme:
        fill(acme, 3)
        stale = University.objects.get()
        domicile.move_tenant("acme", target, grace=timedelta(days=1))
        assert domicile.drop_expired() == []
        move = Move.objects.get()
        assert move.phase == Move.Phase.SWITCHED
        # What has not heard of the move writes nothing to the old home.
        with stale.activate(), pytest.raises(HomeMissing):
            Student.objects.create(registration="late", name="Late", home="acme")
        Move.objects.update(drop_source_after=timezone.now())
        domicile.drop_expired()
        assert Move.objects.get().phase == Move.Phase.DONE
        assert not Site.of(Placement(source, "acme")).exists()
        assert not homes_like(source, "acme")
        with domicile.activate("acme"):
            assert Student.objects.count() == 3


def test_there_and_back_within_the_grace() -> None:
    servers.require("default")
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        before = contents(acme)
        domicile.move_tenant("acme", "database")
        domicile.move_tenant("acme", "schema")
        back = University.objects.get()
        assert back.placement == Placement("schema", "acme_2")
        assert contents(back) == before
    assert not homes_like("schema", "acme")
    assert not homes_like("database", "acme")


def test_no_grace_leaves_nothing() -> None:
    servers.require("default")
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        domicile.move_tenant("acme", "database", grace=timedelta())
        assert not homes_like("schema", "acme")
        domicile.move_tenant("acme", "schema", grace=timedelta())
        assert University.objects.get().placement == Placement("schema", "acme")
        assert not homes_like("database", "acme")


def test_a_suspended_tenant_stays_suspended() -> None:
    servers.require("default")
    with tenant("acme", placement="schema"):
        domicile.suspend_tenant("acme")
        domicile.move_tenant("acme", "file")
        assert University.objects.get().status == Status.SUSPENDED


def test_the_signal_tells_where_it_was() -> None:
    heard: list[Any] = []

    def receiver(tenant: Any, source: Placement, **_: Any) -> None:
        heard.append((source, tenant.placement))

    signals.tenant_moved.connect(receiver)
    try:
        with tenant("acme", placement="schema"):
            domicile.move_tenant("acme", "file")
    finally:
        signals.tenant_moved.disconnect(receiver)
    assert heard == [(Placement("schema", "acme"), Placement("file", "acme"))]


def test_what_cannot_be_moved() -> None:
    with tenant("acme", placement="schema"):
        with pytest.raises(NotSupported, match="already"):
            domicile.move_tenant("acme", "schema")
        with pytest.raises(UnknownPlacement, match="schema15"):
            domicile.move_tenant("acme", "nowhere")
        with pytest.raises(UnknownPlacement, match="more than one"):
            domicile.move_tenant("acme", "default")
        with pytest.raises(NotSupported, match="atomic"), transaction.atomic():
            domicile.move_tenant("acme", "file")
        assert not Move.objects.exists()


def test_a_database_is_the_placement_in_it() -> None:
    servers.require("postgres15")
    with tenant("acme", placement="schema"):
        moved = domicile.move_tenant("acme", "postgres15")
        assert moved.tenant.placement.template == "schema15"


@pytest.mark.parametrize("source", ["schema", "file", "mariadb"])
def test_a_writer_that_does_not_stop_stays_and_the_move_ends(source: str) -> None:
    require(source)
    with tenant("acme", placement=source) as acme:
        with transaction.atomic(using=acme.alias):
            Course.objects.using(acme.alias).create(name="Open")
            moving: list[Any] = []
            thread = Thread(target=lambda: moving.append(raised(lambda: move_soon("acme"))))
            thread.start()
            thread.join()
        assert isinstance(moving[0], HomeBusy)
        assert not Move.objects.exists()
        assert University.objects.get().placement.template == source
        with acme.activate():
            Course.objects.create(name="Later")
            assert Course.objects.count() == 2


def move_soon(slug: str) -> None:
    try:
        target = "schema15" if University.objects.get().placement.template == "schema" else "schema"
        domicile.move_tenant(slug, target, lock_timeout=0.5)
    finally:
        connections.close_all()


def raised(func: Callable[[], Any]) -> BaseException | None:
    try:
        func()
    except BaseException as error:
        return error
    return None


@pytest.mark.parametrize("target", ["schema15", "file"])
def test_a_difference_stops_it_before_the_switch(target: str) -> None:
    """The target, where the mover has just made the tables, is made to change what it gets."""
    require(target)
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        before = contents(acme)

        def spoil(step: Step) -> None:
            if step.kind == "copying" and "tables" in step.detail:
                spoil_students(target)

        with pytest.raises(RowsDiffer, match="students_student"):
            domicile.move_tenant("acme", target, progress=spoil)
        assert not Move.objects.exists()
        assert contents(University.objects.get()) == before
        assert not homes_like(target, "acme")


def spoil_students(target: str) -> None:
    home = Home("tenant:acme", Placement(target, "acme"))
    with closing(connections.open(home).copy()) as connection, connection.cursor() as cursor:
        if target == "file":
            cursor.execute(
                "CREATE TRIGGER spoil AFTER INSERT ON students_student BEGIN"
                " UPDATE students_student SET name = 'x' WHERE id = new.id; END"
            )
        else:
            # Fills names up with blanks.
            cursor.execute("ALTER TABLE students_student ALTER COLUMN name TYPE char(100)")


def test_twins_in_the_shared_home_never_get_a_tenants_row() -> None:
    """`auth_user` is in the shared schema too, behind the tenant's in the path."""
    servers.require("default")
    with tenant("acme", placement="schema") as acme:
        with acme.activate():
            User.objects.create(username="ama")
            assert User.objects.count() == 1
            thread = Thread(
                target=lambda: (domicile.move_tenant("acme", "file"), connections.close_all())
            )
            thread.start()
            thread.join()
            with pytest.raises(HomeMoved):
                User.objects.create(username="late")
            with pytest.raises(HomeMoved):
                User.objects.count()
        assert not User.objects.exists()


def test_a_copy_is_a_tenant_of_its_own() -> None:
    require("schema")
    with tenant("acme", placement="schema", domains=["acme.example"], founded=1910) as acme:
        fill(acme)
        before = contents(acme)
        copy = domicile.copy_tenant("acme", "acme-staging")
        try:
            assert (copy.slug, copy.name, copy.founded) == ("acme-staging", acme.name, 1910)
            assert copy.placement == Placement("schema", "acme-staging")
            assert copy.status == Status.ACTIVE
            assert not copy.domains.exists()
            assert contents(copy) == before
            with copy.activate():
                Student.objects.all().delete()
            assert contents(acme) == before
        finally:
            domicile.drop_tenant("acme-staging")
        assert contents(acme) == before


@pytest.mark.parametrize("target", ["file", "mariadb", "database"])
def test_a_copy_may_live_elsewhere(target: str) -> None:
    require(target)
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        copy = domicile.copy_tenant("acme", "bcme", placement=target, domains=["b.example"])
        try:
            assert contents(copy) == contents(acme)
            assert [domain.host for domain in copy.domains.all()] == ["b.example"]
        finally:
            domicile.drop_tenant("bcme")


def test_a_copy_does_not_keep_writers_waiting() -> None:
    require("schema")
    with tenant("acme", placement="schema") as acme:

        def write(step: Step) -> None:
            if step.kind == "rows":
                with acme.activate():
                    Club.objects.create(name=step.detail)

        copy = domicile.copy_tenant("acme", "bcme", progress=write)
        try:
            assert Club.objects.using(acme.alias).count() > 5
            assert not Club.objects.using(copy.alias).exists()
        finally:
            domicile.drop_tenant("bcme")


def test_a_copy_that_fails_leaves_nothing() -> None:
    require("schema")
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        with pytest.raises(SlugTaken):
            domicile.copy_tenant("acme", "acme")

        def fail(step: Step) -> None:
            if step.kind == "rows":
                raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            domicile.copy_tenant("acme", "bcme", progress=fail)
        assert not University.objects.filter(slug="bcme").exists()
        assert not homes_like("schema", "bcme")


def test_a_copy_lacks_no_rows_in_silence() -> None:
    with tenant("acme", placement="file") as acme:
        with connections[acme.alias].cursor() as cursor:
            cursor.execute("CREATE TABLE gone_app AS SELECT 1 AS one")
        with pytest.raises(NotSupported, match="gone_app"):
            domicile.copy_tenant("acme", "bcme", placement="schema")
        assert not University.objects.filter(slug="bcme").exists()
        assert not homes_like("schema", "bcme")


def test_a_request_under_which_the_tenant_moves_may_come_again(client: Client) -> None:
    require("schema")
    with tenant("acme", placement="schema"):
        headers = {"host": "acme.localhost"}
        assert client.get("/students/", headers=headers).status_code == 200
        known = registry.by_slug("acme")
        assert known
        domicile.move_tenant("acme", "file")
        # What another process would know still.
        registry._known.present[("slug", "acme")] = known
        answer = client.get("/students/", headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert client.get("/students/", headers=headers).status_code == 200


def test_so_may_one_whose_session_cannot_be_saved(client: Client) -> None:
    require("schema")
    client.raise_request_exception = False
    with tenant("acme", placement="schema"):
        headers = {"host": "acme.localhost"}
        known = registry.by_slug("acme")
        domicile.move_tenant("acme", "file")
        registry._known.present[("slug", "acme")] = known
        answer = client.get("/students/visit/", headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert client.get("/students/visit/", headers=headers).status_code == 200


def test_the_commands_do_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("schema")
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        before = contents(acme)
        call_command("tenants", "move", "acme", "--to", "file", "--grace", "1d")
        assert "Moved acme from schema:acme to file:acme; it was read-only for" in output(capsys)
        call_command("tenants", "copy", "acme", "bcme", "--placement", "schema")
        assert "Copied acme to bcme at schema:bcme" in output(capsys)
        path = tmp_path / "b.domicile"
        call_command("tenants", "export", "bcme", str(path))
        assert f"Exported bcme to {path}" in output(capsys)
        domicile.drop_tenant("bcme")
        call_command("tenants", "import", str(path), "--placement", "file")
        assert "Imported bcme at file:bcme" in output(capsys)
        assert contents(University.objects.get(slug="bcme")) == before
        domicile.drop_tenant("bcme")
        with pytest.raises(CommandError, match="already"):
            call_command("tenants", "move", "acme", "--to", "file")


def output(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_roles_move_with_their_tenants() -> None:
    require("schema15")
    with override_settings(DOMICILE=domicile_settings(ROLES=True)):
        with_settings("default", move_with_role)


def move_with_role() -> None:
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        before = contents(acme)
        moved = domicile.move_tenant("acme", "schema15", grace=timedelta())
        assert contents(moved.tenant) == before
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE '%.acme%'")
            assert not cursor.fetchall()
        with moved.tenant.activate(), connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT current_user, tableowner FROM pg_tables WHERE schemaname = 'acme'"
            )
            assert cursor.fetchall() == [("test_domicile.acme", "test_domicile.acme")]
