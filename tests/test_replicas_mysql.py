"""Reads on replicas of MariaDB, by GTID."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connections
from django.db.utils import load_backend

from domicile.backends.replication import Position, replication_of
from domicile.connections import configured
from domicile.replicas.sets import ReplicaSet
from domicile.replicas.units import unit_of_work
from domicile.routing import readers_of
from domicile.rules import Apps, Replicas
from tests import servers
from tests.databases import databases, make_database, migrate
from tests.processes import eventually
from tests.readers import ready, watched
from tests.replication import MariaDBPrimary, MariaDBReplica, mariadb
from tests.testproject.people.models import Person

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"every": 0.05, "max_lag_seconds": 1, "max_lag_bytes": 0}


class Cluster:
    """A primary and two replicas, with a database `users` that has the tables of people."""

    def __init__(self) -> None:
        self.primary = MariaDBPrimary()
        if not self.primary.present:
            servers.absent(self.primary.description())
        self.one, self.two = MariaDBReplica(self.primary), MariaDBReplica(self.primary)
        self.primary.start()
        self.settings = make_database(self.primary, "users")
        # Root may write to a replica, and may ask for anything.
        mariadb(self.primary, "CREATE USER app@'127.0.0.1'")
        mariadb(self.primary, "GRANT ALL ON users.* TO app@'127.0.0.1'")
        mariadb(self.primary, "GRANT SLAVE MONITOR ON *.* TO app@'127.0.0.1'")
        with self.rules():
            migrate("users")
            Person.objects.create(name="Ama")
        for replica in (self.one, self.two):
            replica.start()
            replica.catch_up()

    def at(self, server: servers.Server, **changes: Any) -> dict[str, Any]:
        return {**self.settings, **server.django_settings(), "USER": "app", **changes}

    @contextmanager
    def rules(self, *rules: Replicas, **settings: Any) -> Iterator[None]:
        added = {alias: self.at(getattr(self, alias)) for alias in ("one", "two")}
        added = {"users": self.at(self.primary), **added, **settings}
        with databases(added, rules=[Apps({"people": "users"}), *rules]):
            yield

    @contextmanager
    def replicated(self, settings: Any = None, **options: Any) -> Iterator[ReplicaSet]:
        """The set of a rule, all of whose replicas are well."""
        rule = Replicas("users", **{"members": ["one", "two"], **QUICK, **options})
        with self.rules(rule, **settings or {}):
            yield watched("users", *rule.members)


@pytest.fixture(scope="module")
def cluster(django_db_setup: None, django_db_blocker: Any) -> Iterator[Cluster]:
    with django_db_blocker.unblock():
        made = Cluster()
    yield made
    for server in (made.one, made.two, made.primary):
        server.discard()


@pytest.fixture(params=["domicile.backends.mysql", "django.db.backends.mysql"])
def pair(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Any]:
    """Connections to a primary and its replica, by our engine and by Django's."""
    with (
        closing(wrapper(cluster.at(cluster.primary, ENGINE=request.param))) as first,
        closing(wrapper(cluster.at(cluster.one, ENGINE=request.param))) as second,
    ):
        yield first, second


def wrapper(settings: Any) -> Any:
    return load_backend(settings["ENGINE"]).DatabaseWrapper(configured(settings), "there")


