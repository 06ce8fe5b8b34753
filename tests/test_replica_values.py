"""Which replica is well and which is chosen, decided without a server."""

from __future__ import annotations

import random
import socket
from collections import Counter
from typing import Any

import pytest
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from domicile.backends.replication import Identity, Position, State
from domicile.replicas.discovery import Address, Finder
from domicile.replicas.members import Member, Table
from domicile.replicas.monitor import Repeating, Trail
from domicile.replicas.policies import POLICIES, Policy, policy_of
from domicile.replicas.sets import ReplicaSet, Share
from domicile.rules import Dns, Replicas
from tests.databases import databases

SQLITE = {"ENGINE": "domicile.backends.sqlite3", "NAME": ":memory:"}
POSTGRES = {"ENGINE": "domicile.backends.postgresql", "NAME": "a"}
MYSQL = {"ENGINE": "domicile.backends.mysql", "NAME": "a"}
PRIMARY = Identity("7", 1, is_replica=False)
WELL = State(alive=True, identity=Identity("7", 1, is_replica=True), lag_seconds=0, lag_bytes=0)
RULE = Replicas("users", ["one", "two"], max_lag_seconds=5, max_lag_bytes=1000)


def trouble(state: State, primary: Identity | None = PRIMARY, rule: Replicas = RULE) -> str:
    return Member("one", "users").asked(state, 1.0).judged(primary, rule).trouble


def state(**changes: Any) -> State:
    return State(**{**vars(WELL), **changes})


@pytest.mark.parametrize(
    ("seconds", "lag_bytes", "well"),
    [
        (0, 0, True),
        (5, 1000, True),
        (3600, 0, True),  # Idle.
        (0, 10**9, True),
        (5.1, 1001, False),
        (None, 1001, False),
        (5.1, None, False),
        (None, None, False),
        (4, None, True),
    ],
)
def test_seconds_or_bytes_within_bounds_are_well(
    seconds: float | None, lag_bytes: int | None, well: bool
) -> None:
    found = trouble(state(lag_seconds=seconds, lag_bytes=lag_bytes))
    assert (found == "") is well
    assert not found or "behind" in found


def test_only_declared_bounds_count() -> None:
    late = state(lag_seconds=99, lag_bytes=0)
    assert trouble(late, rule=Replicas("users", ["one"], max_lag_bytes=None))
    assert not trouble(late, rule=Replicas("users", ["one"], max_lag_seconds=None))
    unbounded = Replicas("users", ["one"], max_lag_seconds=None, max_lag_bytes=None)
    assert not trouble(state(lag_seconds=None, lag_bytes=None), rule=unbounded)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (State(alive=False, trouble="it does not answer"), "it does not answer"),
        (state(identity=Identity("8", 1, is_replica=True)), "of another cluster: 8, not 7"),
        (state(identity=Identity("7", 1, is_replica=False)), "no replica"),
        (state(identity=Identity("7", 2, is_replica=True)), "on time-line 2, the primary on 1"),
        (state(trouble="it does not replay"), "it does not replay"),
    ],
)
def test_nobody_reads_from_what_is_no_replica_of_this_primary(found: State, told: str) -> None:
    member = Member("one", "users").asked(found, 1.0).judged(PRIMARY, RULE)
    assert told in member.trouble
    assert not member.usable


def test_replica_is_left_out_until_the_primary_was_seen() -> None:
    assert "the primary was not seen yet" in trouble(WELL, primary=None)


def test_replica_that_is_behind_is_usable_and_not_ready() -> None:
    behind = state(lag_seconds=60, lag_bytes=10**9)
    member = Member("one", "users").asked(behind, 1.0).judged(PRIMARY, RULE)
    table = Table({"one": member})
    assert table.usable == {"one"}
    assert table.ready == ()
    assert member.trouble == "it is 60.0 s and 1,000,000,000 bytes behind"


def test_latency_is_smoothed_and_not_that_of_a_time_out() -> None:
    member = Member("one", "users").asked(state(latency_ms=10.0), 1.0)
    assert member.latency_ms == 10.0
    assert 10 < member.asked(state(latency_ms=20.0), 2.0).latency_ms < 20
    assert member.asked(State(alive=False), 2.0).latency_ms == 10.0


def members(**latencies: float) -> list[Member]:
    return [
        Member(alias, "users", state=WELL, latency_ms=latency, measured_at=1.0)
        for alias, latency in latencies.items()
    ]


def picks(policy: str, ready: list[Member], number: int = 600) -> Counter[str]:
    chosen = policy_of(policy)
    return Counter(chosen.pick(ready).alias for _ in range(number))


@pytest.mark.parametrize("policy", ["round_robin", "least_busy"])
def test_replicas_share_reads_evenly(policy: str) -> None:
    assert picks(policy, members(one=1, two=1, three=1)) == {"one": 200, "two": 200, "three": 200}


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_knows_what_to_do_with_one(policy: str) -> None:
    assert picks(policy, members(one=1), 3) == {"one": 3}


