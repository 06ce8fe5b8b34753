"""Checks of connections: each fault, and the number that says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connections
from django.test import override_settings

from domicile.checks.connections import connections_to
from tests.databases import databases, make_database
from tests.isolation.campus import Campus, campus  # noqa: F401
from tests.servers import require
from tests.tenants import domicile_settings

POOL = {"OPTIONS": {"pool": {"min_size": 2, "max_size": 30}}}
#: No tenants with a database of their own.
SCHEMAS = {"PLACEMENTS": {"schema": {"DATABASE": "default", "SCHEMA": "{slug}"}}}


@pytest.fixture(autouse=True)
def sites(campus: Campus) -> Iterator[None]:  # noqa: F811
    yield
    connections.close_all()


def lasting(**changes: Any) -> set[str]:
    with databases({"lasting": {**make_database("sqlite", "lasting"), **changes}}):
        return {message.id for message in run_checks(tags=["domicile"])} - {"domicile.W034"}


def test_lasting_connections() -> None:
    assert lasting() == set()
    assert lasting(CONN_MAX_AGE=60) == {"domicile.W061"}
    assert lasting(CONN_MAX_AGE=None) == {"domicile.W061"}
    assert lasting(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True) == set()
    assert lasting(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True, **POOL) == {"domicile.E062"}


@pytest.mark.parametrize("change", [{"PROCESSES": -1}, {"THREADS": "many"}])
def test_numbers(change: dict[str, Any]) -> None:
    with override_settings(DOMICILE=domicile_settings(**change)):
        assert "domicile.E018" in {message.id for message in run_checks(tags=["domicile"])}


def limits(*aliases: str) -> list[CheckMessage]:
    found = run_checks(tags=["database"], databases=list(aliases), include_deployment_checks=False)
    return [message for message in found if message.id == "domicile.W060"]


def test_pools_of_all_processes_fit_the_server() -> None:
    """It admits 197; see tests/servers.py."""
    pooled = {**make_database("default", "pooled"), **POOL}
    with databases({"pooled": pooled}, PROCESSES=6, **SCHEMAS):
        assert limits("default", "pooled") == []  # 6 times 30 + 1
    with databases({"pooled": pooled}, PROCESSES=7, **SCHEMAS):
        (found,) = limits("default", "pooled")
        assert "admits 197 connections, and 7 processes may open 217: 31 each" in found.msg
        assert "max_size" in found.hint
        assert limits("postgres15") == []
    with databases({"pooled": pooled}, **SCHEMAS):
        assert limits("default", "pooled") == []


def test_threads_and_tenants_count_too() -> None:
    require("mariadb")
    with override_settings(DOMICILE=domicile_settings(PROCESSES=1, THREADS=98)):
        assert len(limits("default")) == 1  # 98, and 100 for tenants with databases there.
        assert limits("mariadb") == []  # Its tenants have the session of their server.
    with override_settings(DOMICILE=domicile_settings(PROCESSES=1, THREADS=97)):
        assert limits("default") == []
    with override_settings(DOMICILE=domicile_settings(PROCESSES=2, THREADS=101)):
        assert len(limits("mariadb")) == 1


def test_a_cap_on_all_counts_instead() -> None:
    settings = connections["default"].settings_dict
    server = (settings["HOST"], str(settings["PORT"]))
    cap = {"MAX_CONNECTIONS": 20, "THREADS": 500, "PROCESSES": 1}
    with override_settings(DOMICILE=domicile_settings(**cap)):
        assert connections_to(server) == 520
    with override_settings(DOMICILE=domicile_settings(**cap, COUNT_ALL_CONNECTIONS=True)):
        assert connections_to(server) == 20


@pytest.mark.parametrize(("pool", "size"), [(True, 4), ({"min_size": 7}, 7), ({"max_size": 9}, 9)])
def test_what_a_pool_may_hold(pool: Any, size: int) -> None:
    pooled = {**make_database("sqlite", "lasting"), "HOST": "far", "OPTIONS": {"pool": pool}}
    with databases({"pooled": pooled}):
        assert connections_to(("far", "")) == size


def test_servers_that_do_not_answer_or_have_no_limit() -> None:
    gone = {**make_database("default", "pooled"), "PORT": 1}
    added = {"gone": gone, "file": make_database("sqlite", "lasting")}
    with databases(added, PROCESSES=1000, THREADS=1000):
        assert limits("gone", "file") == []