def execute(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def read() -> str:
    """Read in a unit of work of its own; return where."""
    with unit_of_work():
        people = Person.objects.filter(name="Ama")
        assert people.get().name == "Ama"
        return people.db


def reads(number: int = 8) -> set[str]:
    return {read() for _ in range(number)}


def test_primary_and_replica_are_one_cluster(pair: Any) -> None:
    primary, follower = (replication_of(one).identity() for one in pair)
    assert (primary.is_replica, follower.is_replica) == (False, True)
    assert primary.cluster == follower.cluster


def test_replica_has_what_it_was_waited_for(pair: Any) -> None:
    primary, follower = pair
    execute(primary, "CREATE OR REPLACE TABLE waited (n int)")
    for n in range(20):
        execute(primary, f"INSERT INTO waited VALUES ({n})")
        position = replication_of(primary).position()
        assert replication_of(follower).wait_for(position, 5000)
        assert execute(follower, "SELECT max(n) FROM waited") == n


def test_wait_ends_when_its_time_is_over(pair: Any, cluster: Cluster) -> None:
    primary, follower = pair
    cluster.one.pause()
    try:
        execute(primary, "CREATE OR REPLACE TABLE late (n int)")
        position = replication_of(primary).position()
        assert not replication_of(follower).wait_for(position, 50)
        state = replication_of(follower).state(position)
        assert (state.alive, state.trouble, state.lag_bytes) == (True, "", None)
        # On a primary MASTER_GTID_WAIT would wait in vain.
        assert replication_of(primary).wait_for(position, 50)
        further = Position(position.cluster, 0, "0-1-999999")
        assert not replication_of(primary).wait_for(further, 50)
    finally:
        cluster.one.resume()
    assert replication_of(follower).wait_for(position, 5000)


def test_write_on_a_replica_is_told_from_other_errors(pair: Any) -> None:
    _, follower = pair
    with pytest.raises(DatabaseError) as raised:
        execute(follower, "INSERT INTO people_person (name) VALUES ('Kofi')")
    assert replication_of(follower).is_read_only_error(raised.value)
    with pytest.raises(DatabaseError) as raised:
        execute(follower, "SELECT * FROM nowhere")
    assert not replication_of(follower).is_read_only_error(raised.value)
    assert not replication_of(follower).is_conflict(raised.value)


def test_time_outs_are_those_of_the_options_or_else_the_rules(pair: Any) -> None:
    bounded = replication_of(pair[0]).bounded
    assert bounded({}, 3) == {"connect_timeout": 3}
    assert bounded({"connect_timeout": 9}, 0.2) == {"connect_timeout": 9}
    assert bounded({}, 0.2) == {"connect_timeout": 1}


def test_reads_go_to_replicas_and_writes_to_the_primary(cluster: Cluster) -> None:
    with cluster.replicated():
        assert reads() == {"one", "two"}
        with unit_of_work():
            Person.objects.create(name="Kofi").delete()
            assert Person.objects.all().db == "users"


def test_replica_behind_is_left_out_and_comes_back(cluster: Cluster) -> None:
    with cluster.replicated() as replicas:
        cluster.one.pause()
        try:
            with connections["users"].cursor() as cursor:
                cursor.execute("CREATE OR REPLACE TABLE behind (n int)")
            eventually(lambda: ready(replicas) == {"two"})
            assert "s behind" in replicas.table.members["one"].trouble
            assert reads() == {"two"}
        finally:
            cluster.one.resume()
        eventually(lambda: ready(replicas) == {"one", "two"})


def test_replica_that_replays_no_more_is_left_out_at_once(cluster: Cluster) -> None:
    """It does not say how far behind it is: `Seconds_Behind_Master` is NULL."""
    with cluster.replicated(max_lag_seconds=1000) as replicas:
        cluster.one.break_off()
        try:
            eventually(lambda: ready(replicas) == {"two"})
            assert "it does not replay" in replicas.table.members["one"].trouble
        finally:
            cluster.one.go_on()
        eventually(lambda: ready(replicas) == {"one", "two"})


def test_reader_does_not_notice_that_a_replica_was_killed(cluster: Cluster) -> None:
    kept = {"one": cluster.at(cluster.one, CONN_MAX_AGE=None)}
    with cluster.replicated(kept, every=1000) as replicas:
        assert reads() == {"one", "two"}
        cluster.one.kill()
        try:
            assert reads() == {"two"}
            assert "it failed: " in replicas.table.members["one"].trouble
        finally:
            cluster.one.start()


def test_killed_replica_comes_back(cluster: Cluster) -> None:
    with cluster.replicated() as replicas:
        cluster.one.kill()
        eventually(lambda: ready(replicas) == {"two"})
        cluster.one.start()
        eventually(lambda: ready(replicas) == {"one", "two"})
        assert reads() == {"one", "two"}


def test_replica_of_another_primary_is_refused(cluster: Cluster) -> None:
    other = MariaDBReplica(MariaDBPrimary())
    other.start()
    make_database(other.primary, "users")
    stranger = cluster.at(other, USER="root")
    with cluster.rules(Replicas("users", ["one", "stranger"], **QUICK), stranger=stranger):
        replicas = readers_of("users")
        assert isinstance(replicas, ReplicaSet)
        replicas.monitor.start()
        eventually(lambda: "of another cluster" in replicas.table.members["stranger"].trouble)
        eventually(lambda: ready(replicas) == {"one"})
    other.discard()
    other.primary.discard()


def test_account_without_the_right_to_ask_leaves_the_replica_out(cluster: Cluster) -> None:
    mariadb(cluster.primary, "CREATE USER IF NOT EXISTS poor@'127.0.0.1'")
    mariadb(cluster.primary, "GRANT SELECT ON users.* TO poor@'127.0.0.1'")
    cluster.one.catch_up()
    poor = {"one": cluster.at(cluster.one, USER="poor")}
    with cluster.rules(Replicas("users", ["one", "two"], **QUICK), **poor):
        replicas = readers_of("users")
        assert isinstance(replicas, ReplicaSet)
        replicas.monitor.start()
        eventually(lambda: "SLAVE MONITOR" in replicas.table.members["one"].trouble)


def test_promoted_replica_is_another_cluster() -> None:
    """What was written before is not waited for, and who follows the old primary is left out."""
    cluster = Cluster()
    cluster.two.catch_up()
    cluster.primary.kill()
    cluster.one.promote()
    with cluster.rules(Replicas("users", ["two"], **QUICK), users=cluster.at(cluster.one)):
        replicas = readers_of("users")
        assert isinstance(replicas, ReplicaSet)
        replicas.monitor.start()
        eventually(lambda: "of another cluster" in replicas.table.members["two"].trouble)
        cluster.two.follow(cluster.one)
        with unit_of_work():
            Person.objects.create(name="Kofi")
        eventually(lambda: ready(replicas) == {"two"})
        eventually(lambda: reads() == {"two"})
    for server in (cluster.one, cluster.two, cluster.primary):
        server.discard()


def test_position_has_what_other_sessions_wrote(cluster: Cluster) -> None:
    """A unit of work may write by several, as tenants with databases of their own do."""
    with (
        closing(wrapper(cluster.at(cluster.primary))) as one,
        closing(wrapper(cluster.at(cluster.primary))) as other,
    ):
        execute(one, "INSERT INTO people_person (name) VALUES ('Esi')")
        before = replication_of(one).position()
        execute(other, "DELETE FROM people_person WHERE name = 'Esi'")
        after = replication_of(one).position()
        assert after.reaches(before)
        assert not before.reaches(after)