def test_random_picks_any() -> None:
    random.seed(1)
    assert min(picks("random", members(one=1, two=1, three=1)).values()) > 150


def test_weights_count() -> None:
    random.seed(1)
    ready = [
        Member("small", "users", weight=1),
        Member("big", "users", weight=5),
        Member("spare", "users", weight=0),
    ]
    found = picks("weighted", ready)
    assert found["spare"] == 0
    assert 3.5 < found["big"] / found["small"] < 7
    assert picks("weighted", ready[2:], 3) == {"spare": 3}


def test_least_busy_gives_the_busy_one_less() -> None:
    busy = Member("busy", "users", state=state(running=100), measured_at=1.0)
    assert picks("least_busy", [busy, *members(idle=1)], 300) == {"idle": 200, "busy": 100}


def test_least_busy_counts_anew_when_it_has_asked() -> None:
    policy = policy_of("least_busy")
    before = members(one=1)
    for _ in range(50):
        policy.pick(before)
    after = [Member("one", "users", state=WELL, measured_at=2.0), *members(two=1)]
    assert Counter(policy.pick(after).alias for _ in range(10)) == {"one": 5, "two": 5}


def test_nearest_picks_among_those_that_are_as_near() -> None:
    found = picks("nearest", members(far=9.0, near=0.4, beside=1.1))
    assert set(found) == {"near", "beside"}


def test_project_brings_its_own_policy() -> None:
    class First(Policy):
        def pick(self, ready: Any) -> Member:
            return ready[0]

    assert policy_of(First).pick(members(one=1, two=1)).alias == "one"


def at(place: int, timeline: int = 1) -> Position:
    return Position("7", timeline, f"0/{place:X}")


def test_trail_tells_the_age_of_what_a_replica_has() -> None:
    trail = Trail()
    for second, place in enumerate((10, 20, 20, 30)):
        trail.note(at(place), float(second))
    assert trail.lag(at(30), 9.0) == 0
    assert trail.lag(at(25), 9.0) == 7  # It was there in second 2, and no more in second 3.
    assert trail.lag(at(10), 9.0) == 9
    assert trail.lag(at(9), 9.0) is None
    assert trail.lag(at(99), 9.0) == 0


def test_trail_overrules_clocks_that_differ() -> None:
    trail = Trail()
    trail.note(at(10), 100.0)
    trail.note(at(20), 200.0)
    slow_clock = state(position=at(15), lag_seconds=0.0)
    assert trail.aged(slow_clock, 205.0).lag_seconds == 105
    fast_clock = state(position=at(20), lag_seconds=3600.0)
    assert trail.aged(fast_clock, 205.0).lag_seconds == 0
    older = state(position=at(5), lag_seconds=9000.0)
    assert trail.aged(older, 205.0).lag_seconds == 9000
    assert trail.aged(state(position=at(5), lag_seconds=None), 205.0).lag_seconds == 105


def test_trail_begins_anew_in_another_cluster() -> None:
    trail = Trail()
    trail.note(at(10), 1.0)
    trail.note(Position("8", 1, "0/1"), 2.0)
    assert trail.lag(at(10), 3.0) is None


def test_share_of_the_primary_is_limited() -> None:
    share = Share(0.1)
    spent = 0
    for _ in range(1000):
        share.earn()
        spent += share.spend()
    assert 95 <= spent <= 105
    assert all(Share(1.0).spend() for _ in range(100))
    assert not Share(0.0).spend()


class Resolver:
    """Answers with what a test says."""

    def __init__(self) -> None:
        self.answer: list[Address] | Exception = []

    def __call__(self, name: str) -> list[Address]:
        assert name == "replicas.test"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Found:
    """A set of replicas that DNS finds, and asks nobody."""

    def __init__(self, drain_seconds: float) -> None:
        self.resolver = Resolver()
        dns = Dns("replicas.test", 5432, drain_seconds=drain_seconds, resolve=self.resolver)
        self.set = ReplicaSet(Replicas("default", ["fixed"], discovery=dns))
        self.watched: list[str] = []
        self.set.monitor.watch = lambda *aliases: self.watched.extend(aliases)  # type: ignore[method-assign]
        self.finder = Finder(self.set, dns)

    def look(self, *hosts: str) -> None:
        self.resolver.answer = [Address(host, 5432) for host in hosts]
        self.finder.look()

    def drained(self) -> dict[str, bool]:
        return {member.alias: member.draining for member in self.set.members}


@pytest.fixture
def found() -> Found:
    return Found(drain_seconds=1000)


def alias(host: str) -> str:
    return f"replica:default@{host}:5432"


def test_dns_brings_replicas_with_the_settings_of_the_primary(found: Found) -> None:
    found.look("10.0.0.1", "10.0.0.2")
    assert found.drained() == dict.fromkeys(["fixed", alias("10.0.0.1"), alias("10.0.0.2")], False)
    assert {alias("10.0.0.1"), alias("10.0.0.2")} <= set(found.watched)
    there = connections[alias("10.0.0.1")].settings_dict
    assert (there["HOST"], there["PORT"]) == ("10.0.0.1", 5432)
    assert there["NAME"] == connections.settings["default"]["NAME"]
    assert alias("10.0.0.2") in found.set.aliases


