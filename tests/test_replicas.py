"""Reads on replicas of PostgreSQL: which are left out, come back, and what a reader notices."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, close_old_connections, connections, transaction
from django.db.models.expressions import RawSQL
from django.utils.connection import ConnectionDoesNotExist

from domicile import close_replicas
from domicile.exceptions import ReplicasExhausted
from domicile.replicas.sets import ReplicaSet, Share
from domicile.replicas.units import unit_of_work
from domicile.routing import primary_of, readers_of
from domicile.rules import Apps, Dns, Replicas
from tests import servers
from tests.databases import databases, make_database, migrate
from tests.names import answering
from tests.processes import Process, eventually
from tests.readers import monitors, ready, watched
from tests.replication import LOGGING, PostgresReplica
from tests.servers import PostgresServer
from tests.testproject.people.models import Person

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"every": 0.05, "max_lag_seconds": 0.3, "max_lag_bytes": 100_000}
#: The monitor looks once; what happens later is noticed by who reads.
ONCE = {**QUICK, "every": 1000}


class Cluster:
    """A primary and two replicas, with a database `users` that has the tables of people."""

    def __init__(self) -> None:
        self.primary = PostgresServer(18, **LOGGING)
        if not self.primary.present:
            servers.absent(self.primary.description())
        self.one, self.two = PostgresReplica(self.primary), PostgresReplica(self.primary)
        self.primary.start()
        self.settings = make_database(self.primary, "users")
        with self.rules():
            migrate("users")
            Person.objects.create(name="Ama")
        self.one.start()
        self.two.start()

    def at(self, server: PostgresServer, **changes: Any) -> dict[str, Any]:
        return {**self.settings, **server.django_settings(), **changes}

    @contextmanager
    def rules(self, *rules: Replicas, **settings: Any) -> Iterator[None]:
        added = {"users": self.settings, "one": self.at(self.one), "two": self.at(self.two)}
        with databases({**added, **settings}, rules=[Apps({"people": "users"}), *rules]):
            yield

    @contextmanager
    def replicated(self, settings: Any = None, **options: Any) -> Iterator[ReplicaSet]:
        """The set of a rule, all of whose replicas are well."""
        rule = Replicas("users", **{"members": ["one", "two"], **QUICK, **options})
        with self.rules(rule, **settings or {}):
            yield watched("users", *rule.members)

    def discard(self) -> None:
        for server in (self.one, self.two, self.primary):
            server.discard()


@pytest.fixture(scope="module")
def cluster(django_db_setup: None, django_db_blocker: Any) -> Iterator[Cluster]:
    with django_db_blocker.unblock():
        made = Cluster()
    yield made
    made.discard()


def troubles(replicas: ReplicaSet) -> dict[str, str]:
    return {member.alias: member.trouble for member in replicas.members}


def read() -> str:
    """Read in a unit of work of its own; return where."""
    with unit_of_work():
        return read_on()


def read_on() -> str:
    """Read in this unit of work; return where."""
    people = Person.objects.filter(name="Ama").values_list(RawSQL("inet_server_port()", ()))
    (port,) = people.get()
    assert str(port) in str(connections[people.db].settings_dict["PORT"]).split(",")
    return people.db


def reads(number: int = 8) -> set[str]:
    return {read() for _ in range(number)}


def grow(cluster: Cluster, kilobytes: int) -> None:
    with connections["users"].cursor() as cursor:
        for _ in range(kilobytes):
            cursor.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1024))")


@contextmanager
def paused(replica: PostgresReplica) -> Iterator[None]:
    replica.pause()
    try:
        yield
    finally:
        replica.resume()


def test_reads_go_to_replicas_and_writes_to_the_primary(cluster: Cluster) -> None:
    with cluster.replicated():
        assert reads() == {"one", "two"}
        with unit_of_work():
            assert read_on() in {"one", "two"}
            kofi = Person.objects.create(name="Kofi")
            assert read_on() == "users"
            kofi.delete()


def test_unit_of_work_keeps_to_one_replica(cluster: Cluster) -> None:
    with cluster.replicated(), unit_of_work():
        assert len({read_on() for _ in range(8)}) == 1


def test_atomic_reads_from_the_primary(cluster: Cluster) -> None:
    with cluster.replicated(), unit_of_work(), transaction.atomic(using="users"):
        assert read_on() == "users"


@pytest.mark.parametrize("policy", ["round_robin", "random", "weighted", "least_busy", "nearest"])
def test_policies_read_from_what_is_well(cluster: Cluster, policy: str) -> None:
    with cluster.replicated(policy=policy):
        assert reads(20) <= {"one", "two"}


def test_least_busy_alone_asks_how_busy_servers_are(cluster: Cluster) -> None:
    def is_counted(replicas: ReplicaSet) -> bool:
        return replicas.table.members["one"].state.running > 0

    with busy(cluster.one):
        with cluster.replicated(policy="least_busy") as replicas:
            eventually(lambda: is_counted(replicas))
        with cluster.replicated(policy="nearest") as replicas:
            assert not is_counted(replicas)


@contextmanager
def busy(replica: PostgresReplica) -> Iterator[None]:
    """A statement is at work there."""
    with psycopg.connect(replica.url("users"), autocommit=True) as connection:
        sleeping = threading.Thread(target=sleep, args=[connection])
        sleeping.start()
        yield
        connection.cancel()
        sleeping.join()


def sleep(connection: psycopg.Connection) -> None:
    with suppress(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(60)")


def test_replica_too_far_behind_is_left_out_and_comes_back(cluster: Cluster) -> None:
    with cluster.replicated() as replicas:
        with paused(cluster.one):
            grow(cluster, 200)
            eventually(lambda: ready(replicas) == {"two"})
            assert "s and 2" in troubles(replicas)["one"]
            assert reads() == {"two"}
        eventually(lambda: ready(replicas) == {"one", "two"})
        assert reads() == {"one", "two"}


def test_replica_behind_by_seconds_alone_is_well(cluster: Cluster) -> None:
    with cluster.replicated() as replicas, paused(cluster.one):
        grow(cluster, 10)

        def late() -> bool:
            state = replicas.table.members["one"].state
            return (state.lag_seconds or 0) > 0.5 and (state.lag_bytes or 0) > 10_000

        eventually(late)
        assert ready(replicas) == {"one", "two"}


def test_idle_replicas_are_well(cluster: Cluster) -> None:
    with cluster.replicated(max_lag_bytes=0) as replicas:
        asked = replicas.table.members["one"].measured_at + 2 * QUICK["max_lag_seconds"]
        eventually(lambda: replicas.table.members["one"].measured_at > asked)
        assert ready(replicas) == {"one", "two"}


def test_all_replicas_behind_leave_the_primary(cluster: Cluster) -> None:
    with cluster.replicated() as replicas, paused(cluster.one), paused(cluster.two):
        grow(cluster, 200)
        eventually(lambda: ready(replicas) == set())
        assert reads() == {"users"}


def test_reader_does_not_notice_that_a_replica_was_killed(cluster: Cluster) -> None:
    with cluster.replicated(**ONCE) as replicas:
        assert reads() == {"one", "two"}
        connections.close_all()
        cluster.one.kill()
        try:
            assert reads() == {"two"}
            assert "it failed: " in troubles(replicas)["one"]
        finally:
            cluster.one.start()


def test_reader_does_not_notice_that_its_idle_connection_was_cut(cluster: Cluster) -> None:
    kept = {"one": cluster.at(cluster.one, CONN_MAX_AGE=None)}
    with cluster.replicated(kept, **ONCE):
        assert reads() == {"one", "two"}
        cluster.one.kill()
        try:
            assert reads() == {"two"}
        finally:
            cluster.one.start()


def test_killed_replica_comes_back(cluster: Cluster) -> None:
    with cluster.replicated() as replicas:
        cluster.one.kill()
        eventually(lambda: ready(replicas) == {"two"})
        assert "it does not answer" in troubles(replicas)["one"]
        cluster.one.start()
        eventually(lambda: ready(replicas) == {"one", "two"})
        assert reads() == {"one", "two"}


def test_replica_that_failed_a_reader_comes_back_when_asked(cluster: Cluster) -> None:
    with cluster.replicated() as replicas:
        replicas.failed("one", DatabaseError("gone\nfor good"))
        assert troubles(replicas)["one"] == "it failed: gone"
        eventually(lambda: ready(replicas) == {"one", "two"})


def test_no_reader_waits_longer_than_stated_for_one_that_hangs(cluster: Cluster) -> None:
    with cluster.replicated(**ONCE, connect_seconds=2):
        connections.close_all()
        process = server_process(cluster.one)
        os.kill(process, signal.SIGSTOP)
        try:
            started = time.monotonic()
            assert reads(2) == {"two"}
            assert time.monotonic() - started < 3
            started = time.monotonic()
            assert reads() == {"two"}
            assert time.monotonic() - started < 1
        finally:
            os.kill(process, signal.SIGCONT)


def server_process(server: PostgresServer) -> int:
    assert server.process is not None
    return server.process.pid


def test_all_replicas_dead_leave_the_primary(cluster: Cluster) -> None:
    with cluster.replicated(**ONCE):
        connections.close_all()
        for server in (cluster.one, cluster.two):
            server.kill()
        try:
            assert reads() == {"users"}
        finally:
            for server in (cluster.one, cluster.two):
                server.start()


def test_replicas_serve_reads_while_the_primary_is_dead(cluster: Cluster) -> None:
    with cluster.replicated() as replicas:
        cluster.primary.kill()
        try:
            asked = replicas.table.members["one"].measured_at + 1
            eventually(lambda: replicas.table.members["one"].measured_at > asked)
            assert reads() <= {"one", "two"}
        finally:
            cluster.primary.start()


def test_measure_that_is_old_counts_no_more(cluster: Cluster) -> None:
    """As after the process was suspended, or while its monitor hangs."""
    with cluster.replicated(connect_seconds=0) as replicas:
        replicas.monitor.close()
        eventually(lambda: reads() == {"users"})


@pytest.mark.parametrize("alias", ["stranger", "itself"])
def test_member_that_is_no_replica_of_the_primary_is_refused(cluster: Cluster, alias: str) -> None:
    stranger = make_database("default", "replica_of_another")
    added = {"stranger": stranger, "itself": cluster.at(cluster.primary)}
    told = {"stranger": "it is of another cluster", "itself": "it is no replica"}
    with cluster.rules(Replicas("users", ["one", alias], **QUICK), **added):
        replicas = readers_of("users")
        assert isinstance(replicas, ReplicaSet)
        replicas.monitor.start()
        eventually(lambda: told[alias] in troubles(replicas)[alias])
        eventually(lambda: ready(replicas) == {"one"})
        assert reads() == {"one"}


def test_share_of_the_primary_is_limited(cluster: Cluster) -> None:
    with cluster.replicated(**ONCE, primary_share=0.1) as replicas:
        for alias in ("one", "two"):
            replicas.failed(alias, DatabaseError("dead"))
        outcomes = [outcome() for _ in range(100)]
        assert 5 <= outcomes.count("users") <= 15
        assert set(outcomes) == {"users", "refused"}
        replicas._share = Share(0.0)
        with pytest.raises(ReplicasExhausted, match=r"no more than 10%.*'one': it failed: dead"):
            read()


def outcome() -> str:
    try:
        return read()
    except ReplicasExhausted:
        return "refused"


def test_over_its_share_a_replica_that_is_behind_is_read(cluster: Cluster) -> None:
    with (
        cluster.replicated(primary_share=0.1) as replicas,
        paused(cluster.one),
        paused(cluster.two),
    ):
        grow(cluster, 200)
        eventually(lambda: ready(replicas) == set())
        found = [read() for _ in range(50)]
        assert 1 <= found.count("users") <= 10
        assert set(found) <= {"users", "one", "two"}


def test_limited_share_waits_for_the_first_answers(cluster: Cluster) -> None:
    rule = Replicas("users", ["one", "two"], **QUICK, primary_share=0)
    with cluster.rules(rule):
        assert reads() == {"one", "two"}


def test_begins_to_ask_when_it_is_read(cluster: Cluster) -> None:
    with cluster.rules(Replicas("users", ["one", "two"], **QUICK)):
        replicas = readers_of("users")
        assert isinstance(replicas, ReplicaSet)
        assert not monitors()
        assert read() in {"users", "one", "two"}
        eventually(lambda: ready(replicas) == {"one", "two"})
        assert monitors() == {f"domicile-monitor-{alias}" for alias in ("users", "one", "two")}
    eventually(lambda: not monitors())


def test_whoever_is_in_no_unit_of_work_finds_replicas_too(cluster: Cluster) -> None:
    with cluster.rules(Replicas("users", ["one", "two"], **QUICK)):
        here = Context()
        ports = Person.objects.values_list(RawSQL("inet_server_port()", ()), flat=True)
        assert here.run(ports.all().get) == cluster.primary.port
        eventually(lambda: here.run(ports.all().get) in {cluster.one.port, cluster.two.port})


def test_forked_child_asks_for_itself(cluster: Cluster) -> None:
    with cluster.replicated() as replicas:
        asked = replicas.table.members["one"].measured_at
        child = forked(lambda: bool(eventually(lambda: replicas_asked(replicas, after=asked))))
        assert child == 0
        asked = replicas.table.members["one"].measured_at
        eventually(lambda: replicas_asked(replicas, after=asked))
        assert ready(replicas) == {"one", "two"}


def replicas_asked(replicas: ReplicaSet, after: float) -> bool:
    replicas.monitor.start()
    return replicas.table.members["one"].measured_at > after + 0.5 and len(ready(replicas)) == 2


def forked(work: Callable[[], bool]) -> int:
    """Do it in a child; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        status = 0 if work() else 2
    finally:
        os._exit(status)


