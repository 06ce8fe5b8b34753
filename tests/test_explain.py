"""Why a query goes where it goes, the map of all that, and both as commands print them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections, transaction
from django.test import override_settings

import domicile
from domicile import explain_route
from domicile.admin.picture import NARROW, WIDE, draw
from domicile.exceptions import InvalidName
from domicile.explain import Route
from domicile.map import EACH_TENANT, Crossing, Database, House, Map, draw_map
from domicile.registry import tenant_model
from domicile.rules import Apps, Legacy, Periods, Replicas, Rule
from tests.databases import databases, make_database
from tests.periods import monthly
from tests.tenants import DATABASES, tenant
from tests.testproject.customers.models import Customer
from tests.testproject.events.models import Event
from tests.testproject.people.models import Person, Profile
from tests.testproject.posts.models import Headline, Post, Story, Tag
from tests.testproject.sensors.models import Reading
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(databases=DATABASES)


@dataclass(frozen=True)
class Copies(Rule):
    """Reads of a database go to the last of its copies."""

    primary: str
    members: tuple[str, ...]
    policy: str = "the_last"

    def databases(self) -> Collection[str]:
        return (self.primary, *self.members)

    def readers(self, alias: str) -> Any:
        if alias != self.primary:
            return None
        return SimpleNamespace(aliases=self.members, choose=lambda: self.members[-1])


class Elsewhere:
    """A router of the project's own."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "old" if model is Event else None


RULES = [
    Apps({"people": "users", "posts": "posts", "events.Event": "posts"}),
    Legacy("old", apps=["customers"]),
    Copies("users", ("users_replica",)),
]


def files(*aliases: str) -> dict[str, dict[str, Any]]:
    return {alias: make_database("sqlite", f"explained-{alias}") for alias in aliases}


@pytest.fixture
def campus() -> Iterator[None]:
    with databases(files("users", "users_replica", "posts", "old"), RULES):
        yield


def decided(route: Route) -> tuple[str | None, str]:
    assert route.refused is None
    return route.alias, route.rule


# Routes ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("campus")
class TestRoute:
    @pytest.mark.parametrize(
        "model", [Person, Profile, Post, Headline, Story, Tag, Event, Customer]
    )
    @pytest.mark.parametrize("write", [False, True])
    def test_it_is_where_django_goes(self, model: Any, write: bool) -> None:
        queryset = model.objects.all()
        queryset._for_write = write
        if not (model is Customer and write):
            assert explain_route(queryset).aliases == (queryset.db,)
            assert explain_route(model, write=write).alias == queryset.db
            assert explain_route(model.objects, write=write).alias == queryset.db

    def test_an_app(self) -> None:
        route = explain_route(Post)
        assert decided(route) == ("posts", "Apps")
        assert str(route) == ("posts.Post is read from 'posts'. Apps puts posts.Post in 'posts'.")
        assert explain_route(Event).reasons == ("Apps puts events.Event in 'posts'.",)

    @pytest.mark.parametrize("model", [Headline, Story, Post.tags.through])
    def test_what_follows_another_model(self, model: Any) -> None:
        route = explain_route(model, write=True)
        assert decided(route) == ("posts", "Apps")
        assert route.reasons[0] == f"{model._meta.label} is where posts.Post is."

    def test_a_replica(self) -> None:
        route = explain_route(Person.objects.all())
        assert decided(route) == ("users_replica", "Apps, Copies")
        assert route.reasons[1] == (
            "Copies reads 'users' from its replicas, by 'the_last': this one now."
        )
        assert decided(explain_route(Person, write=True)) == ("users", "Apps")

    def test_no_replica_inside_atomic(self) -> None:
        with transaction.atomic(using="users"):
            route = explain_route(Person)
        assert decided(route) == ("users", "Apps")
        assert route.reasons[1].endswith("none inside its atomic().")

    def test_no_replica_where_the_primary_is_asked_for(self) -> None:
        """Of a set of real replicas, which heed the unit of work."""
        rules = [Apps({"people": "users"}), Replicas("users", ["users_replica"])]
        with databases(files("users", "users_replica"), rules), domicile.primary():
            route = explain_route(Person)
        assert decided(route) == ("users", "Apps")
        assert "must see what was written" in route.reasons[1]

    def test_a_named_alias(self) -> None:
        route = explain_route(Post.objects.using("old"))
        assert decided(route) == ("old", "using()")
        assert route.reasons == ("using('old') names it.",)

    def test_a_router_of_the_project(self) -> None:
        routers = [f"{__name__}.Elsewhere", "domicile.router.Router"]
        with override_settings(DATABASE_ROUTERS=routers):
            route = explain_route(Event)
            assert decided(route) == ("old", f"{__name__}.Elsewhere")
            assert decided(explain_route(Event, write=True)) == ("posts", "Apps")

    def test_a_write_that_is_refused(self) -> None:
        route = explain_route(Customer, write=True)
        assert route.alias == "old"
        assert route.refused == "The write is refused: Legacy lets 'old' only be read."
        assert str(route).startswith("customers.Customer cannot be written to 'old'.")
        assert explain_route(Customer).refused is None

    def test_writes_that_are_prevented(self) -> None:
        with domicile.writes_prevented("A backup runs."):
            assert "A backup runs." in str(explain_route(Post, write=True).refused)
            assert explain_route(Post).refused is None

    def test_a_queryset_says_whether_it_writes(self) -> None:
        queryset = Person.objects.select_for_update()
        assert decided(explain_route(queryset)) == ("users", "Apps")

    def test_it_sends_nothing_and_leaves_the_queryset_alone(self) -> None:
        queryset = Person.objects.filter(name="Ama")
        explain_route(queryset, write=True)
        assert not queryset._for_write
        assert queryset._result_cache is None
        assert connections["users_replica"].connection is None

    def test_a_record_is_plain(self) -> None:
        record = json.loads(json.dumps(explain_route(Customer, write=True).as_record()))
        assert record["aliases"] == ["old"]
        assert record["operation"] == "write"
        assert record["refused"]


