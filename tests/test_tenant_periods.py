"""A tenant's rows in a home for each month: each tenant's own, and never another's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.contrib.admin import AdminSite
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, ProgrammingError, connection, connections, router, transaction
from django.db.models import Count, Sum
from django.db.models.deletion import Collector
from django.test import RequestFactory

import domicile
from domicile.conf import PlacementTemplate, conf
from domicile.context import Activation
from domicile.exceptions import (
    CrossDatabaseError,
    CrossTenantError,
    DomicileError,
    HomeExists,
    HomeMissing,
    InvalidName,
    TenantRequired,
    TenantUnavailable,
)
from domicile.fleet.orphans import drop_orphan, find_orphans
from domicile.fleet.site import handler
from domicile.periods.checks import check_rule
from domicile.periods.homes import homes_of
from domicile.periods.places import period_rules
from domicile.placement import Home, Placement, owner_of
from domicile.registry import registry
from domicile.routing import lodging_of
from domicile.rules import Apps, Periods, Rule
from domicile.rules.checks import check_rules
from tests import servers
from tests.databases import databases
from tests.marks import KINDS, at, by_month, located, placements_of, two_tenants, write
from tests.testproject.marks.models import Mark, Pupil, Remark
from tests.testproject.sensors.models import Reading
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])
AUTUMN = (at("2026-09-01"), at("2026-12-31"))
MONTH = (at("2026-10-01"), at("2026-10-30"))
OWN = Placement("own", "acme")
#: A mark in each of these months, of each tenant.
MONTHS = ("2026-09-15", "2026-10-15", "2026-11-15")


@pytest.fixture(params=list(KINDS))
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Two tenants, on each kind of placement."""
    if KINDS[request.param]:
        servers.require(KINDS[request.param])
    with two_tenants(request.param) as tenants:
        yield tenants


@pytest.fixture
def schemas() -> Iterator[tuple[Any, Any]]:
    with two_tenants() as tenants:
        yield tenants


def fill(tenant: Any, value: int) -> Pupil:
    """A pupil who has a mark in each month, all of one value."""
    with tenant.activate():
        pupil = Pupil.objects.create(name="Ana", home=tenant.slug)
        for day in MONTHS:
            Mark.objects.create(given_at=at(day), value=value, pupil=pupil)
    return pupil


def home(tenant: Any, month: str) -> str:
    return f"tenant:{tenant.slug}/marks:{month}"


# On every kind of home -------------------------------------------------------------------------


def test_each_tenant_reads_its_own_months(both: tuple[Any, Any]) -> None:
    acme, globex = both
    fill(acme, 1)
    fill(globex, 2)
    assert len(located()) == 6
    for tenant, value in ((acme, 1), (globex, 2)):
        with tenant.activate():
            marks = Mark.objects.filter(given_at__range=AUTUMN)
            assert [mark.value for mark in marks.order_by("-given_at")] == [value] * 3
            assert marks.aggregate(Sum("value"), n=Count("id")) == {"value__sum": 3 * value, "n": 3}
            assert marks.filter(given_at__lt=at("2026-10-01")).aliases() == [
                home(tenant, "2026-09")
            ]
            assert {mark._state.db for mark in marks} == {
                home(tenant, month) for month in ("2026-09", "2026-10", "2026-11")
            }
        assert [mark.value for mark in Mark.objects.using(home(tenant, "2026-10"))] == [value]
        assert Mark.objects.using(tenant.alias).count() == 3


def test_rows_are_written_changed_moved_and_deleted_at_home(both: tuple[Any, Any]) -> None:
    acme, globex = both
    fill(globex, 2)
    with acme.activate():
        Mark.objects.bulk_create([Mark(given_at=at(day), value=1) for day in MONTHS])
        mark = Mark.objects.get(given_at=at("2026-10-15"))
        mark.value = 5
        mark.full_clean()
        mark.save()
        mark.refresh_from_db()
        assert mark.value == 5
        mark.given_at = at("2026-11-02")
        mark.save()
        assert mark._state.db == home(acme, "2026-11")
        assert not Mark.objects.using(home(acme, "2026-10")).exists()
        marks = Mark.objects.filter(given_at__range=AUTUMN)
        assert marks.update(value=7) == 3
        assert Mark.objects.using("default").filter(value=7).count() == 3
        mark.save(using="default")
        assert mark._state.db == home(acme, "2026-11")
        assert marks.update(value=7) == 3
        rows = list(marks)
        assert Mark.objects.bulk_update(rows, ["code"]) == 3
        rows[0].delete()
        assert marks.delete()[0] == 2
    with globex.activate():
        assert [mark.value for mark in Mark.objects.all()] == [2, 2, 2]


