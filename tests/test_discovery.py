"""Replicas found by DNS, asked of a real server of names."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from dns import rcode

from domicile.replicas.discovery import Address, Finder
from domicile.replicas.sets import ReplicaSet
from domicile.rules import Dns, Replicas
from tests.names import NameServer, answering

NAME = "_postgresql._tcp.users.test"
SRV = Dns(NAME, srv=True)


def services(*records: str) -> dict[str, list[str]]:
    return {f"{NAME}. SRV": [*records]}


def test_srv_tells_host_port_and_weight() -> None:
    with answering(services("0 3 5433 db1.test.", "0 0 5434 db2.test.")):
        found = set(SRV.addresses())
    assert found == {Address("db1.test", 5433, 3.0), Address("db2.test", 5434, 0.1)}


def test_srv_of_a_later_priority_stands_by() -> None:
    with answering(services("20 9 5433 spare.test.", "10 1 5434 db.test.")):
        assert SRV.addresses() == [Address("db.test", 5434, 1.0)]


def test_srv_whose_target_is_the_root_offers_nothing() -> None:
    with answering(services("0 0 0 .")):
        assert SRV.addresses() == []


def test_srv_of_a_name_without_its_domain() -> None:
    with answering(services("0 1 5433 db1.test."), domain="users.test"):
        assert Dns("_postgresql._tcp", srv=True).addresses() == [Address("db1.test", 5433, 1.0)]


def test_srv_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns", None)
    with pytest.raises(OSError, match=r"install django-domicile\[dns\]"):
        SRV.addresses()


def hosts(*addresses: str) -> dict[str, list[str]]:
    return {"users.test. A": [*addresses]}


#: Kind of discovery → the records of two replicas, of which one stays, and what these are found as.
KINDS: dict[str, tuple[Dns, Any, Any, str, str]] = {
    "SRV": (
        Dns(NAME, srv=True, drain_seconds=0),
        services("0 2 5433 db1.test.", "0 5 5434 db2.test."),
        services("0 7 5434 db2.test."),
        "replica:default@db1.test:5433",
        "replica:default@db2.test:5434",
    ),
    "A": (
        Dns("users.test", 5432, drain_seconds=0),
        hosts("127.0.0.8", "127.0.0.9"),
        hosts("127.0.0.9"),
        "replica:default@127.0.0.8:5432",
        "replica:default@127.0.0.9:5432",
    ),
}


class Kind:
    """A set that DNS fills, and that asks no server."""

    def __init__(self, kind: str) -> None:
        dns, self.both, self.one, self.leaves, self.stays = KINDS[kind]
        self.set = ReplicaSet(Replicas("default", discovery=dns))
        self.set.monitor.watch = lambda *aliases: None  # type: ignore[method-assign]
        self.finder = Finder(self.set, dns)

    def look(self) -> set[str]:
        self.finder.look()
        return {member.alias for member in self.set.members}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param)


def test_name_gains_and_loses_records(kind: Kind) -> None:
    with answering(kind.one) as names:
        assert kind.look() == {kind.stays}
        names.records = kind.both
        assert kind.look() == {kind.leaves, kind.stays}
        names.records = kind.one
        assert kind.look() == {kind.stays}
        names.records = kind.both
        assert kind.look() == {kind.leaves, kind.stays}


def test_weight_changes_with_its_record() -> None:
    kind = Kind("SRV")
    with answering(kind.both) as names:
        kind.look()
        assert kind.set.table.members[kind.stays].weight == 5
        names.records = kind.one
        kind.look()
        assert kind.set.table.members[kind.stays].weight == 7


def empty(names: NameServer) -> None:
    names.records = {key: [] for key in names.records}


def gone(names: NameServer) -> None:
    names.records = {}


def broken(names: NameServer) -> None:
    names.fault = rcode.SERVFAIL


def silent(names: NameServer) -> None:
    names.is_silent = True


@pytest.mark.parametrize("becomes", [empty, gone, broken, silent])
def test_answer_without_records_changes_nothing(
    kind: Kind, becomes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with answering(kind.both) as names, caplog.at_level(logging.WARNING, "domicile.replicas"):
        kind.look()
        becomes(names)
        assert kind.look() == {kind.leaves, kind.stays}
    assert "Cannot look up" in caplog.text


def test_service_that_is_not_offered_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    kind = Kind("SRV")
    with answering(kind.both) as names, caplog.at_level(logging.WARNING, "domicile.replicas"):
        kind.look()
        names.records = services("0 0 0 .")
        assert kind.look() == {kind.leaves, kind.stays}
    assert "stands for nothing" in caplog.text
