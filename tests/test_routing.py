"""Which database a model's rows are in, by the rules, and what Django makes of that."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connections, migrations, router, transaction
from django.db.models import Count, Exists, OuterRef
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from domicile import routing
from domicile.context import Activation
from domicile.exceptions import (
    CrossDatabaseError,
    CrossTenantError,
    WriteOutsideAtomic,
    WriteRefused,
)
from domicile.migrating import operation_runs_at
from domicile.placement import Home, Placement
from domicile.replicas.reading import Level, current_reading
from domicile.router import Router
from domicile.rules import Apps, Legacy, Rule
from tests.databases import databases, make_database, migrate
from tests.testproject.customers.models import CREATE_TABLE, Customer
from tests.testproject.events.models import Event
from tests.testproject.people.models import Person, Profile
from tests.testproject.posts.models import Headline, Post, Story, Tag
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db

PLACES = Apps({"people": "users", "posts": "blog"})
DECLARED = ["posts.Post.author"]
NAMES = ("users", "blog", "legacy")


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    """Three databases, of which two have their tables."""
    added = {name: make_database("sqlite", f"routing_{name}") for name in NAMES}
    with django_db_blocker.unblock(), databases(added, [PLACES]):
        migrate("users", "blog")
        with connections["legacy"].cursor() as cursor:
            cursor.execute(CREATE_TABLE)
            cursor.execute("INSERT INTO customers (id, name) VALUES (1, 'Kofi')")
    return added


@pytest.fixture
def places(made: dict[str, Any]) -> Iterator[None]:
    rules = [PLACES, Legacy("legacy", apps=["customers"])]
    with databases(made, rules, RELATIONS=DECLARED):
        yield
    clear(made)


def clear(made: dict[str, Any]) -> None:
    with databases(made):
        for alias, tables in (
            ("users", ("people_profile", "people_person")),
            ("blog", ("posts_post_tags", "posts_story", "posts_post", "posts_tag")),
        ):
            with connections[alias].cursor() as cursor:
                for table in tables:
                    cursor.execute(f"DELETE FROM {table}")


def tables_at(alias: str) -> set[str]:
    return set(connections[alias].introspection.table_names())


def written(name: str = "Ama") -> tuple[Person, Post]:
    author = Person.objects.create(name=name)
    return author, Post.objects.create(title=f"{name}'s", author=author)


# Where tables are.


def test_tables_are_where_rows_are_read(places: None) -> None:
    assert tables_at("users") == {"django_migrations", "people_person", "people_profile"}
    of_posts = {"posts_post", "posts_tag", "posts_post_tags", "posts_story"}
    assert tables_at("blog") == {"django_migrations"} | of_posts


@pytest.mark.parametrize(
    ("alias", "model", "allowed"),
    [
        ("users", Person, True),
        ("default", Person, False),
        ("shared", Person, False),
        ("blog", Headline, True),
        ("blog", Post.tags.through, True),
        ("users", Post.tags.through, False),
        ("blog", Story, True),
        ("users", ContentType, False),
        ("default", ContentType, True),
        ("default", Event, True),
        ("shared", Event, True),
        ("blog", Event, False),
        ("legacy", Customer, False),
        ("default", Customer, False),
    ],
)
def test_a_model_is_migrated_where_its_rows_are(
    places: None, alias: str, model: Any, allowed: bool
) -> None:
    assert router.allow_migrate_model(alias, model) is allowed


@pytest.mark.parametrize(
    ("alias", "app_label", "hints", "allowed"),
    [
        ("users", "people", {}, True),
        ("default", "people", {}, False),
        ("default", "events", {}, True),
        ("users", "events", {}, False),
        ("users", "events", {"database": "users"}, True),
        ("default", "events", {"database": "users"}, False),
        ("default", "events", {"database": "shared"}, True),
        ("blog", "events", {"model": Post}, True),
        ("blog", "events", {"model": "posts.Post"}, True),
        ("default", "events", {"model": Post}, False),
        ("blog", "posts", {"model_name": "post"}, True),
        ("users", "posts", {"model_name": "post"}, False),
        ("users", "people", {"model_name": "gone"}, True),
        ("legacy", "customers", {}, False),
    ],
)
def test_operations_take_hints(
    places: None, alias: str, app_label: str, hints: dict[str, Any], allowed: bool
) -> None:
    assert router.allow_migrate(alias, app_label, **hints) is allowed


def test_an_operation_of_an_app_in_two_databases(made: dict[str, Any]) -> None:
    with databases(made, [Apps({"people.Person": "users"})]):
        assert operation_runs_at("default", "people", None, {})
        assert not operation_runs_at("users", "people", None, {})
    with databases(made, [Apps({"people.person": "users", "people.Profile": "users"})]):
        assert operation_runs_at("users", "people", None, {})
    split = {"people.Person": "users", "people.Profile": "blog"}
    with databases(made, [Apps(split)]), pytest.raises(ImproperlyConfigured, match="hints"):
        operation_runs_at("default", "people", None, {})


def test_models_of_migrations_are_found_by_name(places: None) -> None:
    from django.db.migrations.loader import MigrationLoader

    state = MigrationLoader(None).project_state()
    for label, place in {
        "people.Person": "users",
        "posts.Headline": "blog",
        "posts.Story": "blog",
    }.items():
        historical = state.apps.get_model(label)
        lodging = routing.lodging_of(historical)
        assert lodging is not None
        assert lodging.alias == place
        assert historical not in routing._lodgings


def test_run_python_runs_where_its_hints_say(places: None) -> None:
    ran = []
    operation = migrations.RunPython(
        lambda apps, editor: ran.append(editor.connection.alias), hints={"database": "blog"}
    )
    for alias in ("default", "users", "blog"):
        with connections[alias].schema_editor() as editor:
            operation.database_forwards("people", editor, _State(), _State())
    assert ran == ["blog"]


class _State:
    apps = None

    def clear_delayed_apps_cache(self) -> None: ...


# Where rows are.


def test_rows_are_where_the_rule_says(places: None) -> None:
    author, post = written()
    post.tags.add(Tag.objects.create(name="news"))
    Story.objects.create(title="Two", author=author, text="…")
    assert (author._state.db, post._state.db) == ("users", "blog")
    assert [post.title for post in Headline.objects.order_by("pk")] == ["Ama's", "Two"]
    assert Post.objects.get(pk=post.pk).author == author
    assert [post.title for post in author.posts.order_by("pk")] == ["Ama's", "Two"]
    assert [tag.name for tag in post.tags.all()] == ["news"]
    assert Event.objects.create(name="login")._state.db == "default"


def test_rows_of_other_models_are_prefetched(places: None) -> None:
    author, post = written()
    with CaptureQueriesContext(connections["users"]) as asked:
        (read,) = Post.objects.prefetch_related("author")
        assert read.author.name == author.name
    assert len(asked) == 1
    assert list(Person.objects.prefetch_related("posts").get().posts.all()) == [post]


def test_models_win_over_their_apps(made: dict[str, Any]) -> None:
    with databases(made, [Apps({"people": "users", "people.PROFILE": "blog"})]):
        assert (routing.writing(Person), routing.writing(Profile)) == ("users", "blog")


def test_what_is_read_by_one_join_follows_the_model_that_is_named(made: dict[str, Any]) -> None:
    with databases(made, [Apps({"posts.Post": "blog"})]):
        for model in (Post, Headline, Story, Post.tags.through):
            assert routing.writing(model) == "blog"
        assert routing.writing(Tag) is None


def test_a_key_to_another_database_is_no_constraint(made: dict[str, Any]) -> None:
    added = {**made, "apart": make_database("sqlite", "routing_apart")}
    split = Apps({"people.Person": "users", "people.Profile": "apart"})
    with databases(added, [split], RELATIONS=["people.Profile.person"]):
        migrate("apart")
        assert Profile.objects.create(person_id=7).person_id == 7


def test_the_first_rule_that_has_a_say_wins(made: dict[str, Any]) -> None:
    with databases(made, [Legacy("legacy", ["people"]), PLACES]):
        assert (routing.reading(Person), routing.reading(Post)) == ("legacy", "blog")
        assert routing.reading(Event) is None


def test_a_rule_is_asked_once_for_each_model(made: dict[str, Any]) -> None:
    @dataclass(frozen=True)
    class Counting(Rule):
        asked: list[Any] = field(default_factory=list)

        def lodging(self, model: Any) -> None:
            self.asked.append(model)

    counting = Counting()
    with databases(made, [counting, PLACES]):
        for _ in range(3):
            assert routing.reading(Headline) == routing.writing(Headline) == "blog"
        assert counting.asked == [Post]


def test_a_tenants_rows_stay_in_the_tenant(made: dict[str, Any]) -> None:
    from tests.testproject.students.models import Student

    with databases(made, [Apps({"students": "users"})]):
        assert routing.lodging_of(Student) is None


def test_a_router_of_the_projects_own_is_heard_first(places: None) -> None:
    class Elsewhere:
        def db_for_read(self, model: Any, **hints: Any) -> str | None:
            return "users" if model is Event else None

    with override_settings(DATABASE_ROUTERS=[Elsewhere(), Router()]):
        assert Event.objects.all().db == "users"
        assert Post.objects.all().db == "blog"


def test_an_alias_that_is_named_is_taken(places: None) -> None:
    assert Person.objects.using("blog").db == "blog"
    assert Person.objects.using("default").db == "default"
    assert Person.objects.db_manager("default").all().db == "default"
    assert Event.objects.using("users").db == "users"


def test_nothing_is_declared(made: dict[str, Any]) -> None:
    with databases(made):
        assert routing.lodging_of(Person) is None
        assert Person.objects.all().db == "default"
        assert router.allow_migrate_model("default", Person)
        assert not router.allow_migrate_model("users", Person)


def test_an_app_of_both_is_ruled_outside_tenants(made: dict[str, Any]) -> None:
    rule = Apps({"auth": "users", "contenttypes": "users"})
    with databases(made, [rule]):
        assert User.objects.all().db == "users"
        assert router.allow_migrate_model("users", User)
        assert not router.allow_migrate_model("default", User)
        outside = User(pk=1, username="root")
        outside._state.db = "users"
        with Activation(Home("tenant:a", Placement("schema", "a"))):
            assert User.objects.all().db == "tenant:a"
            assert User.objects.using("shared").db == "shared"
            assert router.allow_migrate_model("tenant:a", User)
            assert router.allow_migrate_model("default", User)
            assert Group.objects.filter(user=outside).db == "tenant:a"
            assert outside.groups.all().db == "users"
            with pytest.raises(CrossTenantError):
                outside.save()


def test_a_rule_may_name_the_shared_home(made: dict[str, Any]) -> None:
    with databases(made, [Apps({"people": "default"}), Apps({"people": "users"})]):
        assert Person.objects.all().db == "default"
        with Activation(Home("tenant:a", Placement("schema", "a"))):
            assert Person.objects.all().db == "shared"
            assert Person.objects.using("default").db == "shared"


# Relations.


def test_a_declared_relation_crosses_databases(places: None) -> None:
    author, post = written()
    other = Person.objects.create(name="Esi")
    post.author = other
    post.save()
    author.posts.add(Post.objects.get(pk=post.pk))
    post.refresh_from_db()
    assert (post.author_id, post.author.name) == (author.pk, "Ama")


def test_another_is_refused_and_says_what_to_declare(made: dict[str, Any]) -> None:
    with databases(made, [PLACES]):
        author = Person.objects.create(name="Ama")
        with pytest.raises(CrossDatabaseError, match=r"'posts\.Post\.author'"):
            Post(title="One", author=author)
    clear(made)


def test_the_key_of_a_relation_may_be_set_by_hand(made: dict[str, Any]) -> None:
    with databases(made, [PLACES]):
        assert Post.objects.create(title="One", author_id=7).author_id == 7
    clear(made)


def test_relations_within_a_database_need_no_declaration(made: dict[str, Any]) -> None:
    with databases(made, [PLACES]):
        person = Person.objects.create(name="Ama")
        assert Profile.objects.create(person=person).person == person
    clear(made)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Post.objects.select_related("author"),
        lambda: Post.objects.filter(author__name="Ama"),
        lambda: Post.objects.values("author__name"),
        lambda: Post.objects.order_by("author__name"),
        lambda: Person.objects.annotate(count=Count("posts")),
        lambda: Person.objects.filter(posts__title="One"),
        lambda: Person.objects.exclude(posts__title="One"),
        lambda: Story.objects.select_related("author"),
    ],
)
def test_no_join_crosses_databases(places: None, ask: Any) -> None:
    written()
    with pytest.raises(CrossDatabaseError):
        list(ask())


def test_joins_within_a_database_go_on(places: None) -> None:
    author, post = written()
    Profile.objects.create(person=author, about="…")
    post.tags.add(Tag.objects.create(name="news"))
    assert [p.person.name for p in Profile.objects.select_related("person")] == ["Ama"]
    assert list(Post.objects.filter(tags__name="news")) == [post]
    assert list(Post.objects.filter(author=author)) == [post]
    assert list(Post.objects.filter(author__in=[author])) == [post]
    assert list(Post.objects.exclude(tags__name="other")) == [post]


def test_nobody_is_deleted_from_under_what_refers_to_them(made: dict[str, Any]) -> None:
    split = Apps({"people.Person": "users", "people.Profile": "blog"})
    with databases(made, [split], RELATIONS=["people.Profile.person"]):
        person = Person.objects.create(name="Ama")
        for delete in (person.delete, Person.objects.all().delete):
            with pytest.raises(CrossDatabaseError, match="DO_NOTHING"):
                delete()
        assert Person.objects.exists()
    clear(made)


def test_posts_stay_when_their_author_is_deleted(places: None) -> None:
    author, post = written()
    Profile.objects.create(person=author)
    author.delete()
    assert list(Post.objects.all()) == [post]
    assert not Profile.objects.exists()


def test_a_content_type_is_looked_for_where_it_lives(places: None) -> None:
    author, _ = written()
    content_type = ContentType.objects.db_manager(author._state.db).get_for_model(author)
    assert content_type == ContentType.objects.get(app_label="people", model="person")


# Parts.


def test_a_part_of_another_database_is_refused(places: None) -> None:
    author, post = written()
    for whole in (
        Post.objects.filter(author__in=Person.objects.filter(name="Ama")),
        Post.objects.filter(author_id__in=Person.objects.values("pk")),
        Post.objects.filter(Exists(Person.objects.filter(pk=OuterRef("author_id")))),
        Post.objects.annotate(n=Person.objects.filter(pk=OuterRef("author_id")).values("name")[:1]),
        Post.objects.values("pk").union(Person.objects.values("pk")),
        Post.objects.filter(pk__in=Event.objects.values("pk")),
        Event.objects.filter(person_id__in=Person.objects.values("pk")),
        Post.objects.filter(Exists(author.posts.using("users").all())),
    ):
        with pytest.raises(CrossDatabaseError, match="hand over its values"):
            list(whole)
    assert list(Post.objects.filter(author__in=list(Person.objects.all()))) == [post]


def test_a_part_of_the_same_database_is_a_part(places: None) -> None:
    author, post = written()
    assert list(Post.objects.filter(pk__in=Headline.objects.values("pk"))) == [post]
    assert list(Post.objects.filter(pk__in=author.posts.all())) == [post]
    assert list(Post.objects.filter(pk__in=Post.objects.using("blog"))) == [post]
    assert list(Post.objects.using("blog").filter(pk__in=Post.objects.all())) == [post]
    assert list(Post.objects.union(Post.objects.filter(title="x"))) == [post]
    assert Event.objects.filter(name__in=University.objects.values("slug")).count() == 0


# Replicas, as the router sees them: a copy of the file of `users` that is always behind.


@dataclass(frozen=True)
class Copies(Rule):
    """Reads of an alias go to `replica`, whatever it shows, but where the primary is asked for."""

    primary: str
    replica: str
    asked: list[str] = field(default_factory=list)

    def readers(self, alias: str) -> Copies | None:
        return self if alias == self.primary else None

    @property
    def aliases(self) -> tuple[str, ...]:
        return (self.replica,)

    def choose(self) -> str:
        if current_reading().level is Level.STRONG:
            return self.primary
        self.asked.append(self.replica)
        return self.replica


@pytest.fixture
def copied(made: dict[str, Any]) -> Iterator[Copies]:
    """Ama is on the primary and on the replica, where she has no address yet; Esi is not there."""
    path = Path(made["users"]["NAME"])
    with databases(made, [PLACES]):
        Person.objects.create(pk=1, name="Ama")
    copy = path.with_name("routing_users_replica.sqlite3")
    shutil.copy(path, copy)
    with databases(made, [PLACES]):
        Person.objects.create(pk=2, name="Esi")
    copies = Copies("users", "users_replica")
    added = {**made, "users_replica": {**made["users"], "NAME": str(copy)}}
    with databases(added, [PLACES, copies], RELATIONS=DECLARED):
        yield copies
    clear(made)


def names() -> list[str]:
    return [person.name for person in Person.objects.order_by("pk")]


def test_reads_go_to_the_replica_and_writes_to_the_primary(copied: Copies) -> None:
    assert names() == ["Ama"]
    Person.objects.create(name="Efua")
    assert names() == ["Ama"]
    assert [p.name for p in Person.objects.using("users").order_by("pk")] == ["Ama", "Esi", "Efua"]
    assert Post.objects.all().db == "blog"
    assert routing.reading(Person) == "users_replica"
    assert routing.writing(Person) == "users"


def test_what_a_row_of_a_replica_is_related_to_stays_where_it_was_read(
    made: dict[str, Any],
) -> None:
    path = Path(made["blog"]["NAME"])
    with databases(made, [PLACES], RELATIONS=DECLARED):
        author, _ = written()
    copy = path.with_name("routing_blog_replica.sqlite3")
    shutil.copy(path, copy)
    added = {**made, "blog_replica": {**made["blog"], "NAME": str(copy)}}
    with databases(added, [PLACES, Copies("blog", "blog_replica")], RELATIONS=DECLARED):
        (post,) = author.posts.all()
        assert (post._state.db, post._state.read_from) == ("blog", "blog_replica")
        assert post.author is author
        assert (author._state.db, hasattr(author._state, "read_from")) == ("users", False)
    clear(made)


def test_inside_atomic_everything_is_on_the_primary(copied: Copies) -> None:
    with transaction.atomic("users"):
        assert names() == ["Ama", "Esi"]
    with transaction.atomic("blog"):
        assert names() == ["Ama"]


def test_a_locked_row_is_read_where_it_is_locked(copied: Copies) -> None:
    with transaction.atomic("users"):
        assert Person.objects.select_for_update().filter(name="Esi").exists()
    assert Person.objects.get_or_create(name="Esi") == (
        Person.objects.using("users").get(pk=2),
        False,
    )


def test_rows_of_a_replica_are_the_primarys(copied: Copies) -> None:
    ama = Person.objects.get()
    assert (ama._state.db, ama._state.read_from) == ("users", "users_replica")
    esi = Person.objects.using("users").get(name="Esi")
    assert router.allow_relation(ama, esi)
    ama.refresh_from_db()
    profile = Profile(about="…")
    profile.person = ama
    profile.save()
    assert profile._state.db == "users"
    ama.profile = profile  # Which stock Django refuses across aliases.
    read = Person.objects.raw("SELECT * FROM people_person")[0]
    assert read._state.db == "users"
    ama.name = "Ama A."
    ama.save()
    assert Person.objects.using("users").get(pk=ama.pk).name == "Ama A."
    assert names() == ["Ama"]


def test_rows_of_a_replica_are_pickled_as_the_primarys(copied: Copies) -> None:
    """As caches keep them, for processes that may have no such rule, or no longer."""
    ama = Person.objects.get()
    pickled = ama._state.__getstate__()
    assert (pickled["db"], pickled["read_from"]) == ("users", "users_replica")
    assert not [name for name in pickled if "domicile" in name]
    again = pickle.loads(pickle.dumps(ama))
    assert (again._state.db, again._state.read_from) == ("users", "users_replica")
    again._state.db = None
    assert again._state.db is None


def test_what_a_select_related_brought_is_the_primarys_too(copied: Copies) -> None:
    with transaction.atomic("users_replica"):
        Profile.objects.using("users_replica").create(person_id=1)
    (profile,) = Profile.objects.select_related("person")
    assert (profile._state.db, profile.person._state.db) == ("users", "users")


def test_deferred_rows_of_a_replica_are_saved_in_part(copied: Copies) -> None:
    ama = Person.objects.only("name").get()
    with CaptureQueriesContext(connections["users"]) as sent:
        ama.save()
    assert len(sent) == 1


def test_rows_of_a_replica_are_added_to_a_relation(copied: Copies) -> None:
    ama = Person.objects.get()
    post = Post.objects.create(title="One", author_id=2)
    ama.posts.add(post)
    assert Post.objects.get().author_id == 1


def test_a_replica_may_be_named(copied: Copies) -> None:
    assert Person.objects.using("users_replica").db == "users_replica"
    inner = Person.objects.using("users").filter(pk=1)
    assert [p.name for p in Person.objects.filter(pk__in=inner)] == ["Ama"]
    assert [p.name for p in Person.objects.using("users").filter(pk__in=Person.objects.all())] == [
        "Ama", "Esi",
    ]  # fmt: skip


def test_validation_reads_the_primary(copied: Copies) -> None:
    with pytest.raises(ValidationError, match="already exists"):
        Person(name="Esi").validate_unique()
    with pytest.raises(ValidationError, match="already exists"):
        Person(name="Esi").full_clean()
    Profile(person_id=2, about="…").full_clean()
    Post(title="One", author_id=2).full_clean()
    assert names() == ["Ama"]


def test_a_replica_is_not_migrated(copied: Copies) -> None:
    assert not router.allow_migrate_model("users_replica", Person)
    assert not router.allow_migrate("users_replica", "people", database="users_replica")
    assert router.allow_migrate("users_replica", "migrations") is False


@pytest.mark.django_db(transaction=True)
def test_replicas_of_the_shared_home(made: dict[str, Any]) -> None:
    copies = Copies("default", "blog")
    with databases(made, [copies]):
        assert Event.objects.all().db == "blog"
        assert Event.objects.using("default").db == "default"
        assert Event.objects.using("shared").db == "shared"
        assert routing.primary_of("blog") == "default"
        with transaction.atomic():
            assert Event.objects.all().db == "default"


def test_where_no_rule_has_replicas_nobody_is_asked(places: None) -> None:
    assert routing.primary_of("users") == "users"
    assert routing.readers_of("users") is None


# What is never written.


def test_legacy_is_read_and_never_written(places: None) -> None:
    kofi = Customer.objects.get()
    assert (kofi.name, kofi._state.db) == ("Kofi", "legacy")
    sent: list[str] = []
    connections["legacy"].connection.set_trace_callback(sent.append)
    for write in (
        lambda: Customer.objects.create(id=2, name="Efua"),
        kofi.save,
        kofi.delete,
        lambda: Customer.objects.update(name="x"),
        lambda: Customer.objects.all().delete(),
        lambda: Customer.objects.bulk_create([Customer(id=3, name="x")]),
        lambda: connections["legacy"].cursor().execute("/* by hand */ DELETE FROM customers"),
    ):
        with pytest.raises(WriteRefused):
            write()
    assert not [sql for sql in sent if "customers" in sql and not sql.startswith("SELECT")]
    assert Customer.objects.count() == 1


def test_the_server_refuses_what_no_guard_saw(places: None) -> None:
    Customer.objects.count()
    with pytest.raises(Exception, match="readonly"):
        connections["legacy"].connection.execute("DELETE FROM customers")


def test_legacy_is_left_alone_by_migrate(places: None) -> None:
    migrate("legacy")
    assert tables_at("legacy") == {"customers"}


def test_legacy_that_may_be_written(made: dict[str, Any]) -> None:
    with databases(made, [Legacy("legacy", apps=["customers"], writable=True)]):
        Customer.objects.create(id=2, name="Efua")
        migrate("legacy")
        assert tables_at("legacy") == {"customers"}
        Customer.objects.filter(pk=2).delete()


# Transactions.


def test_a_write_outside_the_atomic_that_is_open(made: dict[str, Any]) -> None:
    with databases(made, [PLACES], RELATIONS=DECLARED, WRITES_OUTSIDE_ATOMIC="error"):
        person = Person.objects.create(name="Ama")
        with transaction.atomic("users"):
            person.save()
            Post.objects.count()
            for write in (
                lambda: Post.objects.create(title="One", author_id=1),
                lambda: Post.objects.bulk_create([Post(title="One", author_id=1)]),
                lambda: Story.objects.create(title="One", author_id=1),
            ):
                with pytest.raises(WriteOutsideAtomic, match="'blog' outside its atomic"):
                    write()
            with transaction.atomic("blog"):
                Post.objects.create(title="Two", author=person)
            transaction.on_commit(
                lambda: Post.objects.create(title="Three", author=person), using="users"
            )
        assert {post.title for post in Post.objects.all()} == {"Two", "Three"}
    clear(made)


def test_such_a_write_may_be_warned_of(made: dict[str, Any]) -> None:
    with (
        databases(made, [PLACES], WRITES_OUTSIDE_ATOMIC="warn"),
        transaction.atomic("users"),
        pytest.warns(RuntimeWarning, match="'blog' outside its atomic"),
    ):
        Tag.objects.create(name="news")
    clear(made)


def test_such_a_write_is_allowed_unless_declared(places: None) -> None:
    with transaction.atomic("users"):
        Tag.objects.create(name="news")
    assert not connections["blog"].execute_wrappers
    assert not connections["users"].execute_wrappers
