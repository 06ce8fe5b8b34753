"""A replica within one connection, for users' tests: they run inside `TestCase`."""

from __future__ import annotations

import pytest
from django.db import transaction

import domicile
from domicile.exceptions import NotSupported, WriteRefused
from domicile.test import simulated_replica
from tests.databases import databases
from tests.testproject.people.models import Person, Profile
from tests.visitors import Visitor

pytestmark = pytest.mark.django_db(databases=["default"])


def names() -> list[str]:
    with domicile.unit_of_work():
        return sorted(Person.objects.values_list("name", flat=True))


def test_it_is_behind_until_it_catches_up() -> None:
    Person.objects.create(name="Ama")
    with simulated_replica() as replica:
        Person.objects.create(name="Kofi")
        assert names() == ["Ama"]
        replica.catch_up()
        assert names() == ["Ama", "Kofi"]
    assert names() == ["Ama", "Kofi"]


def test_the_lag_is_in_seconds() -> None:
    with simulated_replica(lag=600) as replica:
        Person.objects.create(name="Ama")
        assert names() == []
        replica.lag = 0
        assert names() == ["Ama"]
        replica.lag = 600
        Person.objects.update(name="Esi")
        Person.objects.all().delete()
        assert names() == []


def test_each_read_is_of_one_moment() -> None:
    with simulated_replica():
        ama = Person.objects.create(name="Ama")
        Profile.objects.create(person=ama, about="Draws.")
        with domicile.unit_of_work():
            assert not Profile.objects.filter(person__name="Ama").exists()
            assert Person.objects.filter(profile=None).count() == 0


def test_what_is_rolled_back_was_never_there() -> None:
    with simulated_replica():
        with transaction.atomic(using="default"):
            Person.objects.create(name="Ama")
            transaction.set_rollback(True, using="default")
        assert names() == []
        Person.objects.create(name="Kofi")
        assert names() == []


def test_views_are_as_with_a_real_one() -> None:
    """The visitor who wrote sees it, others see what the replica has."""
    visitor = Visitor()
    with simulated_replica():
        visitor.visit(lambda _: Person.objects.create(name="Ama"))
        assert visitor.visit(lambda _: Person.objects.count()) == 1
        assert Visitor().visit(lambda _: Person.objects.count()) == 0
        assert Visitor().visit(lambda _: _in_atomic()) == 1
        with domicile.primary():
            assert names() == ["Ama"]
        with domicile.unit_of_work(), domicile.consistency("bounded", milliseconds=100):
            assert Person.objects.count() == 1


def _in_atomic() -> int:
    with transaction.atomic(using="default"):
        return Person.objects.count()


def test_it_takes_no_writes() -> None:
    with simulated_replica() as replica, pytest.raises(WriteRefused):
        Person.objects.using(replica.alias).create(name="Ama")


def test_engines_that_are_not_ours() -> None:
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    with (
        databases({"other": settings}),
        pytest.raises(NotSupported, match="'other'"),
        simulated_replica("other"),
    ):
        pass
