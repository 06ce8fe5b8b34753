"""Pools, limits and what is told of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from django.db import close_old_connections, connections, transaction
from django.test import override_settings

import domicile
from domicile.backends.census import ConnectionStats, census
from domicile.backends.limits import open_connections
from domicile.exceptions import ConnectionLimitReached
from domicile.rules import Legacy
from tests.databases import databases, make_database
from tests.isolation.campus import (
    Campus,
    campus,  # noqa: F401
    enrol,
    homes,
    in_thread,
    in_threads,
    raw_server_connection,
)
from tests.processes import eventually
from tests.tenants import domicile_settings, tenant
from tests.testproject.students.models import Student

POOL = {"min_size": 0, "max_size": 2, "timeout": 0.3}


@contextmanager
def pooled(**pool: Any) -> Iterator[None]:
    """A database `pooled`, and a placement of schemas in it."""
    made = make_database("default", "pooled")
    made["OPTIONS"] = {"pool": {**POOL, **pool}}
    placements = {"pooled": {"DATABASE": "pooled", "SCHEMA": "{slug}"}}
    with databases({"pooled": made}, PLACEMENTS=placements):
        yield


@pytest.fixture(autouse=True)
def sites(campus: Campus) -> Iterator[None]:  # noqa: F811
    connections.close_all()
    yield
    for alias in domicile.added_databases():
        domicile.remove_database(alias, force=True)
    connections.close_all()


def stats_of(alias: str) -> ConnectionStats:
    connections[alias].ensure_connection()
    return next(stats for stats in domicile.connection_stats() if stats.alias == alias)


def backend(alias: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


# One pool for each database ----------------------------------------------------------------------


def test_tenants_share_their_databases_pool() -> None:
    with pooled(max_size=3, timeout=20), ExitStack() as stack:
        tenants = [
            stack.enter_context(tenant(f"pooled-{letter}", placement="pooled"))
            for letter in "abcdefgh"
        ]
        connections.close_all()
        pids = set()
        barrier = threading.Barrier(3)

        def work(part: list[Any]) -> None:
            barrier.wait(20)
            for one in part:
                enrol(one, "1")
                pids.add(backend(one.alias))
                assert homes(Student.objects.using(one.alias)) == [one.slug]
                connections.close_all()

        in_threads([lambda part=tenants[start::3]: work(part) for start in range(3)])
        assert len(pids) <= 3
        pool = stats_of("pooled").pool
        assert pool["pool_max"] == 3
        assert pool["pool_size"] <= 3
        connections.close_all()


def test_aliases_of_one_database_share_its_pool() -> None:
    with pooled():
        domicile.add_database("same", {"LIKE": "pooled", "CONN_HEALTH_CHECKS": False})
        elsewhere = {"LIKE": "pooled", "CONN_HEALTH_CHECKS": False, "TIME_ZONE": "Africa/Accra"}
        domicile.add_database("other", elsewhere)
        assert connections["same"].pool is connections["pooled"].pool
        assert connections["other"].pool is not connections["pooled"].pool
        pid = backend("same")
        connections.close_all()
        assert backend("pooled") == pid
        connections.close_all()


def test_an_alias_that_a_rule_names_has_a_pool_of_its_own() -> None:
    """The sessions of this one may only read."""
    made = make_database("default", "pooled")
    made["OPTIONS"] = {"pool": {**POOL, "max_size": 1}}
    rules = [Legacy("kept", apps=["customers"])]
    with databases({"kept": made, "pooled": dict(made)}, rules=rules):
        for alias, read_only in (("kept", "on"), ("pooled", "off")):
            with connections[alias].cursor() as cursor:
                cursor.execute("SHOW default_transaction_read_only")
                assert cursor.fetchone() == (read_only,)
            connections.close_all()
        connections["kept"].close_pool()


def test_a_pool_ends_with_the_last_alias_that_uses_it() -> None:
    with pooled():
        domicile.add_database("same", {"LIKE": "pooled", "CONN_HEALTH_CHECKS": False})
        domicile.add_database("other", {"LIKE": "pooled", "NAME": "test_domicile"})
        for alias in ("pooled", "same", "other"):
            backend(alias)
        kept, ended = connections["same"].pool, connections["other"].pool
        connections.close_all()
        for alias in ("same", "other"):
            domicile.remove_database(alias)
        close_old_connections()
        assert ended.closed
        assert not kept.closed
        assert backend("pooled")


def test_a_pool_ends_with_a_server_that_has_left() -> None:
    """As replicas do that a name stands for no more."""
    with pooled():
        domicile.add_database("same", {"LIKE": "pooled", "CONN_HEALTH_CHECKS": False})
        for alias in ("pooled", "same"):
            backend(alias)
        pool = connections["pooled"].pool
        census.expire("pooled")
        assert not pool.closed
        domicile.remove_database("same", force=True)
        close_old_connections()
        assert not pool.closed
        backend("pooled")
        census.expire("pooled")
        assert pool.closed
        close_old_connections()
        connections.close_all()


# Their limits ------------------------------------------------------------------------------------


def test_a_pool_that_has_nothing_left_says_so() -> None:
    with pooled(max_size=1):
        with transaction.atomic(using="pooled"):
            backend("pooled")
            with pytest.raises(ConnectionLimitReached, match="all 1 connections of its pool"):
                in_thread(backend, "pooled")
        connections["pooled"].close()
        assert in_thread(backend, "pooled")
        pool = stats_of("pooled").pool
        assert pool["requests_errors"] == 1
        connections.close_all()


def test_who_waits_is_seen_and_gets_what_is_given_back() -> None:
    with pooled(max_size=1, timeout=20):
        found: list[int] = []
        with transaction.atomic(using="pooled"):
            pid = backend("pooled")
            thread = threading.Thread(
                target=lambda: (found.append(backend("pooled")), connections.close_all())
            )
            thread.start()
            eventually(lambda: stats_of("pooled").pool["requests_waiting"] == 1)
            assert (stats_of("pooled").open, stats_of("pooled").in_use) == (1, 1)
        connections["pooled"].close()
        thread.join()
        assert found == [pid]


def test_a_server_that_is_gone_is_no_limit() -> None:
    made = make_database("default", "pooled")
    gone = {**made, "PORT": 1, "OPTIONS": {"pool": {**POOL, "timeout": 0.2}}}
    with databases({"gone": gone}):
        with pytest.raises(Exception, match="couldn't get a connection") as caught:
            connections["gone"].ensure_connection()
        assert not isinstance(caught.value, ConnectionLimitReached)
        connections.close_all()


# All connections of the process ------------------------------------------------------------------


@contextmanager
def capped(limit: int) -> Iterator[None]:
    added = {name: make_database("sqlite", name) for name in "abc"}
    settings = {"MAX_CONNECTIONS": limit, "CONNECTION_WAIT": 0.1, "COUNT_ALL_CONNECTIONS": True}
    with databases(added, **settings):
        try:
            yield
        finally:
            connections.close_all()


def opened() -> list[str]:
    return [name for name in "abc" if connections[name].connection is not None]


def test_the_cap_may_count_every_database() -> None:
    with capped(2):
        for name in "abc":
            connections[name].cursor().close()
        assert opened() == ["b", "c"]
        with (
            transaction.atomic(using="b"),
            transaction.atomic(using="c"),
            pytest.raises(ConnectionLimitReached, match="MAX_CONNECTIONS"),
        ):
            connections["a"].cursor()
        connections["a"].cursor().close()
        assert len(opened()) == 2


def test_who_waits_for_the_cap_is_counted() -> None:
    with (
        capped(1),
        override_settings(
            DOMICILE=domicile_settings(
                MAX_CONNECTIONS=1, CONNECTION_WAIT=20, COUNT_ALL_CONNECTIONS=True
            )
        ),
    ):
        with transaction.atomic(using="a"):
            connections["a"].cursor().close()
            thread = threading.Thread(
                target=lambda: (connections["b"].cursor(), connections.close_all())
            )
            thread.start()
            eventually(lambda: open_connections.stats()["waiting"] == 1)
        thread.join()
        assert open_connections.stats()["waiting"] == 0


# Persistent connections --------------------------------------------------------------------------

KILL = {
    "default": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({}, 5000)"),
    "mariadb": ("SELECT CONNECTION_ID()", "KILL {}"),
}


@pytest.mark.parametrize("server", list(KILL))
@pytest.mark.parametrize("kind", ["static", "added"])
def test_health_checks_find_a_connection_that_was_cut(server: str, kind: str) -> None:
    made = {**make_database(server, "lasting"), "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
    with databases({"lasting": made} if kind == "static" else {}):
        if kind == "added":
            domicile.add_database("lasting", made)
        number, kill = KILL[server]

        def ask() -> int:
            with connections["lasting"].cursor() as cursor:
                cursor.execute(number)
                return cursor.fetchone()[0]

        first = ask()
        close_old_connections()
        assert ask() == first
        sever(server, kill.format(first))
        close_old_connections()
        assert ask() != first
        connections.close_all()


def sever(server: str, statement: str) -> None:
    connection = raw_server_connection(server)
    try:
        with suppress(Exception), connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