class TestTenants:
    def test_none_is_active(self) -> None:
        route = explain_route(Student)
        assert (route.aliases, route.rule) == ((), "tenants")
        assert "none is active" in str(route.refused)
        assert str(route).startswith("students.Student cannot be read from anywhere.")

    def test_one_is_active(self) -> None:
        with tenant("accra") as accra, accra.activate():
            assert decided(explain_route(Student)) == (accra.alias, "tenants")
            assert explain_route(Student).reasons == (
                "'students' is in each tenant, and the active one is meant.",
            )
            shared = explain_route(University)
        assert decided(shared) == ("shared", "shared")
        assert "while a tenant is active" in shared.reasons[-1]

    def test_what_is_in_no_tenant(self) -> None:
        assert decided(explain_route(University)) == ("default", "shared")
        route = explain_route(tenant_model())
        assert route.reasons == ("No rule names 'universities', so it is in the shared home.",)

    def test_a_queryset_of_a_tenant(self) -> None:
        with tenant("accra") as accra:
            route = explain_route(Student.objects.using(accra.alias))
        assert decided(route) == (accra.alias, "using()")


class TestPeriods:
    @pytest.mark.parametrize(
        "at", ["2026-11", "2026-11-21", "2026-11-21T08:00:00Z", datetime(2026, 11, 21, tzinfo=UTC)]
    )
    def test_a_row_of_a_time(self, at: Any) -> None:
        with monthly("files") as homes:
            homes.make(homes.calendar.parse("2026-11"))
            route = explain_route(Reading, at=at)
        assert decided(route) == ("period:months:2026-11", "Periods")
        assert route.reasons == (
            "Periods gives each month of sensors.Reading a home of its own, by 'taken_at'.",
        )

    def test_a_home_that_is_not_there_yet(self) -> None:
        with monthly("files"):
            route = explain_route(Reading, at="2026-11", write=True)
        assert route.alias == "period:months:2026-11"
        assert "no home yet" in route.reasons[-1]

    def test_a_range(self) -> None:
        with monthly("files") as homes:
            for name in ("2026-10", "2026-11", "2026-12"):
                homes.make(homes.calendar.parse(name))
            after = datetime(2026, 11, 1, tzinfo=UTC)
            route = explain_route(Reading.objects.filter(taken_at__gte=after))
        assert route.aliases == ("period:months:2026-11", "period:months:2026-12")

    def test_no_range(self) -> None:
        with monthly("files", unbounded="refuse"):
            assert "names no range" in str(explain_route(Reading.objects.all()).refused)

    @pytest.mark.parametrize("at", ["yesterday", "2026-13", ""])
    def test_no_time(self, at: str) -> None:
        with monthly("files"), pytest.raises(InvalidName):
            explain_route(Reading, at=at)

    def test_a_model_that_has_no_periods(self) -> None:
        with pytest.raises(InvalidName, match="one place at all times"):
            explain_route(University, at="2026-11")