def test_replicas_are_found_by_name_and_drained(cluster: Cluster) -> None:
    ports = cluster.one.port, cluster.two.port
    one, two = (f"replica:users@db.test:{port}" for port in ports)
    service = "_postgresql._tcp.users.test"
    dns = Dns(service, srv=True, every=0.05, drain_seconds=0.5)
    rule = Replicas("users", discovery=dns, policy="weighted", **QUICK)

    def named(*weights: int) -> dict[str, list[str]]:
        found = [(weight, port) for weight, port in zip(weights, ports, strict=True) if weight]
        return {
            f"{service}. SRV": [f"0 {weight} {port} db.test." for weight, port in found],
            "db.test. A": ["127.0.0.1"],
        }

    with answering(named(1, 1)) as names, cluster.rules(rule):
        replicas = readers_of("users")
        assert isinstance(replicas, ReplicaSet)
        replicas.monitor.start()
        eventually(lambda: ready(replicas) == {one, two})
        eventually(lambda: reads() == {one, two})
        assert primary_of(one) == "users"
        names.records = named(60000, 1)
        eventually(lambda: replicas.table.members[one].weight == 60000)
        assert reads() == {one}
        with unit_of_work():
            assert read_on() == one
            kept = connections[one]
            kept.close_at = None  # As by CONN_MAX_AGE = None.
            names.records = named(0, 1)
            eventually(lambda: ready(replicas) == {two})
            assert read_on() == one
        assert reads() == {two}
        eventually(lambda: one not in dict(troubles(replicas)))
        assert primary_of(one) == "users"
        with pytest.raises(ConnectionDoesNotExist):
            _ = connections[one]
        assert kept.connection is not None
        close_old_connections()
        assert kept.connection is None
        asked = names.asked
        names.records = {"db.test. A": ["127.0.0.1"]}
        eventually(lambda: names.asked > asked + 2)
        assert reads() == {two}
        names.records = named(1, 1)
        eventually(lambda: ready(replicas) == {one, two})
        eventually(lambda: reads() == {one, two})