def test_related_rows_are_the_tenants(both: tuple[Any, Any]) -> None:
    acme, globex = both
    pupil, stranger = fill(acme, 1), fill(globex, 2)
    assert pupil.marks.count() == 3
    with acme.activate():
        assert [mark.value for mark in pupil.marks.all()] == [1, 1, 1]
        made = pupil.marks.create(given_at=at("2026-12-01"), value=4)
        assert (made._state.db, made.pupil) == (home(acme, "2026-12"), pupil)
        (read,) = Pupil.objects.prefetch_related("marks")
        assert len(read.marks.all()) == 4
        marks = Mark.objects.prefetch_related("pupil").order_by("given_at")
        assert {mark.pupil for mark in marks} == {pupil}
        assert Mark.objects.order_by("given_at").first().pupil.home == "acme"
        with pytest.raises(CrossTenantError):
            made.pupil = stranger
        with pytest.raises(CrossTenantError):
            Mark.objects.create(given_at=at("2026-12-01"), pupil=stranger)
        with pytest.raises(CrossTenantError):
            Mark.objects.update(pupil=stranger)


def test_rows_of_another_tenant_are_refused(both: tuple[Any, Any]) -> None:
    acme, globex = both
    fill(acme, 1)
    mark = Mark.objects.using(acme.alias).order_by("given_at").first()
    with globex.activate():
        for write in (
            mark.save,
            mark.delete,
            lambda: mark.save(using=globex.alias),
            lambda: Mark.objects.bulk_create([mark]),
            lambda: Mark.objects.bulk_update([mark], ["value"]),
            lambda: Mark.objects.using(home(globex, "2026-09")).bulk_create([mark]),
        ):
            with pytest.raises(CrossTenantError):
                write()
        mark.refresh_from_db()
        assert mark._state.db == home(acme, "2026-09")
    assert [name for name in located() if "globex" in name] == []
    with acme.activate():
        everything = Mark.objects.all()
    with globex.activate(), pytest.raises(CrossTenantError):
        len(everything)


def test_no_tenant_is_an_error(both: tuple[Any, Any]) -> None:
    for touch in (
        Mark.objects.count,
        Mark.objects.filter(given_at__range=AUTUMN).first,
        lambda: Mark.objects.create(given_at=at("2026-11-01")),
        lambda: Mark.objects.bulk_create([Mark(given_at=at("2026-11-01"))]),
        Mark(given_at=at("2026-11-01")).save,
    ):
        with pytest.raises(TenantRequired):
            touch()
    made = Mark.objects.using(both[0].alias).create(given_at=at("2026-11-01"), value=3)
    assert made._state.db == home(both[0], "2026-11")
    made.value = 4
    made.save()
    assert Mark.objects.using(made._state.db).get().value == 4


def test_tables_are_in_the_months_alone(both: tuple[Any, Any]) -> None:
    acme, _ = both
    fill(acme, 1)
    both_tables = {"marks_mark", "marks_pupil"}
    for alias, table in ((acme.alias, "marks_pupil"), (home(acme, "2026-09"), "marks_mark")):
        with connections[alias].cursor() as cursor:
            assert both_tables.intersection(
                connections[alias].introspection.table_names(cursor)
            ) == {table}
    assert router.allow_migrate_model(home(acme, "2026-09"), Mark)
    assert not router.allow_migrate_model(home(acme, "2026-09"), Pupil)
    assert not router.allow_migrate_model(acme.alias, Mark)
    assert not router.allow_migrate_model("default", Mark)
    with acme.activate():
        assert not router.allow_migrate_model("default", Mark)


