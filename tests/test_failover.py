"""A primary and two replicas while visitors write and read: a replica that stops replaying, dies
and comes back; then the primary dies, and a replica takes its place.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from domicile.routing import readers_of
from domicile.rules import Apps, Replicas
from tests.databases import databases, make_database, migrate
from tests.forwarding import Forwarder
from tests.processes import eventually
from tests.replication import (
    LOGGING,
    MariaDBPrimary,
    MariaDBReplica,
    PostgresReplica,
    mariadb,
)
from tests.servers import MariaDBServer, PostgresServer, absent
from tests.visitors import Crowd, visiting

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

RULES = [
    Apps({"people": "users"}),
    Replicas("users", ["users_a", "users_b"], max_lag_seconds=2, max_lag_bytes=None, every=0.1),
]


class Cluster:
    """A primary and two replicas, and the settings by which a project knows them."""

    def __init__(self, primary: Any, replica_class: Any) -> None:
        self.primary = primary
        primary.start()
        self.settings = {
            **make_database(primary, "users"),
            "CONN_MAX_AGE": None,
            "CONN_HEALTH_CHECKS": True,
        }
        self.a, self.b = replica_class(primary), replica_class(primary)
        for replica in (self.a, self.b):
            replica.start()

    @property
    def databases(self) -> dict[str, Any]:
        """`users` finds the primary, the one there is or the one that replaces it."""
        return {
            "users": {**self.settings, **self.either()},
            "users_a": {**self.settings, **self.a.django_settings()},
            "users_b": {**self.settings, **self.b.django_settings()},
        }

    def either(self) -> dict[str, Any]:
        raise NotImplementedError

    def promote(self) -> None:
        """Put `a` in the place of the primary."""
        self.a.promote()
        self.b.follow(self.a)

    def discard(self) -> None:
        for server in (self.a, self.b, self.primary):
            server.discard()


class PostgresCluster(Cluster):
    """Its primary is found by libpq, which asks each host."""

    def __init__(self) -> None:
        super().__init__(PostgresServer(18, **LOGGING), PostgresReplica)

    def either(self) -> dict[str, Any]:
        servers = [self.primary, self.a]
        return {
            "HOST": ",".join("127.0.0.1" for _ in servers),
            "PORT": ",".join(str(server.port) for server in servers),
            "OPTIONS": {"target_session_attrs": "read-write", "connect_timeout": 2},
        }


class MariaDBCluster(Cluster):
    """Its primary has an address that moves."""

    def __init__(self) -> None:
        super().__init__(MariaDBPrimary(), MariaDBReplica)
        self.address = Forwarder(self.primary.port)
        self.address.__enter__()
        # `root` may write where `read_only` is on.
        mariadb(self.primary, "CREATE USER app")
        mariadb(self.primary, "GRANT ALL ON users.* TO app")
        mariadb(self.primary, "GRANT SLAVE MONITOR, BINLOG MONITOR ON *.* TO app")
        self.settings["USER"] = "app"

    @property
    def databases(self) -> dict[str, Any]:
        return {alias: {**each, "USER": "app"} for alias, each in super().databases.items()}

    def either(self) -> dict[str, Any]:
        return {"HOST": "127.0.0.1", "PORT": self.address.port}

    def promote(self) -> None:
        super().promote()
        self.address.move(self.a.port)

    def discard(self) -> None:
        self.address.__exit__()
        super().discard()


#: With connections that are kept, or one for each request.
CASES = {
    "postgresql, kept": (PostgresCluster, True),
    "postgresql": (PostgresCluster, False),
    "mariadb, kept": (MariaDBCluster, True),
}


@pytest.mark.parametrize("case", list(CASES))
def test_no_visitor_misses_what_they_wrote(case: str, django_db_setup: None) -> None:
    for server in (PostgresServer(18), MariaDBServer()):
        if not server.present:
            absent(server.description())
    make, persistent = CASES[case]
    with discarded(make()) as cluster, databases(cluster.databases, RULES):
        migrate("users")
        with visiting(4, persistent=persistent) as crowd:
            check_a_replica_comes_and_goes(cluster, crowd)
            check_promotion(cluster, crowd)


@contextmanager
def discarded(cluster: Cluster) -> Iterator[Cluster]:
    try:
        yield cluster
    finally:
        cluster.discard()


def check_a_replica_comes_and_goes(cluster: Cluster, crowd: Crowd) -> None:
    crowd.pass_by(20)
    eventually(lambda: served(crowd, 10) == {"users_a", "users_b"}, 60)
    cluster.a.pause()
    crowd.pass_by(20)
    eventually(lambda: served(crowd, 10) == {"users_b"}, 60)
    cluster.a.kill()
    crowd.pass_by(20)
    cluster.a.start()
    eventually(lambda: is_ready("users_a"))
    eventually(lambda: served(crowd, 10) == {"users_a", "users_b"}, 60)
    cluster.b.kill()
    eventually(lambda: served(crowd, 10) == {"users_a"}, 60)
    cluster.b.start()
    eventually(lambda: is_ready("users_b"))
    eventually(lambda: served(crowd, 10) == {"users_a", "users_b"}, 60)
    assert not crowd.missed
    assert not crowd.failed_reads
    assert not crowd.failed_writes


def check_promotion(cluster: Cluster, crowd: Crowd) -> None:
    with crowd.paused():  # What is not replicated yet would be lost, as it is without Domicile.
        cluster.a.catch_up()
        cluster.b.catch_up()
        cluster.primary.kill()
    eventually(lambda: crowd.failed_writes)
    cluster.promote()
    promoted = time.monotonic()
    eventually(lambda: is_ready("users_b"))
    eventually(lambda: served(crowd, 10) == {"users_b"}, 60)
    assert not crowd.missed
    assert not crowd.failed_reads
    late = [error for at, error in crowd.failed_writes if at > promoted + 2]
    assert not late


def served(crowd: Crowd, rounds: int) -> set[str]:
    """Who answers reads from now on, but for the primary, which does whenever it is needed."""
    before = len(crowd.served)
    crowd.pass_by(rounds)
    return set(crowd.served[before:]) - {"users"}


def is_ready(alias: str) -> bool:
    readers: Any = readers_of("users")
    return alias in {member.alias for member in readers.table.ready}
