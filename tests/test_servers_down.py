"""Servers that are down at the start, in the middle, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domicile.models import Status
from tests import servers
from tests.processes import Process
from tests.tenants import DATABASES
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

# Looks for changes at every request, so that nothing depends on how fast a machine is.
SCRIPT = """
import logging
from django.conf import settings
from django.core.management import call_command
from django.core.signals import request_finished
import domicile
from domicile.conf import conf
from tests.visits import active, wsgi
settings.DOMICILE["REGISTRY_MAX_AGE"] = 0
conf.cache_clear()
logging.disable()

def visit(slug):
    response = wsgi("/students/", f"{slug}.localhost")
    response.close()
    assert active() is None
    return response.status_code

def work(what, **options):
    if what == "visit":
        return [visit(slug) for slug in options["slugs"]]
    if what == "migrate":
        return call_command("migrate", verbosity=0)
    if what == "expired":
        return domicile.drop_expired()
    if what == "drop":
        return domicile.drop_tenant(**options)
    stops = [options.pop("stop_at", None)]
    def progress(step):
        if step.kind in stops:
            stops.clear()
            tell(reached=step.kind)
            sys.stdin.readline()
    return domicile.create_tenant(progress=progress, **options).slug

for line in sys.stdin:
    try:
        tell(result=work(**json.loads(line)))
    except Exception as error:
        tell(error=type(error).__name__)
    finally:
        request_finished.send(None)
"""


class Project(Process):
    def work(self, what: str, **options: Any) -> Any:
        self.ask(what=what, **options)
        message = self.hear()
        return message.get("error", message.get("result"))

    def visit(self, *slugs: str) -> list[int]:
        """The status codes that visitors of these tenants get."""
        return self.work("visit", slugs=slugs)


@pytest.fixture(scope="module")
def server() -> Iterator[servers.PostgresServer]:
    """One that nobody else uses; an option makes it private whatever the environment names."""
    server = servers.PostgresServer(16, max_connections=50)
    if not server.present:
        servers.absent(server.description())
    yield server
    server.discard()


@pytest.fixture
def project(server: servers.PostgresServer) -> Iterator[Project]:
    """A process of the test project whose placement "schema15" is on that server, running."""
    server.start()
    with Project(SCRIPT, TESTPROJECT_POSTGRES15=server.url("postgres")) as project:
        yield project
        server.start()
        project.work("visit", slugs=["accra"])
        for slug in ("accra", "kumasi"):
            if University.objects.filter(slug=slug).exists():
                assert project.work("drop", tenant=slug) is None


@pytest.mark.parametrize("stop", ["kill", "stop"])
def test_a_tenants_server_goes_and_comes_back(
    server: servers.PostgresServer, project: Project, stop: str
) -> None:
    assert project.work("create", slug="accra", placement="schema15") == "accra"
    assert project.work("create", slug="kumasi", placement="schema") == "kumasi"
    assert project.visit("accra", "kumasi") == [200, 200]
    getattr(server, stop)()
    assert project.visit("accra", "kumasi") == [500, 200]
    assert project.visit("accra", "kumasi") == [500, 200]
    server.start()
    assert project.visit("accra", "kumasi") == [200, 200]


def test_a_tenants_server_is_down_at_the_start(
    server: servers.PostgresServer, project: Project
) -> None:
    assert project.work("create", slug="accra", placement="schema15") == "accra"
    server.kill()
    with Project(SCRIPT, TESTPROJECT_POSTGRES15=server.url("postgres")) as late:
        assert late.visit("accra") == [500]
        server.start()
        assert late.visit("accra") == [200]


def test_nothing_is_created_on_a_server_that_is_down(
    server: servers.PostgresServer, project: Project
) -> None:
    server.kill()
    assert project.work("create", slug="accra", placement="schema15") == "OperationalError"
    assert not University.objects.exists()
    server.start()
    assert project.work("create", slug="accra", placement="schema15") == "accra"
    assert project.visit("accra") == [200]


@pytest.mark.parametrize("step", ["row", "home"])
def test_the_server_goes_while_a_tenant_is_migrated(
    server: servers.PostgresServer, step: str
) -> None:
    server.start()
    variables = {"TESTPROJECT_POSTGRES15": server.url("postgres"), "TESTPROJECT_MIGRATES": "1"}
    with Project(SCRIPT, **variables) as project:
        check_nobody_sees_it(server, project, step)
        server.start()
        project.work("visit", slugs=["accra"])
        assert project.work("drop", tenant="accra") is None


@pytest.mark.parametrize("step", ["row", "template"])
def test_the_server_goes_before_a_tenant_is_cloned(
    server: servers.PostgresServer, project: Project, step: str
) -> None:
    with psycopg.connect(server.url("postgres")) as connection:
        connection.execute("DROP SCHEMA IF EXISTS _template CASCADE")
    check_nobody_sees_it(server, project, step)


def check_nobody_sees_it(server: servers.PostgresServer, project: Project, step: str) -> None:
    project.ask(what="create", slug="accra", placement="schema15", stop_at=step)
    assert project.hear() == {"reached": step}
    server.kill()
    project.ask(go="on")
    assert project.hear() == {"error": "OperationalError"}
    assert not University.objects.visible().exists()


def test_a_drop_waits_for_a_server_that_is_down(
    server: servers.PostgresServer, project: Project
) -> None:
    assert project.work("create", slug="accra", placement="schema15") == "accra"
    server.kill()
    assert project.work("drop", tenant="accra") == "OperationalError"
    assert University.objects.get().status == Status.DROPPING
    assert project.work("expired") == []
    assert project.visit("accra") == [404]
    server.start()
    assert project.work("expired") == ["accra"]
    assert not University.objects.exists()


@pytest.mark.parametrize("stop", ["kill", "stop"])
def test_known_tenants_outlive_the_shared_server(stop: str, tmp_path: Path) -> None:
    """A tenant in a file is served on; whose home was on that server gets an error, not a hang."""
    server = servers.PostgresServer(18, max_connections=50)
    server.start()
    shared = {"TESTPROJECT_DEFAULT": server.url("postgres"), "TESTPROJECT_FILES": str(tmp_path)}
    with Project(SCRIPT, **shared) as project:
        project.work("migrate")
        assert project.work("create", slug="accra", placement="file") == "accra"
        assert project.work("create", slug="kumasi", placement="schema") == "kumasi"
        assert project.visit("accra", "kumasi", "unknown") == [200, 200, 404]
        getattr(server, stop)()
        for never_asked_for in ("one", "other"):
            slugs = ("accra", "kumasi", "unknown", never_asked_for)
            assert project.visit(*slugs) == [200, 500, 404, 500]
        server.start()
        assert project.visit("accra", "kumasi", "unknown", "one") == [200, 200, 404, 404]
    server.discard()