def test_what_is_unique_is_so_within_a_month_of_a_tenant(both: tuple[Any, Any]) -> None:
    acme, _ = both
    for tenant in both:
        with tenant.activate():
            Mark.objects.create(given_at=at("2026-11-01"), code="A")
            with pytest.raises(ValidationError):
                Mark(given_at=at("2026-11-02"), code="A").full_clean()
            Mark(given_at=at("2026-12-02"), code="A").full_clean()
    mark = Mark.objects.using(acme.alias).get()
    mark.full_clean()


def test_a_dropped_tenant_leaves_no_homes(both: tuple[Any, Any]) -> None:
    acme, globex = both
    fill(acme, 1)
    fill(globex, 2)
    domicile.drop_tenant(acme)
    own = conf().placement("own")
    assert not [name for name in handler().host(own).store(own).traces() if "acme" in name]
    assert [name for name in located() if "acme" in name] == []
    assert len(located()) == 3
    again = domicile.create_tenant("acme")
    with again.activate():
        assert Mark.objects.count() == 0
        Mark.objects.create(given_at=at("2026-10-01"), value=9)
        assert [mark.value for mark in Mark.objects.all()] == [9]


# Schemas beside the tenant's own ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["schemas", "roles"])
def test_joins_keys_and_raw_sql_reach_the_tenants_own_tables(kind: str) -> None:
    with two_tenants(kind) as (acme, globex):
        fill(acme, 1)
        fill(globex, 2)
        with acme.activate():
            assert Mark.objects.filter(pupil__name="Ana").count() == 3
            marks = Mark.objects.select_related("pupil").order_by("-value", "given_at")
            assert {mark.pupil.home for mark in marks} == {"acme"}
            pupils = Pupil.objects.filter(name="Ana")
            assert Mark.objects.filter(pupil__in=pupils).count() == 3
            assert Mark.objects.values("pupil__home").annotate(n=Count("id")).get() == {
                "pupil__home": "acme",
                "n": 3,
            }
        with connections[home(acme, "2026-10")].cursor() as cursor:
            cursor.execute(
                "SELECT s.home, m.value FROM marks_mark m JOIN marks_pupil s ON s.id = m.pupil_id"
            )
            assert cursor.fetchall() == [("acme", 1)]
        with acme.activate(), pytest.raises(IntegrityError):
            Mark.objects.create(given_at=at("2026-10-01"), pupil_id=77)
        with acme.activate(), connection.cursor() as cursor, pytest.raises(ProgrammingError):
            cursor.execute("SELECT * FROM marks_mark")


def test_the_server_refuses_the_months_of_another_tenant() -> None:
    with two_tenants("roles") as (acme, globex):
        fill(acme, 1)
        fill(globex, 2)
        for alias in (acme.alias, home(acme, "2026-10")):
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT value FROM t_acme_2026_09.marks_mark")
                assert cursor.fetchall() == [(1,)]
                with pytest.raises(ProgrammingError, match="denied"):
                    cursor.execute("SELECT value FROM t_globex_2026_10.marks_mark")
                cursor.execute("SELECT current_user")
                assert cursor.fetchone() == ("marks.t_acme",)


def test_the_role_of_a_tenant_takes_no_other_homes_along() -> None:
    with two_tenants("roles") as (acme, _):
        fill(acme, 1)
        template = conf().placement("own")
        handler().host(template).store(template).drop("t_acme")
        assert len(located()) == 3
        assert Mark.objects.using(home(acme, "2026-10")).count() == 1


def test_a_part_of_a_query_is_read_where_it_is_or_refused(schemas: tuple[Any, Any]) -> None:
    acme, globex = schemas
    fill(acme, 1)
    fill(globex, 2)
    with acme.activate():
        october = Mark.objects.filter(given_at__month=10, given_at__range=MONTH)
        with pytest.raises(CrossDatabaseError):
            list(Pupil.objects.filter(pk__in=october.values("pupil")))
        with pytest.raises(CrossDatabaseError, match="no join crosses"):
            list(Pupil.objects.filter(marks__value=1))
        strangers = Pupil.objects.using(globex.alias).filter(name="Ana")
        with pytest.raises(CrossTenantError):
            list(october.filter(pupil__in=strangers))


