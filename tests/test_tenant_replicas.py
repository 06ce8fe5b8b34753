"""Tenants whose database has replicas: in a schema, and in a database of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, transaction

import domicile
from domicile.exceptions import CrossTenantError
from domicile.placement import tenant_alias
from domicile.replicas.reading import innermost
from domicile.routing import primary_of, readers_of
from domicile.rules import Replicas
from tests.databases import databases, make_database
from tests.processes import eventually
from tests.replication import LOGGING, PostgresReplica
from tests.servers import PostgresServer, absent
from tests.tenants import tenant
from tests.testproject.students.models import Student
from tests.visitors import Visitor

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

RULE = Replicas("far", ["far_replica"], max_lag_seconds=600, max_lag_bytes=None, every=0.1)
PLACEMENTS = {
    **settings.DOMICILE["PLACEMENTS"],
    "schema": {"DATABASE": "far", "SCHEMA": "{slug}"},
    "database": {"DATABASE": "far", "NAME": "far_{slug}"},
}
AT_REPLICA = "tenant:accra@far_replica"


@pytest.fixture(scope="module")
def servers(django_db_setup: None) -> Iterator[Any]:
    primary = PostgresServer(18, **LOGGING)
    if not primary.present:
        absent(primary.description())
    primary.start()
    far = make_database(primary, "far")
    replica = PostgresReplica(primary)
    replica.start()
    yield {"far": far, "far_replica": {**far, **replica.django_settings()}}, replica
    for server in (replica, primary):
        server.discard()


@pytest.fixture(params=["schema", "database"])
def replica(request: pytest.FixtureRequest, servers: Any) -> Iterator[PostgresReplica]:
    """The replica of a database in which the tenant "accra" is."""
    added, replica = servers
    with databases(added, [RULE], PLACEMENTS=PLACEMENTS):
        replicas: Any = readers_of("far")
        replicas.monitor.start()
        with tenant("accra", placement=request.param):
            replica.catch_up()
            eventually(lambda: replicas.table.ready)
            innermost.set(None)
            yield replica
            connections.close_all()


@contextmanager
def behind(replica: PostgresReplica) -> Iterator[None]:
    replica.catch_up()
    replica.pause()
    try:
        yield
    finally:
        replica.resume()


def enrol(name: str) -> Student:
    with domicile.activate("accra"):
        return Student.objects.create(name=name)


def names() -> tuple[str, list[str]]:
    """From where, and what is there."""
    with domicile.activate("accra"):
        students = Student.objects.order_by("name")
        return students.db, [student.name for student in students]


def test_reads_go_to_the_replica(replica: PostgresReplica) -> None:
    with domicile.unit_of_work():
        enrol("Ama")
    replica.catch_up()
    with domicile.unit_of_work():
        assert names() == (AT_REPLICA, ["Ama"])


def test_its_rows_are_the_tenants(replica: PostgresReplica) -> None:
    """To be saved, related and refreshed where the tenant is written."""
    with domicile.unit_of_work():
        enrol("Ama")
    replica.catch_up()
    assert primary_of(AT_REPLICA) == tenant_alias("accra")
    with domicile.unit_of_work(), domicile.activate("accra"):
        ama = Student.objects.get()
        assert ama._state.db == tenant_alias("accra")
        ama.name = "Ama B."
        ama.save()
        ama.refresh_from_db()
        assert ama.name == "Ama B."


def test_the_visitor_sees_what_was_written(replica: PostgresReplica) -> None:
    visitor = Visitor()
    with behind(replica):
        visitor.visit(lambda _: enrol("Kofi"))
        assert visitor.visit(lambda _: names()) == (tenant_alias("accra"), ["Kofi"])
        assert Visitor().visit(lambda _: names()) == (AT_REPLICA, [])


def test_inside_atomic_the_primary(replica: PostgresReplica) -> None:
    with domicile.unit_of_work(), domicile.activate("accra"), transaction.atomic():
        assert names()[0] == tenant_alias("accra")


def test_a_replica_dies(replica: PostgresReplica) -> None:
    with domicile.unit_of_work():
        enrol("Ama")
    replica.catch_up()
    with domicile.unit_of_work():
        assert names()[0] == AT_REPLICA
        replica.kill()
        try:
            assert names()[1] == ["Ama"]
        finally:
            replica.start()


def test_another_tenants_rows_are_refused(replica: PostgresReplica) -> None:
    with domicile.unit_of_work():
        enrol("Ama")
    replica.catch_up()
    with domicile.unit_of_work(), tenant("kumasi", placement="file") as other:
        with domicile.activate("accra"):
            ama = Student.objects.get()
        with other.activate(), pytest.raises(CrossTenantError):
            ama.save()


def test_a_tenant_that_the_replica_does_not_have_yet(replica: PostgresReplica) -> None:
    """Another process knows of it at once, and has written nothing there."""
    with behind(replica), tenant("tamale", placement="schema") as new:
        innermost.set(None)
        with domicile.unit_of_work(), new.activate():
            assert list(Student.objects.all()) == []
            assert Student.objects.count() == 0