def test_closed_replicas_are_asked_no_more(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with cluster.replicated(), caplog.at_level(logging.INFO, "domicile.replicas"):
        assert reads() == {"one", "two"}
        close_replicas()
        eventually(lambda: not monitors())
        assert reads() == {"users"}
        assert not monitors()
    assert caplog.text == ""


#: What is registered first is done last, as where a script has started servers.
LEAVING = """
import atexit
atexit.register(lambda: (eventually(lambda: not monitors()), tell(monitors=sorted(monitors()))))
from domicile.routing import readers_of
from domicile.rules import Replicas
from tests.databases import databases
from tests.processes import eventually
from tests.readers import monitors
entered = databases(json.loads(sys.stdin.readline()), [Replicas("users", ["one"])])
entered.__enter__()
readers_of("users").monitor.start()
eventually(lambda: readers_of("users").table.ready)
tell(monitors=sorted(monitors()))
"""


def test_end_of_the_interpreter_closes_replicas(cluster: Cluster) -> None:
    with Process(LEAVING) as process:
        process.ask(users=cluster.settings, one=cluster.at(cluster.one))
        assert process.hear() == {"monitors": ["domicile-monitor-one", "domicile-monitor-users"]}
        assert process.hear() == {"monitors": []}


def test_promoted_replica_is_left_out_and_those_that_follow_it_come_back(db: None) -> None:
    cluster = Cluster()
    try:
        everywhere = cluster.at(
            cluster.primary,
            HOST="127.0.0.1,127.0.0.1",
            PORT=f"{cluster.primary.port},{cluster.one.port}",
            OPTIONS={"target_session_attrs": "read-write"},
        )
        with cluster.replicated({"users": everywhere}) as replicas:
            cluster.primary.kill()
            connections["users"].close()
            cluster.one.promote()
            eventually(lambda: "no replica" in troubles(replicas)["one"])
            cluster.two.follow(cluster.one)
            with unit_of_work():
                Person.objects.create(name="Kofi")
            eventually(lambda: ready(replicas) == {"two"})
            eventually(lambda: reads() == {"two"})
            identity = replicas.table.members["two"].state.identity
            assert identity is not None
            assert identity.timeline == 2
    finally:
        cluster.discard()


def test_choosing_again_costs_next_to_nothing(cluster: Cluster) -> None:
    with cluster.replicated() as replicas, unit_of_work():
        replicas.choose()
        times = []
        for _ in range(50):
            started = time.perf_counter()
            for _ in range(1000):
                replicas.choose()
            times.append(time.perf_counter() - started)
        assert min(times) / 1000 < 2e-6