def test_what_marks_refer_to_is_not_deleted_behind_them(schemas: tuple[Any, Any]) -> None:
    acme, _ = schemas
    pupil = fill(acme, 1)
    with acme.activate():
        with pytest.raises(IntegrityError):
            pupil.delete()
        mark = Mark.objects.get(given_at=at("2026-10-15"))
        remark = Remark.objects.create(made_at=at("2026-10-16"), mark=mark)
        assert (remark.mark, mark.remarks.get()) == (mark, remark)
        assert Remark.objects.get(made_at=at("2026-10-16")).mark.value == 1
        collector = Collector(router.db_for_write(Mark))  # As the admin asks what goes along.
        collector.collect([mark])
        assert [row for part in collector.fast_deletes for row in part] == [remark]
        with pytest.raises(CrossDatabaseError, match="homes by time"):
            Collector(acme.alias).collect(list(Mark.objects.all()))
        assert mark.delete() == (2, {"marks.Mark": 1, "marks.Remark": 1})
        assert Mark.objects.all().delete()[0] == 2
        pupil.delete()


def test_one_transaction_for_all_homes_of_a_tenant(schemas: tuple[Any, Any]) -> None:
    acme, _ = schemas
    with acme.activate():
        with transaction.atomic():
            pupil = Pupil.objects.create(name="Eva", home="acme")
            Mark.objects.create(given_at=at("2026-10-15"), pupil=pupil)
            assert Mark.objects.count() == 1
            transaction.set_rollback(True)
        assert (Mark.objects.count(), Pupil.objects.count()) == (0, 0)
        Mark.objects.create(given_at=at("2026-10-15"))
        assert Mark.objects.count() == 1


class Copied(Rule):
    """Reads of the database where tenants are go to a replica."""

    class Chosen:
        aliases = ("copy",)

        def choose(self) -> str:
            return "copy"

    def readers(self, alias: str) -> Any:
        return self.Chosen() if alias == "added" else None


def test_reads_of_months_are_the_primarys() -> None:
    with by_month("roles", more=[Copied()]), Activation(Home("tenant:acme", OWN)):
        mark, pupil = Mark(), Pupil()
        mark._state.db, pupil._state.db = "tenant:acme/marks:2026-10", "tenant:acme@copy"
        assert router.db_for_read(Pupil) == "tenant:acme@copy"
        assert router.db_for_read(Mark, instance=mark) == "tenant:acme/marks:2026-10"
        assert router.db_for_read(Pupil, instance=mark) == "tenant:acme@copy"
        rows = Mark.objects.filter(given_at__range=MONTH, pupil=7)
        rows._add_hints(instance=pupil)
        assert rows._tenant == "tenant:acme"


# Names -----------------------------------------------------------------------------------------


def test_the_alias_of_a_month_is_its_tenants() -> None:
    assert owner_of("tenant:acme/marks:2026-11") == "tenant:acme"
    assert owner_of("tenant:acme@replica") == "tenant:acme"
    assert owner_of("period:marks:2026-11") == "period:marks:2026-11"
    with two_tenants() as (acme, _):
        found = connections[home(acme, "2026-11")].home
        assert (found.slug, found.alias) == ("acme", home(acme, "2026-11"))
        assert str(found.beside) == "own:acme"
        for wrong in ("tenant:nobody/marks:2026-11", "tenant:acme/marks:2026-13"):
            with pytest.raises(DomicileError):
                connections[wrong].ensure_connection()


def test_a_slug_too_long_for_its_months_is_refused_before_anything_is_made() -> None:
    with by_month():
        longest = "a" * (63 - len("t__2026_11"))
        domicile.create_tenant(longest)
        with pytest.raises(InvalidName, match="64 bytes"):
            domicile.create_tenant(f"{longest}b")
        assert not University.objects.filter(slug=f"{longest}b").exists()
    with by_month(retire="detach", keep=12), pytest.raises(InvalidName):
        domicile.create_tenant(longest)


