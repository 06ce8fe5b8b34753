"""What developers see: which routes the statements of a request took."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from django.test import AsyncClient, Client, override_settings

from domicile.integrations.route_header import HEADER
from domicile.recording import Recorder
from domicile.rules import Apps
from tests.databases import databases, make_database, migrate
from tests.tenants import DATABASES, tenant
from tests.testproject.people.models import Person
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

MIDDLEWARE = "domicile.integrations.route_header.RouteHeaderMiddleware"
TOOLBAR = "debug_toolbar.middleware.DebugToolbarMiddleware"


@pytest.fixture
def users() -> Iterator[None]:
    changes = {"SHARED_URLCONF": "tests.recorded_urls"}
    rules = [Apps({"people": "users"})]
    with databases({"users": make_database("sqlite", "recorded")}, rules, **changes):
        migrate("users")
        yield


@pytest.fixture
def debug() -> Iterator[None]:
    with override_settings(DEBUG=True, MIDDLEWARE=[MIDDLEWARE, *settings.MIDDLEWARE]):
        yield


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    recorder.start()
    yield recorder
    recorder.stop()


def told(recorder: Recorder) -> list[str]:
    return [str(each) for each in recorder.taken() if each.model]


class TestRecorder:
    def test_a_rule(self, users: None, recorder: Recorder) -> None:
        Person.objects.create(name="Kofi")
        list(Person.objects.filter(name__in=["Kofi"]))
        list(Person.objects.all())
        assert told(recorder) == [
            "people.Person write users (Apps) x1",
            "people.Person read users (Apps) x2",
        ]
        assert all(each.milliseconds > 0 for each in recorder.taken())

    def test_a_tenant(self, recorder: Recorder) -> None:
        with tenant("accra") as accra, accra.activate():
            Student.objects.count()
            University.objects.count()
        assert "students.Student read tenant:accra (tenants) x1" in told(recorder)
        assert "universities.University read shared (shared) x1" in told(recorder)

    def test_what_was_named(self, users: None, recorder: Recorder) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM people_person")
        assert told(recorder) == ["people.Person read default (using()) x1"]

    def test_connections_that_are_opened_later(self, users: None, recorder: Recorder) -> None:
        connections["users"].close()
        Person.objects.count()
        assert told(recorder) == ["people.Person read users (Apps) x1"]

    def test_it_ends(self, users: None) -> None:
        Person.objects.count()
        before = [list(each.execute_wrappers) for each in connections.all()]
        recorder = Recorder()
        recorder.start()
        recorder.start()
        Person.objects.count()
        recorder.stop()
        recorder.stop()
        Person.objects.count()
        assert told(recorder) == ["people.Person read users (Apps) x1"]
        assert [list(each.execute_wrappers) for each in connections.all()] == before

    def test_wrappers_of_others_stay_their_own(self, users: None) -> None:
        heard, recorder = [], Recorder()

        def hear(execute: Any, *args: Any) -> Any:
            heard.append(args[0])
            return execute(*args)

        with connections["users"].execute_wrapper(hear):
            recorder.start()
            Person.objects.count()
        Person.objects.count()
        recorder.stop()
        assert len(heard) == 1
        assert told(recorder) == ["people.Person read users (Apps) x2"]

    def test_a_statement_that_fails_counts(self, users: None, recorder: Recorder) -> None:
        with pytest.raises(Exception, match="no such"), connections["users"].cursor() as cursor:
            cursor.execute("SELECT absent FROM people_person")
        assert told(recorder) == ["people.Person read users (Apps) x1"]


async def visit(path: str) -> Any:
    try:
        return await AsyncClient().get(path)
    finally:
        await sync_to_async(connections.close_all)()


@pytest.mark.usefixtures("users")
class TestHeader:
    def test_routes(self, debug: None) -> None:
        response = Client().get("/people/")
        assert response[HEADER] == (
            "people.Person write users (Apps) x1; people.Person read users (Apps) x2"
        )

    def test_async(self, debug: None) -> None:
        response = asyncio.run(visit("/apeople/"))
        assert response[HEADER] == "people.Person read users (Apps) x2"

    def test_nothing_was_sent(self, debug: None) -> None:
        assert HEADER not in Client().get("/silent/")

    def test_a_tenant(self, debug: None) -> None:
        with tenant("accra"):
            told = Client(headers={"host": "accra.localhost"}).get("/students/")[HEADER]
        assert "students.Student read tenant:accra (tenants) x1" in told

    def test_without_debug_there_is_none(self) -> None:
        with override_settings(MIDDLEWARE=[MIDDLEWARE, *settings.MIDDLEWARE]):
            assert HEADER not in Client().get("/people/")
        assert all(
            not isinstance(wrapper, Recorder)
            for each in connections.all()
            for wrapper in each.execute_wrappers
        )


@pytest.mark.usefixtures("users")
class TestPanel:
    @pytest.fixture(autouse=True)
    def shown(self) -> Iterator[None]:
        pytest.importorskip("debug_toolbar")
        config = {"SHOW_TOOLBAR_CALLBACK": lambda request: True, "RENDER_PANELS": True}
        with override_settings(
            DEBUG=True,
            INSTALLED_APPS=[*settings.INSTALLED_APPS, "debug_toolbar"],
            MIDDLEWARE=[TOOLBAR, *settings.MIDDLEWARE],
            DEBUG_TOOLBAR_PANELS=["domicile.integrations.debug_toolbar.RoutesPanel"],
            DEBUG_TOOLBAR_CONFIG=config,
            ROOT_URLCONF="tests.toolbar_urls",
            DOMICILE={**settings.DOMICILE, "SHARED_URLCONF": "tests.toolbar_urls"},
        ):
            yield

    def test_routes(self) -> None:
        page = Client().get("/people/").content.decode()
        assert "RoutesPanel" in page
        assert "1 database" in page
        row = page[page.index("<td>people.Person</td>") :]
        for cell in ("write", "users", "Apps", "1"):
            assert f"<td>{cell}</td>" in row

    def test_async(self) -> None:
        page = asyncio.run(visit("/people/")).content.decode()
        assert "<td>people.Person</td>" in page

    def test_nothing_was_sent(self) -> None:
        assert "No statement was sent." in Client().get("/silent/").content.decode()