@pytest.mark.parametrize("answer", [[], OSError("no such name"), RuntimeError("anything")])
def test_dns_without_an_answer_changes_nothing(found: Found, answer: Any) -> None:
    found.look("10.0.0.1")
    found.resolver.answer = answer
    found.finder.look()
    assert found.drained() == {"fixed": False, alias("10.0.0.1"): False}


def test_replica_that_leaves_is_drained_and_may_come_back(found: Found) -> None:
    found.look("10.0.0.1", "10.0.0.2")
    found.look("10.0.0.2")
    assert found.drained()[alias("10.0.0.1")] is True
    found.look("10.0.0.1", "10.0.0.2")
    assert found.drained()[alias("10.0.0.1")] is False


def test_replica_that_left_is_gone_when_it_is_drained() -> None:
    found = Found(drain_seconds=0)
    found.look("10.0.0.1", "10.0.0.2")
    found.look("10.0.0.2")
    assert alias("10.0.0.1") not in found.drained()
    # Rows that were read from there are still the primary's.
    assert alias("10.0.0.1") in found.set.aliases
    with pytest.raises(ConnectionDoesNotExist, match="has left"):
        _ = connections[alias("10.0.0.1")]


def test_drained_replica_is_usable_and_not_ready() -> None:
    leaving = Member("one", "users", state=WELL, draining=True).judged(PRIMARY, RULE)
    assert Table({"one": leaving}).usable == {"one"}
    assert Table({"one": leaving}).ready == ()


def test_dns_asks_the_system() -> None:
    assert Address("127.0.0.1", 5432) in Dns("localhost", 5432).addresses()


def test_dns_asks_for_addresses_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.9", 5432))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [entry, entry])
    assert Dns("replicas.test", 5432).addresses() == [Address("10.0.0.9", 5432)]


@pytest.mark.parametrize(
    ("rule", "number", "told"),
    [
        (Replicas("a", ["b"], policy="fastest"), 40, "no policy 'fastest'"),
        (Replicas("a", ["a", "b"]), 41, "its own replica"),
        (Replicas("a"), 41, "no replicas"),
        (Replicas("a", ["b"], max_lag_seconds=-1), 42, "max_lag_seconds is -1"),
        (Replicas("a", ["b"], every="1"), 42, "every is '1'"),  # type: ignore[arg-type]
        (Replicas("a", ["b"], every=0), 42, "all the time"),
        (Replicas("a", ["b"], primary_share="x"), 42, "primary_share is 'x'"),  # type: ignore[arg-type]
        (Replicas("a", {"b": -2}), 42, "the weight of 'b' is -2"),
        (Replicas("a", ["b"], primary_share=2), 42, "a share from 0 to 1"),
    ],
)
def test_checks_of_the_rule(rule: Replicas, number: int, told: str) -> None:
    (fault,) = rule.check()
    assert fault.id == f"domicile.E0{number}"
    assert told in f"{fault.msg} {fault.hint}"


def test_rule_without_fault() -> None:
    rule = Replicas("a", {"b": 2, "c": 0}, policy="weighted", max_lag_bytes=None)
    assert list(rule.check()) == []


def test_check_of_a_vendor_that_cannot_be_measured() -> None:
    with databases({"a": SQLITE, "b": SQLITE}):
        faults = list(Replicas("a", ["b"]).check())
    assert [fault.id for fault in faults] == ["domicile.E043", "domicile.E043"]
    assert "'b' is a database of sqlite, whose replicas cannot be measured" in faults[1].msg


def test_check_of_a_replica_of_another_vendor() -> None:
    with databases({"a": POSTGRES, "b": MYSQL}):
        (fault,) = Replicas("a", ["b"]).check()
    assert fault.id == "domicile.E043"
    assert "'b' is a database of mysql and 'a' is not" in fault.msg


def test_check_of_a_replica_that_every_request_depends_on() -> None:
    with databases({"a": POSTGRES, "b": {**POSTGRES, "ATOMIC_REQUESTS": True}}):
        (fault,) = Replicas("a", ["b"]).check()
    assert fault.id == "domicile.W044"
    assert "'b' has ATOMIC_REQUESTS" in fault.msg


def test_nobody_is_told_that_all_were_asked_before_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that refuses connections has answered before the next thread begins."""
    known = []

    def answer_at_once(thread: Repeating) -> None:
        known.append(monitor.asked.is_set())
        monitor.report(thread.name.removeprefix("domicile-monitor-"), State(alive=False), 1.0)

    monkeypatch.setattr(Repeating, "start", answer_at_once)
    with databases(dict.fromkeys(["users", "one", "two"], POSTGRES)):
        monitor = ReplicaSet(RULE).monitor
        monitor.start()
    assert known == [False] * 3
    assert monitor.asked.is_set()
