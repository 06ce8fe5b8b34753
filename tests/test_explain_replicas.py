"""What is told of a real replica: that it was chosen, and when it is dead why it was not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from domicile.recording import Recorder
from domicile.replicas.units import unit_of_work
from domicile.rules import Apps, Replicas
from tests import servers
from tests.databases import databases, make_database, migrate
from tests.replication import LOGGING, PostgresReplica
from tests.servers import PostgresServer
from tests.testproject.people.models import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def replica() -> Iterator[PostgresReplica]:
    primary = PostgresServer(18, **LOGGING)
    if not primary.present:
        servers.absent(primary.description())
    primary.start()
    replica: Any = PostgresReplica(primary)
    try:
        users = make_database(primary, "users")
        with databases({"users": users}, [Apps({"people": "users"})]):
            migrate("users")
        replica.start()
        replica.catch_up()
        replica.primary_settings = users
        yield replica
    finally:
        replica.discard()
        primary.discard()


@contextmanager
def replicated(replica: Any) -> Iterator[None]:
    users = replica.primary_settings
    added = {"users": users, "users_replica": {**users, **replica.django_settings()}}
    rules = [Apps({"people": "users"}), Replicas("users", ["users_replica"], connect_seconds=2)]
    with databases(added, rules):
        yield


def told() -> str:
    output = StringIO()
    with unit_of_work():
        call_command("databases", "route", "people.Person", stdout=output, skip_checks=True)
    return output.getvalue()


def test_a_replica_that_is_well_and_then_dead(replica: Any) -> None:
    with replicated(replica):
        assert told().startswith("people.Person is read from 'users_replica'.")
        recorder = Recorder()
        recorder.start()
        with unit_of_work():
            Person.objects.count()
        recorder.stop()
        heard = [str(each) for each in recorder.taken() if each.model]
    assert heard == ["people.Person read users_replica (Apps, Replicas) x1"]
    replica.kill()
    with replicated(replica):
        text = told()
    assert text.startswith("people.Person is read from 'users'.")
    assert "'users_replica' is left out (it does not answer" in text
