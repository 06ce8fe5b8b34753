"""What rules say by themselves, what is wrong with a set of them, and databases of others."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import Tags, run_checks
from django.db import DatabaseError, connections, transaction
from django.test import override_settings

from domicile.exceptions import WriteRefused
from domicile.rules import Apps, Dns, Fixed, Legacy, Replicas, Rule
from tests.databases import databases, make_database
from tests.testproject.customers.models import CREATE_TABLE, Customer
from tests.testproject.people.models import Person, Profile
from tests.testproject.posts.models import Post

PLACES = Apps({"people": "users", "posts": "users"})


def found(**changes: Any) -> set[str]:
    added = {
        name: {"ENGINE": "domicile.backends.sqlite3", "NAME": ":memory:"}
        for name in ("users", "blog")
    }
    reached = {"users": [PLACES], "blog": [Legacy("blog")]}
    given = changes.pop("rules", [])
    rules = [
        *given,
        *(rule for alias, own in reached.items() for rule in own if not _named(alias, given)),
    ]
    if changes.pop("alone", False):
        rules = given
    with databases(added, rules, **changes):
        return {message.id.removeprefix("domicile.") for message in run_checks(tags=["domicile"])}


def _named(alias: str, rules: list[Any]) -> bool:
    return any(isinstance(rule, Rule) and alias in rule.databases() for rule in rules)


def test_apps_knows_models_and_their_apps() -> None:
    rule = Apps({"people": "users", "people.Profile": "blog"})
    assert rule.lodging(Person) == Fixed(rule, "users")
    assert rule.lodging(Profile) == Fixed(rule, "blog")
    assert rule.lodging(Post) is None
    assert set(rule.databases()) == {"users", "blog"}
    assert (rule.app_alias("people"), rule.app_alias("posts")) == ("users", None)


def test_legacy_is_never_migrated() -> None:
    lodging = Legacy("legacy", apps=["customers"]).lodging(Customer)
    assert lodging is not None
    assert (lodging.alias, lodging.is_migrated, lodging.is_writable) == ("legacy", False, False)
    writable = Legacy("erp", apps=["customers.Customer"], writable=True).lodging(Customer)
    assert writable is not None
    assert writable.is_writable
    assert Legacy("legacy").lodging(Customer) is None


def test_rules_are_values() -> None:
    assert pickle.loads(pickle.dumps(PLACES)) == PLACES
    assert Legacy("legacy") == Legacy("legacy")
    with pytest.raises(AttributeError):
        PLACES.places = {}  # type: ignore[misc]


def test_a_rule_of_the_projects_own() -> None:
    @dataclass(frozen=True)
    class ByName(Rule):
        def lodging(self, model: Any) -> Fixed | None:
            return Fixed(self, "users") if model.__name__ == "Person" else None

    rule = ByName()
    assert rule.lodging(Person) == Fixed(rule, "users")
    assert (rule.readers("users"), rule.app_alias("people"), list(rule.check())) == (None, None, [])


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        ("E026", {"WRITES_OUTSIDE_ATOMIC": "sometimes"}),
        ("E030", {"rules": ["people"]}),
        ("E031", {"rules": [Apps({"people": "attic"})]}),
        ("E031", {"rules": [Legacy("attic")]}),
        ("E032", {"rules": [Apps({"peeple": "users"})]}),
        ("E032", {"rules": [Apps({"people.Persn": "users"})]}),
        ("E032", {"rules": [Legacy("blog", apps=["costumers"])]}),
        ("E033", {"rules": [Apps({"students": "users"})]}),
        ("E033", {"rules": [Apps({"students.Course": "users"})]}),
        ("W034", {"rules": [Legacy("blog")], "alone": True}),
        ("E035", {"rules": [Apps({"people": "users", "posts": "blog"})]}),
        (
            "E035",
            {"rules": [Apps({"people.Profile": "blog", "people": "users", "posts": "users"})]},
        ),
        ("E035", {"rules": [Apps({"posts.Tag": "blog", "posts": "users", "people": "users"})]}),
        ("E036", {"RELATIONS": ["posts.Post.title"]}),
        ("E036", {"RELATIONS": ["posts.Post.publisher"]}),
        ("E036", {"RELATIONS": ["author"]}),
        (
            "W037",
            {
                "rules": [Apps({"people.Profile": "blog", "people": "users", "posts": "users"})],
                "RELATIONS": ["people.Profile.person"],
            },
        ),
        ("E039", {"rules": [Apps({"posts.Story": "blog", "posts": "users", "people": "users"})]}),
    ],
)
def test_finds_a_fault(number: str, changes: dict[str, Any]) -> None:
    assert number in found(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "rules": [Apps({"people": "users", "posts": "blog"})],
            "RELATIONS": ["posts.Post.author"],
        },
        {"rules": [Apps({"posts": "users", "people": "users", "posts.Headline": "users"})]},
        {"rules": [Legacy("blog", apps=["customers"], writable=True)]},
        {"WRITES_OUTSIDE_ATOMIC": "error"},
    ],
)
def test_finds_nothing_in_sound_rules(changes: dict[str, Any]) -> None:
    assert found(**changes) == set()


@pytest.mark.parametrize(
    ("rules", "number", "told"),
    [
        (
            [Replicas("a", ["b"]), Replicas("a", ["c"])],
            "E048",
            "Two rules Replicas(…) are about 'a'",
        ),
        ([Replicas("a", ["c"]), Replicas("b", ["c"])], "E048", "'c' is a replica of 'a' and 'b'"),
        ([Replicas("a", {"b": 1}), Replicas("b", ["c"])], "E049", "'b' is a replica of 'a', and"),
    ],
)
def test_finds_replicas_of_two_minds(rules: list[Rule], number: str, told: str) -> None:
    added = {name: {"ENGINE": "domicile.backends.postgresql", "NAME": name} for name in "abc"}
    with databases(added, rules):
        messages = {message.id: message for message in run_checks(tags=["domicile"])}
    found = messages.keys() & {"domicile.E048", "domicile.E049"}
    assert found == {f"domicile.{number}"}
    assert told in messages[f"domicile.{number}"].msg
    assert messages[f"domicile.{number}"].hint


@pytest.mark.parametrize(
    "rules",
    [
        [Replicas("a", ["b"]), Replicas("c", discovery=Dns("c.test"))],
        [Replicas("a", ["a", "b", "b"])],  # Told by the rule itself, with its own number.
    ],
)
def test_finds_no_replicas_of_two_minds(rules: list[Rule]) -> None:
    added = {name: {"ENGINE": "domicile.backends.postgresql", "NAME": name} for name in "abc"}
    with databases(added, rules):
        messages = {message.id for message in run_checks(tags=["domicile"])}
    assert not messages & {"domicile.E048", "domicile.E049"}


def test_a_relation_of_many_to_many_is_declared_by_its_field() -> None:
    rules = [Apps({"posts.Tag": "blog", "posts": "users", "people": "users"})]
    assert found(rules=rules) == {"E035"}
    assert found(rules=rules, RELATIONS=["posts.Post.tags"]) == {"W037"}


def test_a_router_of_the_projects_own_may_reach_a_database() -> None:
    routers = ["domicile.router.Router", "domicile.router.Router"]
    with override_settings(DATABASE_ROUTERS=routers):
        assert "W034" not in found(rules=[], alone=True)


def test_every_fault_of_rules_has_a_hint() -> None:
    rules = ["x", Apps({"peeple": "attic", "students": "attic", "posts": "attic"})]
    with databases({}, rules, RELATIONS=["x"], WRITES_OUTSIDE_ATOMIC="x"):
        messages = run_checks(tags=["domicile"])
    assert len(messages) >= 7
    assert all(message.hint for message in messages)


@pytest.mark.django_db
def test_finds_the_twin_of_a_table() -> None:
    with databases({"users": make_database("sqlite", "twins")}, [PLACES]):
        with connections["users"].cursor() as cursor:
            cursor.execute("CREATE TABLE events_event (id integer)")
            cursor.execute("CREATE TABLE people_person (id integer)")
        messages = [
            message
            for message in run_checks(tags=[Tags.database], databases=["users"])
            if message.id == "domicile.W038"
        ]
    assert len(messages) == 1
    assert "'events_event'" in messages[0].msg


@pytest.mark.django_db
def test_without_rules_no_table_is_a_twin() -> None:
    assert not run_checks(tags=[Tags.database], databases=["default"])


@pytest.mark.django_db
@pytest.mark.parametrize("server", ["default", "postgres15", "mariadb", "sqlite"])
@pytest.mark.parametrize("stock", [False, True])
def test_no_session_of_legacy_can_write(server: str, stock: bool) -> None:
    made = make_database(server, f"legacy_{server}")
    if stock:
        made["ENGINE"] = made["ENGINE"].replace("domicile.", "django.db.")
    with databases({"legacy": made}), connections["legacy"].cursor() as cursor:
        cursor.execute(CREATE_TABLE)
        cursor.execute("INSERT INTO customers (id, name) VALUES (1, 'Kofi')")
    with databases({"legacy": made}, [Legacy("legacy", apps=["customers"])]):
        kofi = Customer.objects.get()
        with pytest.raises(WriteRefused):
            kofi.save()
        with transaction.atomic("legacy"):
            assert Customer.objects.count() == 1
        for in_atomic in (False, True):
            with pytest.raises(DatabaseError):
                _write_past_the_guard(in_atomic)
        connections["legacy"].close()
        with pytest.raises(DatabaseError):
            _write_past_the_guard(False)
        assert Customer.objects.count() == 1


def _write_past_the_guard(in_atomic: bool) -> None:
    connection = connections["legacy"]
    connection.ensure_connection()
    guards, connection.execute_wrappers[:] = connection.execute_wrappers[:], []
    try:
        if in_atomic:
            with transaction.atomic("legacy"), connection.cursor() as cursor:
                cursor.execute("DELETE FROM customers")
        else:
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM customers")
    finally:
        connection.execute_wrappers[:] = guards


def test_the_test_project_has_no_rules() -> None:
    assert "RULES" not in settings.DOMICILE
