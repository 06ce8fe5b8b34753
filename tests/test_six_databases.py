"""Six databases at once, each a real one, by one declaration: apps in databases of their own,
replicas, rows by month, somebody else's tables and a cache.

| alias | server | holds |
| --- | --- | --- |
| `users` | PostgreSQL 18 | people |
| `users_replica` | PostgreSQL 18, which streams from it | the same, to be read |
| `blog` | PostgreSQL 15 | posts |
| `timeseries` | PostgreSQL 18 | events, and a schema of readings for each month |
| `legacy` | MariaDB | customers, as others made them |
| `cache` | SQLite | Django's cache |

Beside them `default` has the tenants and all else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings

from domicile.exceptions import CrossDatabaseError, WriteOutsideAtomic, WriteRefused
from domicile.fleet.runs.databases import static_aliases
from domicile.periods.homes import homes_of
from domicile.replicas.sets import ReplicaSet
from domicile.replicas.units import unit_of_work
from domicile.rules import Apps, Legacy, Periods, Replicas
from tests import servers
from tests.databases import databases, make_database
from tests.periods import at, readings
from tests.processes import eventually
from tests.readers import watched
from tests.replication import LOGGING, PostgresReplica, mariadb, postgres
from tests.servers import PostgresServer
from tests.tenants import tenant
from tests.testproject.customers.models import CREATE_TABLE, Customer
from tests.testproject.events.models import Event
from tests.testproject.people.models import Person, Profile
from tests.testproject.posts.models import Headline, Post, Story, Tag
from tests.testproject.sensors.models import Reading, Sensor
from tests.testproject.students.models import Student

pytestmark = pytest.mark.django_db(transaction=True)

RULES = [
    Apps(
        {
            "people": "users",
            "posts": "blog",
            "events": "timeseries",
            "sensors.Sensor": "timeseries",
            "django_cache": "cache",
        }
    ),
    Legacy("legacy", apps=["customers"]),
    Periods(
        "sensors.Reading", field="taken_at", every="month", placement="months", unbounded="fan_out"
    ),
    Replicas("users", ["users_replica"], policy="least_busy", every=0.05),
]
DECLARED = {
    "RELATIONS": ["posts.Post.author"],
    "WRITES_OUTSIDE_ATOMIC": "error",
}
MIDDLEWARE = "domicile.replicas.middleware.ReadYourWritesMiddleware"
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "pages"}
}


class Six:
    """The servers, and the settings of their databases."""

    def __init__(self) -> None:
        self.primary = PostgresServer(18, **LOGGING)
        self.replica = PostgresReplica(self.primary)
        self.mariadb = servers.require("mariadb")
        self.primary.start()
        self.replica.start()
        users = make_database(self.primary, "six_users")
        self.added = {
            "users": users,
            "users_replica": {**users, **self.replica.django_settings()},
            "blog": make_database("postgres15", "six_blog"),
            "timeseries": make_database("default", "six_timeseries"),
            "legacy": make_database(self.mariadb, "six_legacy"),
            "cache": make_database("sqlite", "six_cache"),
        }
        mariadb(self.mariadb, CREATE_TABLE, "six_legacy")
        mariadb(self.mariadb, "INSERT INTO customers VALUES (1, 'Kofi')", "six_legacy")

    @contextmanager
    def declared(self) -> Iterator[None]:
        months = {"DATABASE": "timeseries", "SCHEMA": "readings_{period}"}
        placements = {**settings.DOMICILE["PLACEMENTS"], "months": months}
        with (
            databases(self.added, RULES, PLACEMENTS=placements, **DECLARED),
            override_settings(CACHES=CACHES, MIDDLEWARE=[MIDDLEWARE, *settings.MIDDLEWARE]),
        ):
            yield

    def discard(self) -> None:
        self.replica.discard()
        self.primary.discard()


@pytest.fixture(scope="module")
def six(django_db_setup: None, django_db_blocker: Any) -> Iterator[Six]:
    made = Six()
    with django_db_blocker.unblock(), made.declared():
        call_command("databases", "migrate", verbosity=0)
        call_command("createcachetable", database="cache", verbosity=0)
    yield made
    made.discard()


@pytest.fixture
def replicas(six: Six) -> Iterator[ReplicaSet]:
    """The declaration in force, and its replica well."""
    with six.declared():
        yield watched("users", "users_replica")
        with unit_of_work():
            for model in (Story, Post, Tag, Profile, Person, Event, Sensor):
                model.objects.all().delete()
            Reading.objects.all().delete()
            cache.clear()


def tables(alias: str) -> set[str]:
    return set(connections[alias].introspection.table_names())


def test_nothing_is_wrong_with_the_declaration(six: Six, replicas: ReplicaSet) -> None:
    assert run_checks(tags=["domicile"]) == []
    # Before there were rules, `default` got all tables of the test project.
    found = run_checks(tags=["database"], databases=set(six.added))
    assert [message for message in found if str(message.id).startswith("domicile")] == []


def test_each_table_is_in_one_database(replicas: ReplicaSet) -> None:
    assert set(static_aliases()) == {"default", "users", "blog", "timeseries"}
    assert tables("users") == {"django_migrations", "people_person", "people_profile"}
    of_posts = {"posts_post", "posts_tag", "posts_post_tags", "posts_story"}
    assert tables("blog") == {"django_migrations"} | of_posts
    assert tables("timeseries") == {"django_migrations", "events_event", "sensors_sensor"}
    assert tables("legacy") == {"customers"}
    assert tables("cache") == {"pages"}
    assert {"auth_permission", "django_content_type"} <= tables("default")


def test_each_row_is_on_its_server(six: Six, replicas: ReplicaSet) -> None:
    ama = Person.objects.create(name="Ama")
    post = Post.objects.create(title="One", author=ama)
    post.tags.add(Tag.objects.create(name="news"))
    Event.objects.create(name="login", person_id=ama.pk)
    cache.set("greeting", "Akwaaba")

    def on(server: Any, database: str, table: str) -> int:
        ask = mariadb if server is six.mariadb else postgres
        row = ask(server, f"SELECT count(*) FROM {table}", database)
        return int(next(iter(row.values())) if isinstance(row, dict) else row[0])

    assert on(six.primary, "six_users", "people_person") == 1
    assert on(servers.require("postgres15"), "six_blog", "posts_post_tags") == 1
    assert on(servers.require("default"), "six_timeseries", "events_event") == 1
    assert on(six.mariadb, "six_legacy", "customers") == 1
    eventually(lambda: on(six.replica, "six_users", "people_person") == 1)
    with closing(sqlite3.connect(six.added["cache"]["NAME"])) as file:
        assert file.execute("SELECT count(*) FROM pages").fetchone() == (1,)
    assert cache.get("greeting") == "Akwaaba"


def test_reads_and_writes_are_split(six: Six, replicas: ReplicaSet) -> None:
    with unit_of_work():
        Person.objects.create(name="Ama")
        assert Person.objects.get().name == "Ama"  # Its own write, at once.
    six.replica.catch_up()
    with unit_of_work():
        (ama,) = Person.objects.all()
        assert (ama._state.db, ama._state.read_from) == ("users", "users_replica")
        with transaction.atomic("users"):
            assert not hasattr(Person.objects.get()._state, "read_from")


def test_a_dead_replica_is_not_missed(six: Six, replicas: ReplicaSet) -> None:
    Person.objects.create(name="Ama")
    six.replica.kill()
    try:
        eventually(lambda: not replicas.table.ready)
        with unit_of_work():
            assert Person.objects.get().name == "Ama"
    finally:
        six.replica.start()


def test_relations_across_databases(replicas: ReplicaSet) -> None:
    with unit_of_work():
        ama = Person.objects.create(name="Ama")
        Story.objects.create(title="One", author=ama, text="…")
        assert [post.author.name for post in Headline.objects.prefetch_related("author")] == ["Ama"]
        assert ama.posts.count() == 1
        for queryset in (
            Post.objects.select_related("author"),
            Post.objects.filter(author__name="Ama"),
            Post.objects.filter(author__in=Person.objects.all()),
            Event.objects.filter(person_id__in=Person.objects.values("pk")),
            Post.objects.filter(title__in=Customer.objects.values("name")),
        ):
            with pytest.raises(CrossDatabaseError):
                list(queryset)


def test_a_transaction_of_one_is_none_of_another(replicas: ReplicaSet) -> None:
    ama = Person.objects.create(name="Ama")
    with transaction.atomic("users"):
        ama.save()
        with pytest.raises(WriteOutsideAtomic):
            Post.objects.create(title="One", author=ama)
        with transaction.atomic("blog"):
            Post.objects.create(title="Two", author=ama)
    assert [post.title for post in Post.objects.all()] == ["Two"]


def test_the_tables_of_others_are_only_read(replicas: ReplicaSet) -> None:
    kofi = Customer.objects.get()
    assert (kofi.name, kofi._state.db) == ("Kofi", "legacy")
    kofi.name = "Efua"
    with pytest.raises(WriteRefused):
        kofi.save()
    assert Customer.objects.get().name == "Kofi"


def test_rows_by_month(replicas: ReplicaSet) -> None:
    sensor = Sensor.objects.create(name="roof")
    Reading.objects.bulk_create(readings("2026-01-15", 60, sensor=sensor))
    months = homes_of("months")
    assert [str(period) for period in months.there()] == ["2026-01", "2026-02", "2026-03"]
    found = Reading.objects.filter(taken_at__range=(at("2026-01-31"), at("2026-02-02")))
    assert [reading.value for reading in found.order_by("-taken_at")] == [18, 17, 16]
    assert found.count() == 3
    assert sensor._state.db == "timeseries"


def test_tenants_and_accounts_are_beside_all_that(replicas: ReplicaSet) -> None:
    with unit_of_work(), tenant("six") as university, university.activate():
        student = Student.objects.create(registration="1", name="Esi", home="six")
        ama = Person.objects.create(name="Ama")
        assert (student._state.db, ama._state.db) == (university.alias, "users")
        assert Person.objects.get() == ama
        assert User.objects.create(username="ama")._state.db == university.alias
        assert ContentType.objects.get_for_model(student).app_label == "students"