# The map -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("campus")
class TestMap:
    def test_databases(self) -> None:
        drawn = {each.alias: each for each in draw_map().databases}
        assert drawn["users"].notes == ("read by the_last",)
        assert drawn["users_replica"].notes == ("replica of users",)
        assert drawn["old"].notes == ("never migrated", "read-only")
        assert drawn["posts"].address == "explained-posts.sqlite3"
        assert drawn["default"].engine == "postgresql"
        assert "schema (in default)" in drawn[EACH_TENANT].placements
        assert [each.alias for each in draw_map().replicas_of("users")] == ["users_replica"]

    def test_models(self) -> None:
        drawn = draw_map()
        houses = {house.model: house for house in drawn.houses}
        assert houses["posts.Post"].aliases == ("posts",)
        assert houses["posts.Post"].rule == "Apps"
        assert "posts.Headline" not in houses
        assert houses["customers.Customer"].note == "unmanaged"
        assert houses["students.Student"].aliases == (EACH_TENANT,)
        assert houses["auth.User"].aliases == ("default", EACH_TENANT)
        assert houses["auth.User"].rule == "shared, tenants"
        assert [house.model for house in drawn.by_alias["users"]] == [
            "people.Person",
            "people.Profile",
        ]

    def test_every_model_is_where_the_router_says(self) -> None:
        for house in draw_map().houses:
            app_label, name = house.model.split(".")
            model = apps.get_model(app_label, name)
            if house.aliases != (EACH_TENANT,):
                assert explain_route(model, write=True).alias == house.aliases[0]

    def test_relations(self) -> None:
        (crossing,) = draw_map().crossings
        assert (crossing.field, crossing.alias, crossing.to_alias) == (
            "posts.Post.author",
            "posts",
            "users",
        )
        assert not crossing.is_declared
        with databases(files("users", "posts"), RULES[:1], RELATIONS=["posts.Post.author"]):
            assert draw_map().crossings[0].is_declared

    def test_a_database_that_is_missing(self) -> None:
        with databases({}, [Apps({"people": "nowhere"})]):
            (missing,) = [each for each in draw_map().databases if each.alias == "nowhere"]
        assert missing.address == "not in DATABASES"

    def test_a_database_that_was_added(self) -> None:
        domicile.add_database("added", files("added")["added"])
        try:
            assert "added" in [each.alias for each in draw_map().databases]
        finally:
            domicile.remove_database("added")


def test_the_map_tells_of_periods() -> None:
    with monthly("files"):
        drawn = draw_map()
    (house,) = [house for house in drawn.houses if house.model == "sensors.Reading"]
    assert (house.rule, house.note) == (Periods.__name__, "one per month")
    (database,) = [each for each in drawn.databases if each.alias in house.aliases]
    assert database.placements == ("months (sqlite3)",)


# The picture -------------------------------------------------------------------------------------


def a_map(apps: int = 3, others: int = 6) -> Map:
    aliases = [f"database{number}" for number in range(others)]
    houses = [House(f"app{n}.Model", "", ("default",), "shared") for n in range(apps)]
    houses += [House(f"{alias}.Model", "", (alias,), "Apps") for alias in aliases]
    crossings = [
        Crossing(f"{alias}.Model.f", f"{alias}.Model", alias, "app0.Model", "default", number > 2)
        for number, alias in enumerate(aliases)
    ]
    known = [Database(alias, "postgresql", "somewhere") for alias in ("default", *aliases)]
    return Map(tuple(known), tuple(houses), tuple(crossings))


