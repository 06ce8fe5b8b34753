from __future__ import annotations

import os

import pytest
from django.conf import settings

from tests import servers

# Helpers that assert what tests are about: a failure shows what differs, as in the tests.
pytest.register_assert_rewrite(
    "tests.browsing", "tests.cases", "tests.processes", "tests.replaying"
)

# Where a placement of the test project has its homes; a file needs no server.
PLACEMENT_DATABASES = {
    "schema": "default",
    "database": "default",
    "schema15": "postgres15",
    "mariadb": "mariadb",
    "file": None,
}


def pytest_configure(config: pytest.Config) -> None:
    if _only_distributes(config):
        return
    # Environment variables, so that a process started by a test finds the same databases.
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.testproject.settings"
    os.environ["TESTPROJECT_FILES"] = str(servers.folder())
    for alias, server in servers.static().items():
        if server.present:
            os.environ[f"TESTPROJECT_{alias.upper()}"] = server.url("test_domicile")
    # pytest-django sets up what it finds configured.
    _ = settings.DATABASES


def _only_distributes(config: pytest.Config) -> bool:
    """Whether this is the process that hands tests to xdist's workers, each with its servers."""
    return bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")


def pytest_report_header() -> list[str]:
    lines = [server.description() for server in servers.static().values()]
    return [f"servers: {', '.join(lines)}"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_tox_suffix: None) -> None:
    """Starts the servers when the first test that needs a database needs it."""
    servers.require("default")
    for server in servers.static().values():
        if server.present:
            server.start()


@pytest.fixture(autouse=True)
def no_unit_of_work() -> None:
    """What a test reads and writes outside any is not known to the next one."""
    from domicile.replicas.reading import innermost

    innermost.set(None)


@pytest.fixture(params=list(PLACEMENT_DATABASES))
def placement(request: pytest.FixtureRequest) -> str:
    """The name of a placement: the test runs once for each."""
    alias = PLACEMENT_DATABASES[request.param]
    if alias is not None:
        servers.require(alias)
    return request.param
