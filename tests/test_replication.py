"""What engines tell of a server's place in its cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.utils import load_backend

from domicile.backends.replication import Position, Replication, replication_of, streams
from domicile.connections import configured
from domicile.exceptions import NotSupported
from tests import servers
from tests.processes import eventually
from tests.replication import LOGGING, PostgresReplica, postgres
from tests.servers import PostgresServer

DJANGOS = "django.db.backends.postgresql"


def wrapper(server: servers.Server, name: str = "postgres", **settings: Any) -> Any:
    """A connection that belongs to the test alone."""
    given = {"ENGINE": "domicile.backends.postgresql", **server.django_settings(), "NAME": name}
    complete = configured({**given, **settings})
    return load_backend(complete["ENGINE"]).DatabaseWrapper(complete, "there")


def at(text: str, timeline: int = 1, cluster: str = "7") -> Position:
    return Position(cluster, timeline, text)


@pytest.mark.parametrize(
    ("one", "other", "reaches"),
    [
        (at("0/3000148"), at("0/3000148"), True),
        (at("0/3000150"), at("0/3000148"), True),
        (at("0/3000148"), at("0/3000150"), False),
        (at("1/0"), at("0/FFFFFFFF"), True),
        (at("0/FFFFFFFF"), at("1/0"), False),
        # Another cluster's log has nothing to do with this one's.
        (at("0/9", cluster="8"), at("0/3"), False),
        # Who follows the time-line from before a promotion may have other records there.
        (at("0/9", timeline=1), at("0/3", timeline=2), False),
        (at("0/9", timeline=2), at("0/3", timeline=1), True),
        (at("0-1-270"), at("0-2-269"), True),
        (at("0-1-9,1-1-12"), at("0-1-10"), False),
        (at("0-1-10"), at("0-1-9,1-1-12"), False),
        (at("0-1-10,1-1-12"), at("1-1-12"), True),
        (at(""), at("0-1-1"), False),
        (at("0-1-1"), at(""), True),
    ],
)
def test_position_reaches_another(one: Position, other: Position, reaches: bool) -> None:
    assert one.reaches(other) is reaches


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        (at("0/3"), at("0/9"), at("0/9")),
        (at("0/9"), at("0/3"), at("0/9")),
        (at("0/9"), at("0/3", timeline=2), at("0/3", timeline=2)),
        (at("0/3", timeline=2), at("0/9"), at("0/3", timeline=2)),
        (at("0/9"), at("0/3", cluster="8"), at("0/3", cluster="8")),
    ],
)
def test_positions_merge_to_the_later(one: Position, other: Position, merged: Position) -> None:
    assert one.merged(other) == merged


def test_what_reaches_a_merged_position_reaches_both() -> None:
    one, other = at("0-1-9,1-1-12"), at("0-2-10,1-1-3,2-1-1")
    merged = one.merged(other)
    assert streams(merged.text) == {"0": 10, "1": 12, "2": 1}
    assert merged.reaches(one)
    assert merged.reaches(other)


def test_position_survives_a_journey() -> None:
    for position in (at("0/3000148", timeline=3), at("0-1-9,1-1-12", cluster="0@1")):
        assert Position.loads(position.dumps()) == position


@pytest.mark.parametrize("text", ["", "7", "7 1", "7 1 0/3 x", "7 x 0/3", "7 1 somewhere", "7 1 /"])
def test_no_position_is_read_from_something_else(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        Position.loads(text)


def test_sqlite_has_no_replicas() -> None:
    engine = load_backend("domicile.backends.sqlite3").DatabaseWrapper
    connection = engine(configured({"ENGINE": "domicile.backends.sqlite3", "NAME": ":memory:"}), "")
    assert type(replication_of(connection)) is Replication
    with pytest.raises(NotSupported, match=r"SQLite has no replicas.*PostgreSQL or MariaDB"):
        replication_of(connection).position()


@pytest.fixture(scope="module")
def replica() -> Iterator[PostgresReplica]:
    primary = PostgresServer(18, **LOGGING)
    if not primary.present:
        servers.absent(primary.description())
    # A replay that is in the way of a read ends the read at once.
    follower = PostgresReplica(primary, max_standby_streaming_delay=0)
    follower.start()
    yield follower
    follower.discard()
    primary.discard()


@pytest.fixture(params=["domicile.backends.postgresql", DJANGOS])
def pair(request: pytest.FixtureRequest, replica: PostgresReplica, db: None) -> Iterator[Any]:
    """Connections to a primary and its replica, by our engine and by Django's."""
    with (
        closing(wrapper(replica.primary, ENGINE=request.param)) as first,
        closing(wrapper(replica, ENGINE=request.param)) as second,
    ):
        yield first, second


def test_primary_and_replica_are_one_cluster(pair: Any) -> None:
    primary, follower = (replication_of(one).identity() for one in pair)
    assert (primary.is_replica, follower.is_replica) == (False, True)
    assert (primary.cluster, primary.timeline) == (follower.cluster, follower.timeline)