@pytest.mark.parametrize("shape", [WIDE, NARROW])
class TestPicture:
    def test_cards_do_not_touch(self, shape: Any) -> None:
        picture = draw(a_map(), shape)
        assert len(picture.cards) == 7
        for card in picture.cards:
            assert card.right <= picture.width
            assert card.y + card.height <= picture.height
            for other in picture.cards:
                apart = other.y >= card.y + card.height or card.y >= other.y + other.height
                assert card is other or card.column != other.column or apart

    def test_lines_end_at_apps(self, shape: Any) -> None:
        picture = draw(a_map(), shape)
        default = picture.cards[0]
        assert [link.is_declared for link in picture.links] == [False] * 3 + [True] * 3
        for link in picture.links:
            x, y = link.path.split()[-2:]
            assert int(x) in (default.x, default.right)
            assert int(y) == default.lines[0].middle

    def test_lines_keep_out_of_cards(self, shape: Any) -> None:
        picture = draw(a_map(others=20), shape)
        inner = shape.columns > 1
        for link in picture.links:
            places = [int(x) for x in link.path.replace("M", "").replace("C", " ").split()[::2]]
            low, high = (picture.cards[0].right, WIDE.card + WIDE.gutter + 2) if inner else (0, 0)
            assert not inner or all(low <= x <= high for x in places)
            assert max(places) <= picture.width

    def test_many_apps_are_told_by_a_number(self, shape: Any) -> None:
        lines = draw(a_map(apps=12), shape).cards[0].lines
        assert len(lines) == 8
        assert (lines[-1].name, lines[-1].detail) == ("5 more apps", "5 models")

    def test_an_empty_map(self, shape: Any) -> None:
        assert draw(Map((), (), ()), shape).cards == ()


# The commands ------------------------------------------------------------------------------------


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def printed(*words: str, terminal: bool = False) -> str:
    output = Terminal() if terminal else StringIO()
    call_command("databases", *words, stdout=output, no_color=True, skip_checks=True)
    return output.getvalue()


@pytest.mark.usefixtures("campus")
class TestCommands:
    def test_route(self) -> None:
        assert printed("route", "posts.Post").splitlines() == [
            "posts.Post is read from 'posts'.",
            "- Apps puts posts.Post in 'posts'.",
        ]
        assert "users_replica" in printed("route", "people.person")
        assert "people.Person is written to 'users'." in printed(
            "route", "people.Person", "--write"
        )

    def test_route_of_a_refused_query(self) -> None:
        assert "- The write is refused" in printed("route", "customers.Customer", "--write")
        assert "none is active" in printed("route", "students.Student")

    def test_route_in_a_tenant(self) -> None:
        with tenant("accra"):
            assert "tenant:accra" in printed("route", "students.Student", "--tenant", "accra")

    def test_route_as_json(self) -> None:
        told = json.loads(printed("route", "posts.Post", "--json"))
        assert (told["aliases"], told["rule"]) == (["posts"], "Apps")

    @pytest.mark.parametrize("model", ["posts.Nothing", "posts", "a.b.c"])
    def test_route_of_no_model(self, model: str) -> None:
        with pytest.raises(CommandError, match=r"write it as app\.Model"):
            printed("route", model)

    def test_route_at_a_time(self) -> None:
        with monthly("files"):
            told = printed("route", "sensors.Reading", "--write", "--at", "2026-11")
        assert "is written to 'period:months:2026-11'." in told
        with pytest.raises(CommandError, match="one place at all times"):
            printed("route", "posts.Post", "--at", "2026-11")

    def test_route_asks_replicas_first(self) -> None:
        """A command is a process that has just begun, and knows nothing of replicas."""
        nowhere = {"ENGINE": "domicile.backends.postgresql", "HOST": "127.0.0.1", "PORT": 1}
        added = {alias: {**nowhere, "NAME": "users"} for alias in ("users", "users_replica")}
        rules = [Apps({"people": "users"}), Replicas("users", ["users_replica"], connect_seconds=5)]
        with databases(added, rules):
            told = printed("route", "people.Person")
        assert "'users_replica' is left out (it does not answer" in told

    def test_map(self) -> None:
        rows = [line.split("\t") for line in printed("map").splitlines()]
        assert ["old", "sqlite3", "explained-old.sqlite3", "1", "never migrated, read-only"] in rows
        assert [
            "users_replica",
            "sqlite3",
            "explained-users_replica.sqlite3",
            "",
            "replica of users",
        ] in rows
        assert ["posts.Post", "posts", "Apps", ""] in rows
        assert ["posts.Post.author", "posts", "users", "no"] in rows

    def test_map_as_json(self) -> None:
        told = json.loads(printed("map", "--json"))
        assert set(told) == {"databases", "models", "relations"}
        assert {"users", "posts", EACH_TENANT} <= {each["alias"] for each in told["databases"]}

    @pytest.mark.parametrize("words", [["map"], ["route", "people.Person"]])
    def test_in_a_terminal_nothing_is_cut_off(
        self, words: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        told = printed(*words, terminal=True)
        plain = re.sub(r"\x1b\[\d*m", "", told)
        assert max(map(len, plain.splitlines())) <= 80
        assert "…" not in told
