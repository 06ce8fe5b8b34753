"""`DatabaseManager`, and rows by the thousand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router, transaction
from django.db.utils import IntegrityError
from django.test.utils import CaptureQueriesContext, isolate_apps

import domicile
from domicile.rules import Apps
from tests.databases import databases, make_database, migrate
from tests.isolation.campus import Campus, campus, enrol, homes  # noqa: F401
from tests.periods import monthly, readings
from tests.servers import require
from tests.testproject.events.models import Event
from tests.testproject.people.models import Person
from tests.testproject.posts.models import Post
from tests.testproject.sensors.models import Reading
from tests.testproject.students.models import Student


@pytest.fixture(autouse=True)
def sites(campus: Campus) -> Iterator[None]:  # noqa: F811
    yield
    connections.close_all()


@pytest.fixture(params=["default", "mariadb", "sqlite"])
def people(request: pytest.FixtureRequest) -> Iterator[None]:
    """People are in a database `people`, posts and events in `default`."""
    made = make_database(request.param, "people")
    with databases({"people": made}, rules=[Apps({"people": "people"})]):
        migrate("people")
        yield
        connections.close_all()


@pytest.fixture
def elsewhere() -> Iterator[None]:
    """A database `analytics` has the table of events too."""
    with databases({"analytics": make_database("sqlite", "analytics")}):
        with connections["analytics"].schema_editor() as editor:
            editor.create_model(Person)
            editor.create_model(Event)
            editor.create_model(Post.tags.through._meta.get_field("tag").related_model)
            editor.create_model(Post)
        yield
        Event.objects.all().delete()
        connections.close_all()


# The manager -------------------------------------------------------------------------------------


@pytest.fixture
def seen() -> Any:
    """Events as seen through a manager of another database."""
    manager = domicile.DatabaseManager("analytics")
    manager.contribute_to_class(Event, "seen")
    yield manager
    del Event.seen
    Event._meta.local_managers.remove(manager)
    Event._meta._expire_cache()


def test_it_reads_and_writes_its_database(elsewhere, seen) -> None:
    event = Event.seen.create(name="click")
    assert event._state.db == "analytics"
    assert Event.seen.get() == event
    assert not Event.objects.exists()
    assert Event.seen.get_or_create(name="click") == (event, False)
    assert Event.seen.filter(name="click").update(name="tap") == 1
    assert [row.name for row in Event.seen.raw("SELECT * FROM events_event")] == ["tap"]
    assert Event.seen.db == Event.seen.all().db == "analytics"
    Event.seen.bulk_create([Event(name="1"), Event(name="2")])
    assert Event.seen.count() == 3
    assert [event.name for event in Event.seen.order_by("name").iterator()] == ["1", "2", "tap"]


def test_using_goes_elsewhere(elsewhere, seen) -> None:
    Event.seen.create(name="click")
    assert not Event.seen.using("default").exists()
    assert not Event.seen.db_manager("default").exists()
    assert Event.seen.db_manager("default").db == "default"
    event = Event.objects.create(name="tap")
    assert Event.seen.using("default").get() == event


def test_the_router_is_not_asked(elsewhere, seen, monkeypatch) -> None:
    monkeypatch.setattr(router, "db_for_read", None)
    assert list(Event.seen.all()) == []


def test_it_goes_with_a_queryset_of_the_projects_own(elsewhere) -> None:
    class Clicks(models.QuerySet):
        def clicks(self) -> Any:
            return self.filter(name="click")

    class EventManager(domicile.DatabaseManager.from_queryset(Clicks)):
        pass

    manager = EventManager("analytics")
    manager.contribute_to_class(Event, "seen")
    try:
        Event.seen.create(name="click")
        Event.seen.create(name="tap")
        assert Event.seen.clicks().count() == 1
        assert Event.seen.clicks().db == "analytics"
        assert isinstance(manager, EventManager)
    finally:
        del Event.seen
        Event._meta.local_managers.remove(manager)
        Event._meta._expire_cache()


@isolate_apps("tests.testproject.posts")
def test_it_is_inherited_and_known_to_related_managers(elsewhere) -> None:
    class Base(models.Model):
        objects = domicile.DatabaseManager("analytics")

        class Meta:
            abstract = True
            app_label = "posts"

    class Writer(Base):
        class Meta(Base.Meta):
            db_table = "people_person"

    class Work(Base):
        title = models.CharField(max_length=100)
        author = models.ForeignKey(Writer, models.CASCADE, related_name="works")

        class Meta(Base.Meta):
            db_table = "posts_post"

    with connections["analytics"].cursor() as cursor:
        cursor.execute("INSERT INTO people_person (id, name) VALUES (1, 'Ama')")
    writer = Writer.objects.get()
    work = Work.objects.create(title="One", author_id=writer.pk)
    assert work._state.db == "analytics"
    assert writer.works.get() == work
    assert writer.works.all().db == "analytics"
    assert Writer.objects.prefetch_related("works").get().works.all()[0] == work
    assert Work.objects.select_related("author").get().author == writer


@isolate_apps("tests.testproject.posts")
def test_a_name_that_is_nowhere_is_a_finding(elsewhere) -> None:
    class Thing(models.Model):
        here = domicile.DatabaseManager("analytics")
        there = domicile.DatabaseManager("anlytics")

        class Meta:
            app_label = "posts"

    (found,) = Thing.check()
    assert found.id == "domicile.W063"
    assert "'anlytics'" in found.msg


def test_a_database_that_a_manager_names_is_reached(elsewhere, request) -> None:
    def unreached() -> list[str]:
        found = run_checks(tags=["domicile"])
        return [message.msg for message in found if message.id == "domicile.W034"]

    before = unreached()
    assert any("'analytics'" in message for message in before)
    request.getfixturevalue("seen")
    assert not any("'analytics'" in message for message in unreached())


def test_raw_sql_on_a_named_database(elsewhere) -> None:
    Event.objects.using("analytics").create(name="click")
    with connections["analytics"].cursor() as cursor:
        cursor.execute("SELECT name FROM events_event WHERE name = %s", ["click"])
        assert cursor.fetchall() == [("click",)]
    rows = Event.objects.using("analytics").raw("SELECT id, name FROM events_event")
    assert [row.name for row in rows] == ["click"]


# Bulk --------------------------------------------------------------------------------------------


def names(using: str = "people") -> list[str]:
    return sorted(Person.objects.using(using).values_list("name", flat=True))


def test_rows_are_created_where_the_model_lives(people) -> None:
    told: list[int] = []
    rows = (Person(name=f"{number:03}") for number in range(25))
    assert domicile.bulk_create(Person, rows, batch_size=10, progress=told.append) == 25
    assert told == [10, 20, 25]
    assert names() == [f"{number:03}" for number in range(25)]


def test_rows_are_created_where_one_says(people) -> None:
    with databases({"copy": make_database("sqlite", "copy")}):
        with connections["copy"].schema_editor() as editor:
            editor.create_model(Person)
        assert domicile.bulk_create(Person, [{"name": "Ama"}], using="copy") == 1
        assert names("copy") == ["Ama"]
    assert names() == []


def test_rows_are_read_as_they_are_written(people) -> None:
    read = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal read
        for number in range(30):
            read += 1
            yield {"name": str(number)}

    seen: list[tuple[int, int, int]] = []
    domicile.bulk_create(
        Person, rows(), batch_size=10, progress=lambda done: seen.append((done, read, len(names())))
    )
    assert seen == [(10, 10, 10), (20, 20, 20), (30, 30, 30)]


def test_what_was_written_before_a_fault_stays_unless_in_a_transaction(people) -> None:
    rows = [{"name": name} for name in ("a", "b", "c", "a")]
    with pytest.raises(IntegrityError):
        domicile.bulk_create(Person, rows, batch_size=2)
    assert names() == ["a", "b"]
    Person.objects.all().delete()
    with pytest.raises(IntegrityError), transaction.atomic(using="people"):
        domicile.bulk_create(Person, rows, batch_size=2)
    assert names() == []
    assert domicile.bulk_create(Person, rows, batch_size=2, ignore_conflicts=True) == 4
    assert names() == ["a", "b", "c"]


def test_nothing_to_write(people) -> None:
    assert domicile.bulk_create(Person, [], progress=pytest.fail) == 0
    with pytest.raises(ValueError, match="at least one row"):
        domicile.bulk_create(Person, [], batch_size=0)


def test_upsert_by_key(people) -> None:
    kept = Person.objects.create(name="old")
    rows = [{"pk": kept.pk, "name": "new"}, {"pk": kept.pk + 1, "name": "next"}]
    for _ in range(2):
        assert domicile.bulk_upsert(Person, rows) == 2
    assert dict(Person.objects.values_list("pk", "name")) == {kept.pk: "new", kept.pk + 1: "next"}


def test_upsert_by_another_unique_field(people) -> None:
    kept = Person.objects.create(name="Ama")
    told: list[int] = []
    rows = ({"name": name} for name in ("Ama", "Esi", "Ama", "Kofi"))
    fields = {"unique_fields": ["name"], "update_fields": ["name"]}
    assert domicile.bulk_upsert(Person, rows, batch_size=3, progress=told.append, **fields) == 4
    assert told == [3, 4]
    assert names() == ["Ama", "Esi", "Kofi"]
    assert Person.objects.get(name="Ama") == kept


def test_of_rows_with_the_same_key_the_last_counts(people) -> None:
    rows = [{"pk": 1, "name": "first"}, {"pk": 2, "name": "two"}, {"pk": 1, "name": "last"}]
    domicile.bulk_upsert(Person, rows)
    assert dict(Person.objects.values_list("pk", "name")) == {1: "last", 2: "two"}


def test_rows_without_a_key_never_update_others(people) -> None:
    """Also where the database would give them a key that somebody has by now."""
    domicile.bulk_upsert(Person, [{"pk": 1, "name": "a"}])
    with suppress(IntegrityError):
        domicile.bulk_upsert(Person, [{"name": "b"}, {"name": "c"}])
    assert "a" in names()
    Person.objects.all().delete()
    domicile.bulk_upsert(Person, [{"name": "d"}, {"pk": 77, "name": "e"}, {"name": "f"}])
    assert names() == ["d", "e", "f"]


def test_the_time_of_creation_is_not_updated() -> None:
    event = Event.objects.create(name="click")
    try:
        domicile.bulk_upsert(Event, [{"pk": event.pk, "name": "tap"}])
        after = Event.objects.get()
        assert (after.name, after.happened_at) == ("tap", event.happened_at)
    finally:
        Event.objects.all().delete()


def test_upsert_takes_only_columns(people) -> None:
    with pytest.raises(FieldDoesNotExist):
        domicile.bulk_upsert(Person, [], unique_fields=["posts"])
    with pytest.raises(FieldDoesNotExist):
        domicile.bulk_upsert(Person, [], unique_fields=["nothing"])


def test_upsert_in_a_tenant(campus: Campus, placement: str) -> None:  # noqa: F811
    a, b = campus.pair(placement)
    enrol(a, "1")
    with a.activate():
        rows = [{"registration": str(number), "name": "n", "home": a.slug} for number in (1, 2)]
        domicile.bulk_upsert(Student, rows, unique_fields=["registration"])
        assert homes() == [a.slug, a.slug]
    domicile.bulk_create(Student, [{"registration": "9", "name": "", "home": "b"}], using=b.alias)
    with b.activate():
        assert homes() == ["b"]


@pytest.mark.parametrize("kind", ["schemas", "mariadb", "files"])
def test_upsert_of_rows_by_months(kind: str) -> None:
    if kind == "mariadb":
        require("mariadb")
    with monthly(kind):
        rows = readings("2026-01-30", 4)
        for _ in range(2):
            assert domicile.bulk_upsert(Reading, iter(rows), batch_size=3) == 4
            for row in rows:
                row.value += 10
        domicile.bulk_upsert(Reading, rows)
        values = Reading.objects.order_by("taken_at").values_list("value", flat=True)
        assert list(values) == [20, 21, 22, 23]
        homes = {row._state.db for row in Reading.objects.order_by("taken_at")}
        assert len(homes) == 2


def test_one_statement_for_each_batch(people) -> None:
    with CaptureQueriesContext(connections["people"]) as queries:
        domicile.bulk_upsert(
            Person, ({"pk": n, "name": str(n)} for n in range(1, 21)), batch_size=10
        )
    assert len([query for query in queries if "INSERT" in query["sql"]]) == 2