def test_replica_has_what_it_was_waited_for(pair: Any) -> None:
    primary, follower = pair
    execute(primary, "DROP TABLE IF EXISTS waited; CREATE TABLE waited (n int)")
    # With it off, the plain position is from before the commit.
    execute(primary, "SET synchronous_commit = off")
    for n in range(20):
        execute(primary, f"INSERT INTO waited VALUES ({n})")
        position = replication_of(primary).position()
        assert replication_of(follower).wait_for(position, 5000)
        assert execute(follower, "SELECT max(n) FROM waited") == n


def test_wait_ends_when_its_time_is_over(pair: Any, replica: PostgresReplica) -> None:
    primary, follower = pair
    replica.pause()
    try:
        execute(primary, "SELECT pg_logical_emit_message(false, 'x', repeat('x', 5000))")
        position = replication_of(primary).position()
        assert not replication_of(follower).wait_for(position, 50)
        assert replication_of(follower).state(position).lag_bytes > 5000
        assert replication_of(primary).wait_for(position, 50)
    finally:
        replica.resume()
    assert replication_of(follower).wait_for(position, 5000)


def test_position_at_the_start_of_a_page_is_reached(pair: Any) -> None:
    """There the primary is past a header, and the replica stops before it."""
    primary, follower = pair
    execute(primary, "SELECT pg_switch_wal()")
    position = replication_of(primary).position()
    assert streams(position.text)[""] % 8192 == 0
    assert replication_of(follower).wait_for(position, 5000)
    assert replication_of(follower).state(position).lag_bytes == 0


def test_idle_replica_is_not_behind(pair: Any, replica: PostgresReplica) -> None:
    primary, follower = pair
    replica.catch_up()
    state = replication_of(follower).state(replication_of(primary).position())
    assert (state.lag_bytes, state.lag_seconds) == (0, 0.0)
    assert state.latency_ms > 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO written VALUES (1)",
        "SELECT * FROM written FOR UPDATE",
        "CREATE TEMP TABLE t ()",
    ],
)
def test_replica_refuses_what_only_a_primary_can_do(pair: Any, statement: str) -> None:
    primary, follower = pair
    execute(primary, "CREATE TABLE IF NOT EXISTS written (n int)")
    replication_of(follower).wait_for(replication_of(primary).position(), 5000)
    with pytest.raises(DatabaseError) as raised:
        execute(follower, statement)
    assert replication_of(follower).is_read_only_error(raised.value)
    assert not replication_of(follower).is_conflict(raised.value)


def test_other_errors_are_neither(pair: Any) -> None:
    with pytest.raises(DatabaseError) as raised:
        execute(pair[1], "SELECT * FROM nowhere")
    assert not replication_of(pair[1]).is_read_only_error(raised.value)
    assert not replication_of(pair[1]).is_conflict(raised.value)


def test_replay_that_is_in_the_way_ends_a_read(pair: Any, replica: PostgresReplica) -> None:
    primary, follower = pair
    execute(primary, "DROP TABLE IF EXISTS rows; CREATE TABLE rows AS SELECT generate_series(1, 9)")
    replica.catch_up()
    execute(follower, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rows")
    execute(primary, "DELETE FROM rows")
    execute(primary, "VACUUM rows")

    def conflict() -> BaseException | None:
        try:
            execute(follower, "SELECT count(*) FROM rows")
        except DatabaseError as error:
            return error
        return None

    assert replication_of(follower).is_conflict(eventually(conflict))


def test_account_without_rights_measures(pair: Any, replica: PostgresReplica) -> None:
    postgres(replica.primary, "DROP ROLE IF EXISTS nobody_much")
    postgres(replica.primary, "CREATE ROLE nobody_much LOGIN")
    replica.catch_up()
    with closing(wrapper(replica, USER="nobody_much")) as connection:
        state = replication_of(connection).state(replication_of(pair[0]).position())
    assert state.identity == replication_of(pair[1]).identity()
    assert state.lag_bytes == 0


def test_killed_server_is_noticed_without_a_question(replica: PostgresReplica, db: None) -> None:
    with closing(wrapper(replica)) as connection:
        assert not replication_of(connection).is_cut_off()  # Not connected.
        execute(connection, "SELECT 1")
        assert not replication_of(connection).is_cut_off()
        replica.kill()
        try:
            assert eventually(replication_of(connection).is_cut_off)
        finally:
            replica.start()


def test_connection_that_says_something_unasked_is_not_dead(pair: Any) -> None:
    primary, _ = pair
    execute(primary, "LISTEN something")
    with closing(wrapper_like(primary)) as other:
        execute(other, "NOTIFY something")
    assert not replication_of(primary).is_cut_off()


def test_time_outs_are_those_of_the_options_or_else_the_rules() -> None:
    bounded = replication_of(wrapper(servers.static()["default"])).bounded
    assert bounded({}, 3) == {"connect_timeout": 3, "tcp_user_timeout": 3000}
    assert bounded({"connect_timeout": 9}, 3)["connect_timeout"] == 9
    assert bounded({"pool": True}, 3)["pool"] == {"timeout": 3}
    assert bounded({"pool": {"timeout": 7, "max_size": 2}}, 3)["pool"]["timeout"] == 7


def execute(connection: Any, sql: str) -> Any:
    """Do it; return the first column of the first row, if there are rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def wrapper_like(connection: Any) -> Any:
    settings = connection.settings_dict
    return load_backend(settings["ENGINE"]).DatabaseWrapper(settings, "other")