def test_homes_that_nobody_has_are_no_new_tenants() -> None:
    with by_month():
        template = conf().placement("marks")
        store = handler().host(template).store(template)
        store.create("t_acme_2026_11")
        with pytest.raises(HomeExists, match="t_acme_2026_11"):
            domicile.create_tenant("acme")
        assert not University.objects.exists()
        assert located() == ["t_acme_2026_11"]
        (orphan,) = [site for site in find_orphans() if site.name == "t_acme_2026_11"]
        drop_orphan(orphan)
        write(domicile.create_tenant("acme"), "2026-11-01")
        with pytest.raises(TenantUnavailable, match="no orphan"):
            drop_orphan(orphan)
        assert located() == ["t_acme_2026_11"]


#: The pattern of tenants' homes, that of their months, and whether the names are always apart.
PATTERNS = [
    ("t_{slug}", "t_{slug}_{period}", "month", True),
    ("{slug}", "{slug}_{period}", "year", True),
    ("t_{slug}", "t_{period}_{slug}", "month", True),
    ("t_{slug}", "t_{slug}-{period}", "year", False),
    ("t_{slug}", "t_{slug}-{period}", "month", True),
    ("t_{slug}", "t_{slug}{period}", "month", False),
    ("t_{slug}", "t_{slug}x{period}", "month", False),
    ("t_{slug}_2026_11", "t_{slug}_{period}", "month", False),
    ("{slug}_detached", "{slug}_{period}_detached", "month", True),
    ("t_{slug}", "t-{slug}_{period}", "month", True),
]


@pytest.mark.parametrize(("own", "period", "every", "is_apart"), PATTERNS)
def test_no_two_homes_have_one_name(own: str, period: str, every: Any, is_apart: bool) -> None:
    placements = {
        "own": {"DATABASE": "default", "SCHEMA": own},
        "marks": {"DATABASE": "default", "SCHEMA": period},
    }
    with by_month(PLACEMENTS=placements, every=every):
        faults = [
            fault.id for fault in check_rule(period_rules()[0]) if fault.id != "domicile.W054"
        ]
        assert faults == ([] if is_apart else ["domicile.E059"] * len(faults))
        assert bool(faults) is not is_apart
        if not is_apart:
            with pytest.raises(ImproperlyConfigured, match="marks"):
                homes_of("marks", "acme")


def test_two_placements_of_months_may_not_share_names() -> None:
    schemas = {"DATABASE": "default", "SCHEMA": "t_{slug}_{period}"}
    placements = {**placements_of("schemas"), "others": schemas}
    with by_month(PLACEMENTS=placements):
        assert "domicile.E059" not in [fault.id for fault in check_rule(period_rules()[0])]
    other = Periods("marks.Remark", field="made_at", placement="others")
    mark = Periods("marks.Mark", field="given_at", placement="marks")
    with databases({}, rules=[mark, other], PLACEMENTS=placements):
        assert "domicile.E059" in [fault.id for fault in check_rule(mark)]


def test_rules_name_placements_for_what_the_model_is() -> None:
    placements = {
        **placements_of("schemas"),
        "months": {"DATABASE": "default", "SCHEMA": "m_{period}"},
    }
    wrong = [
        Periods("marks.Mark", field="given_at", placement="months"),
        Periods("sensors.Reading", field="taken_at", placement="marks"),
    ]
    with databases({}, rules=wrong, PLACEMENTS=placements, DEFAULT_PLACEMENT="own"):
        for rule in wrong:
            assert [fault.id for fault in check_rule(rule)] == ["domicile.E058"]
        assert lodging_of(Mark) is None
        assert lodging_of(Reading) is None
        apps_rule = [Apps({"marks": "default"})]
    with databases({}, rules=apps_rule):
        assert "domicile.E033" in [fault.id for fault in check_rules(None)]


def test_a_wrong_placement_is_told_with_what_it_needs() -> None:
    with pytest.raises(ImproperlyConfigured, match="needs a SCHEMA or a NAME"):
        PlacementTemplate.from_settings("x", {"DATABASE": "default", "SCHEMA": "all"})
    template = PlacementTemplate.from_settings(
        "x", {"ENGINE": "x", "NAME": "/f/{slug}/{slug}_{period}.sqlite3"}
    )
    assert template.locate("acme/2026_11") == "/f/acme/acme_2026_11.sqlite3"
    assert template.name_at("/f/acme/acme_2026_11.sqlite3") == "acme/2026_11"
    assert template.name_at("/f/acme/globex_2026_11.sqlite3") is None
    assert template.within("acme").name_at("/f/globex/globex_2026_11.sqlite3") is None


def test_a_home_of_another_tenant_is_never_taken_for_a_month() -> None:
    """A name that only the row of a tenant tells of."""
    with two_tenants(every="year") as (acme, globex):
        template = conf().placement("own")
        handler().host(template).store(template).rename("t_globex", "t_acme_2026")
        University.objects.filter(pk=globex.pk).update(placement_name="acme_2026")
        with pytest.raises(HomeExists, match="is the home of a tenant"):
            Mark.objects.using(acme.alias).create(given_at=at("2026-11-01"))
        University.objects.filter(pk=globex.pk).update(placement_name="globex")
        handler().host(template).store(template).rename("t_acme_2026", "t_globex")


def test_a_table_from_before_the_rule_is_not_read() -> None:
    # Where no other tables are twice, a home is looked for only now and then.
    with two_tenants(TENANT_APPS=["students", "marks"], SHARED_APPS=[]) as (acme, _):
        fill(acme, 1)
        with connections[acme.alias].cursor() as cursor:
            cursor.execute("CREATE TABLE marks_mark AS TABLE t_acme_2026_09.marks_mark")
        with acme.activate():
            assert Mark.objects.get(given_at__range=MONTH).value == 1
        with connections["shared"].cursor() as cursor:
            cursor.execute("DROP SCHEMA t_acme_2026_10 CASCADE")
        with acme.activate(), pytest.raises(HomeMissing):
            Mark.objects.using(home(acme, "2026-10")).count()


def test_tenants_write_a_new_month_at_once(both: tuple[Any, Any]) -> None:
    barrier, faults = threading.Barrier(4), []

    def write(tenant: Any, day: str) -> None:
        try:
            barrier.wait()
            with tenant.activate():
                Mark.objects.create(given_at=at(day), value=len(tenant.slug))
        except BaseException as fault:
            faults.append(fault)
        finally:
            connections.close_all()

    work = [(tenant, day) for tenant in both for day in ("2026-11-01", "2026-11-02")]
    threads = [threading.Thread(target=write, args=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for tenant in both:
        rows = Mark.objects.using(tenant.alias).values_list("value", flat=True)
        assert list(rows) == [len(tenant.slug)] * 2


def test_the_admin_deletes_marks(schemas: tuple[Any, Any]) -> None:
    acme, globex = schemas
    fill(acme, 1)
    fill(globex, 2)
    site = AdminSite()
    site.register(Mark)
    request = RequestFactory().get("/")
    request.user = mock.Mock(has_perm=lambda *_: True)
    with acme.activate():
        admin = site.get_model_admin(Mark)
        rows = admin.get_queryset(request).filter(given_at__range=MONTH)
        _, counts, _, protected = admin.get_deleted_objects(rows, request)
        assert (counts, protected) == ({"marks": 1}, [])
        admin.delete_queryset(request, rows)
        assert Mark.objects.count() == 2
    assert Mark.objects.using(globex.alias).count() == 3


def test_bulk_upserts_find_rows_again(schemas: tuple[Any, Any]) -> None:
    acme, globex = schemas
    marks = [Mark(given_at=at(day), value=1) for day in MONTHS]
    with acme.activate():
        assert domicile.bulk_upsert(Mark, marks) == 3
        again = [Mark(id=mark.pk, given_at=mark.given_at, value=2) for mark in marks]
        assert domicile.bulk_upsert(Mark, again) == 3
        assert set(Mark.objects.values_list("value", flat=True)) == {2}
    assert Mark.objects.using(globex.alias).count() == 0


def test_a_restart_of_the_registry_keeps_homes_apart(schemas: tuple[Any, Any]) -> None:
    acme, globex = schemas
    fill(acme, 1)
    fill(globex, 2)
    for tenant, value in ((acme, 1), (globex, 2)):
        registry.clear()
        homes_of("marks", tenant.slug).forget()
        assert {mark.value for mark in Mark.objects.using(tenant.alias)} == {value}
