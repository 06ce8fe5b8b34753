from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import DatabaseError, connection, connections, transaction
from django.db.migrations import Migration
from django.dispatch import Signal
from django.test import override_settings
from django.utils import timezone

import domicile
from domicile import signals
from domicile.exceptions import (
    DomainTaken,
    HomeExists,
    InvalidHost,
    InvalidName,
    InvalidSlug,
    NotSupported,
    SlugTaken,
    TenantBusy,
    TenantRequired,
    TenantUnavailable,
    UnknownTenant,
    WriteOutsideAtomic,
)
from domicile.fleet import dropping, steps
from domicile.fleet.replay.plan import forget_plans
from domicile.fleet.site import Site
from domicile.models import Status
from domicile.placement import Placement
from domicile.registry import registry
from tests.creating import Creator
from tests.databases import databases, make_database
from tests.tenants import DATABASES, domicile_settings, row, tenant
from tests.testproject.students.models import Student
from tests.testproject.universities.models import Hostname, University

pytestmark = pytest.mark.django_db(transaction=True)
#: Of tests in which more than the default database has rows to clear away afterwards.
on_all_databases = pytest.mark.django_db(transaction=True, databases=DATABASES)


def active() -> str | None:
    tenant = domicile.current_tenant()
    return None if tenant is None else tenant.slug


def home_exists(slug: str, placement: str) -> bool:
    return Site.of(Placement(placement, slug)).exists()


def check_nothing_left(slug: str, placement: str) -> None:
    assert not University.objects.filter(slug=slug).exists()
    assert not Hostname.objects.exists()
    assert not home_exists(slug, placement)
    assert registry.by_slug(slug) is None


@contextmanager
def heard(**by_name: Signal) -> Iterator[list[tuple[str, str, str | None]]]:
    """What signals were sent, in order: name, tenant, and the tenant active then."""
    events: list[tuple[str, str, str | None]] = []

    def receiver(signal: Signal, tenant: University, **kwargs: Any) -> None:
        name = next(name for name, known in by_name.items() if known is signal)
        events.append((name, tenant.slug, active()))

    for signal in by_name.values():
        signal.connect(receiver)
    try:
        yield events
    finally:
        for signal in by_name.values():
            signal.disconnect(receiver)


ALL_SIGNALS = {
    name.removeprefix("tenant_"): signal
    for name, signal in vars(signals).items()
    if isinstance(signal, Signal)
}


# Creating ----------------------------------------------------------------------------------------


@on_all_databases
def test_creates_a_home(placement: str) -> None:
    tenant = domicile.create_tenant("accra", placement=placement)
    try:
        with tenant.activate():
            Student.objects.create(registration="1", name="Ama", home="accra")
            assert Student.objects.get().home == "accra"
            assert connection.alias == "tenant:accra"
        with pytest.raises(TenantRequired):
            Student.objects.count()
        assert Student.objects.using("tenant:accra").count() == 1
        assert connections["shared"].alias == "shared"
    finally:
        domicile.drop_tenant("accra")
    assert not University.objects.exists()
    check_nothing_left("accra", placement)


def test_what_a_tenant_is_given() -> None:
    hosts = ["Uni.example", "münchen.example", "uni.example."]
    with tenant("accra", name="University of Accra", domains=hosts, founded=1948) as created:
        stored = University.objects.get()
        assert stored == created
        assert (stored.name, stored.founded) == ("University of Accra", 1948)
        assert stored.placement == Placement("schema", "accra")
        assert stored.status == created.status == Status.ACTIVE
        assert list(stored.domains.order_by("pk").values_list("host", "is_primary")) == [
            ("uni.example", True),
            ("xn--mnchen-3ya.example", False),
        ]
    with tenant("accra") as created:
        assert created.name == "accra"


def test_it_is_visible_only_when_it_is_complete() -> None:
    steps = []

    def progress(step: Any) -> None:
        steps.append(step.kind)
        assert (registry.by_slug("accra") is not None) == (step.kind == "complete"), step
        assert (registry.by_host("uni.example") is not None) == (step.kind == "complete"), step

    with tenant("accra", domains=["uni.example"], progress=progress):
        made = [step for step in steps if step != "template"]
        assert made == ["row", "home", "clone", "complete"]


def test_signals_come_in_order_and_in_the_tenant() -> None:
    with heard(**ALL_SIGNALS) as events, tenant("accra"):
        domicile.suspend_tenant("accra")
        domicile.resume_tenant("accra")
        domicile.rename_tenant("accra", name="Accra")
    assert events == [
        ("creating", "accra", None),
        ("migrated", "accra", "accra"),
        ("created", "accra", "accra"),
        ("suspended", "accra", None),
        ("resumed", "accra", None),
        ("renamed", "accra", None),
        ("dropping", "accra", None),
        ("dropped", "accra", None),
    ]


def fill(tenant: University) -> None:
    assert domicile.current_tenant() == tenant
    Student.objects.create(registration="0", name="First", home=tenant.slug)


def spill(tenant: University) -> None:
    fill(tenant)
    raise ZeroDivisionError


def test_initial_data() -> None:
    with (
        override_settings(DOMICILE=domicile_settings(INITIAL_DATA=f"{__name__}.fill")),
        tenant("accra") as created,
    ):
        assert Student.objects.using(created.alias).get().name == "First"


@on_all_databases
def test_created_from_inside_another_tenant(placement: str) -> None:
    with tenant("accra") as outer, outer.activate(), heard(**ALL_SIGNALS) as events:
        with tenant("kumasi", placement=placement) as inner:
            assert active() == "accra"
            assert Student.objects.count() == 0
            with inner.activate():
                assert Student.objects.count() == 0
            assert domicile.suspend_tenant("kumasi").status == Status.SUSPENDED
        assert active() == "accra"
    assert [event[2] for event in events if event[1] == "kumasi"] == [
        None,
        "kumasi",
        "kumasi",
        None,
        None,
        None,
    ]


def test_created_and_dropped_in_a_transaction() -> None:
    with transaction.atomic():
        domicile.create_tenant("accra")
        with domicile.activate("accra"):
            assert Student.objects.count() == 0
        transaction.set_rollback(True)
    check_nothing_left("accra", "schema")


@on_all_databases
@pytest.mark.parametrize("placement", ["database", "mariadb"])
def test_what_cannot_be_done_in_a_transaction_leaves_nothing(placement: str) -> None:
    using = "mariadb" if placement == "mariadb" else "default"
    with transaction.atomic(using=using), pytest.raises(NotSupported, match="inside a transaction"):
        domicile.create_tenant("accra", placement=placement)
    check_nothing_left("accra", placement)


@contextmanager
def strict() -> Iterator[None]:
    """Another database, and writes outside the transaction that is open are errors."""
    added = {"odd": make_database("sqlite", "lifecycle_odd")}
    with databases(added, WRITES_OUTSIDE_ATOMIC="error"):
        yield


@on_all_databases
def test_strict_outside_transactions(placement: str) -> None:
    with strict(), tenant("accra", placement=placement):
        assert home_exists("accra", placement)
    check_nothing_left("accra", placement)


@on_all_databases
def test_strict_beside_the_transaction_of_another_database(placement: str) -> None:
    open_there = "now: a transaction is open in 'odd'"
    with strict(), transaction.atomic(using="odd"):
        with pytest.raises(WriteOutsideAtomic, match=f"create tenant 'accra' {open_there}"):
            domicile.create_tenant("accra", placement=placement)
        check_nothing_left("accra", placement)
    with tenant("accra", placement=placement) as original:
        with strict(), transaction.atomic(using="odd"):
            with pytest.raises(WriteOutsideAtomic, match=f"drop tenant 'accra' {open_there}"):
                domicile.drop_tenant("accra")
            with pytest.raises(WriteOutsideAtomic, match=f"create tenant 'copy' {open_there}"):
                domicile.copy_tenant("accra", "copy")
        original.refresh_from_db()
        assert original.status == Status.ACTIVE
        check_nothing_left("copy", placement)


def test_strict_in_the_transaction_of_its_own_database() -> None:
    with strict(), transaction.atomic(using="odd"), transaction.atomic():
        domicile.create_tenant("accra")
        domicile.drop_tenant("accra")
    check_nothing_left("accra", "schema")


def test_strict_in_the_transaction_of_its_row_alone() -> None:
    with strict():
        with transaction.atomic(), pytest.raises(WriteOutsideAtomic, match="open in 'default'"):
            domicile.create_tenant("accra", placement="file")
        check_nothing_left("accra", "file")
        with tenant("accra", placement="file"):
            with transaction.atomic(), pytest.raises(WriteOutsideAtomic, match="in 'default'"):
                domicile.drop_tenant("accra")
            assert University.objects.get().status == Status.ACTIVE


# Failures while creating -------------------------------------------------------------------------


class Stop(BaseException):
    """Like `KeyboardInterrupt`, and never raised by anybody else."""


@contextmanager
def failing_receiver(signal: Signal) -> Iterator[None]:
    def receiver(**kwargs: Any) -> None:
        raise ZeroDivisionError

    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


@contextmanager
def failing_migration() -> Iterator[None]:
    apply = Migration.apply

    def failing(self: Migration, state: Any, schema_editor: Any, *args: Any) -> Any:
        if self.app_label == "students":
            schema_editor.execute("CREATE TABLE half_made (id integer)")
            schema_editor.execute("SELECT * FROM no_such_table")
        return apply(self, state, schema_editor, *args)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Migration, "apply", failing)
        forget_plans()  # What was captured in homes before would not fail.
        yield
    forget_plans()


def stop_at(kind: str) -> Callable[[Any], None]:
    def progress(step: Any) -> None:
        if step.kind == kind:
            raise Stop

    return progress


@on_all_databases
def test_whatever_fails_leaves_nothing(placement: str) -> None:
    def create(**options: Any) -> None:
        domicile.create_tenant("accra", placement=placement, domains=["uni.example"], **options)

    for signal in (signals.tenant_creating, signals.tenant_migrated, signals.tenant_created):
        with failing_receiver(signal), pytest.raises(ZeroDivisionError):
            create()
        check_nothing_left("accra", placement)
    by_migrations = override_settings(DOMICILE=domicile_settings(CLONE=False))
    with by_migrations, failing_migration(), pytest.raises(DatabaseError):
        create()
    check_nothing_left("accra", placement)
    with by_migrations, pytest.raises(Stop):
        create(progress=stop_at("migration"))
    check_nothing_left("accra", placement)
    with override_settings(DOMICILE=domicile_settings(INITIAL_DATA=f"{__name__}.spill")):
        with pytest.raises(ZeroDivisionError):
            create()
        check_nothing_left("accra", placement)
        for kind in ("row", "home", "clone"):
            with pytest.raises(Stop):
                create(progress=stop_at(kind))
            check_nothing_left("accra", placement)
    with override_settings(DOMICILE=domicile_settings(INITIAL_DATA=f"{__name__}.fill")):
        for kind in ("data", "complete"):
            with pytest.raises(Stop):
                create(progress=stop_at(kind))
            check_nothing_left("accra", placement)


def test_fields_that_do_not_fit_leave_nothing() -> None:
    with pytest.raises(TypeError):
        domicile.create_tenant("accra", motto="none such")
    with pytest.raises(DatabaseError):
        domicile.create_tenant("accra", name="x" * 300, domains=["uni.example"])
    check_nothing_left("accra", "schema")


def test_what_cannot_be_cleared_away_is_seen_by_nobody_and_cleared_by_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Site) -> None:
        raise DatabaseError("the server is gone")

    with tenant("first"):  # There is a template now, which need not be made anew.
        pass
    with monkeypatch.context() as patch:
        patch.setattr(Site, "drop", broken)
        with pytest.raises(Stop):
            domicile.create_tenant("accra", progress=stop_at("home"))
    assert "the next attempt will" in caplog.text
    assert University.objects.get().status == Status.CREATING
    assert not University.objects.visible().exists()
    assert registry.by_slug("accra") is None
    with tenant("accra", domains=["uni.example"]) as created, created.activate():
        assert Student.objects.count() == 0


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", ["", "Accra", "a;b", "../../etc", "accra\n", "public", "default"])
def test_bad_slugs_create_nothing(slug: str) -> None:
    with pytest.raises(InvalidSlug):
        domicile.create_tenant(slug)
    assert not University.objects.exists()


@pytest.mark.parametrize(
    "host",
    ["", "uni", "10.0.0.1", "[::1]", "localhost", "kumasi.localhost", "testserver", "a'b.example"],
)
def test_bad_hosts_create_nothing(host: str) -> None:
    with pytest.raises(InvalidHost):
        domicile.create_tenant("accra", domains=["uni.example", host])
    check_nothing_left("accra", "schema")


@on_all_databases
def test_names_too_long_for_the_engine_create_nothing() -> None:
    slug = "x" * 63
    with pytest.raises(InvalidName, match="at most"):
        domicile.create_tenant(slug, placement="database")
    with pytest.raises(InvalidName, match="at most"):
        domicile.create_tenant(slug, placement="mariadb")
    assert not University.objects.exists()
    with tenant(slug) as created, created.activate():
        assert Student.objects.count() == 0


def test_taken_names() -> None:
    with tenant("accra", domains=["uni.example", "münchen.example"]):
        with pytest.raises(SlugTaken, match="accra"):
            domicile.create_tenant("accra", domains=["free.example"])
        with pytest.raises(SlugTaken):
            domicile.create_tenant("accra", placement="file")
        for host in ("uni.example", "UNI.example.", "xn--mnchen-3ya.example"):
            with pytest.raises(DomainTaken, match=r"uni\.example|mnchen"):
                domicile.create_tenant("kumasi", domains=["free.example", host])
            assert University.objects.count() == 1
            assert Hostname.objects.count() == 2
            assert not home_exists("kumasi", "schema")
        with tenant("accra-2", domains=["free.example"]):
            assert University.objects.count() == 2


def test_the_slug_of_a_tenant_that_is_being_dropped_is_taken() -> None:
    with tenant("accra"):
        domicile.drop_tenant("accra", grace=timedelta(days=1))
        with pytest.raises(SlugTaken):
            domicile.create_tenant("accra")


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run works in threads that begin together; return their results or errors."""
    start, results = threading.Barrier(len(works)), [None] * len(works)

    def run(number: int, work: Callable[[], Any]) -> None:
        try:
            start.wait()
            results[number] = work()
        except Exception as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_who_claim_a_domain_at_the_same_moment() -> None:
    inside = threading.Barrier(2)

    def meet(**kwargs: Any) -> None:
        inside.wait(timeout=20)

    signals.tenant_creating.connect(meet)
    try:
        results = at_once(
            lambda: domicile.create_tenant("accra", domains=["uni.example"]),
            lambda: domicile.create_tenant("kumasi", domains=["uni.example"]),
        )
    finally:
        signals.tenant_creating.disconnect(meet)
    winners = [result for result in results if isinstance(result, University)]
    losers = [result for result in results if isinstance(result, DomainTaken)]
    assert len(winners) == len(losers) == 1, results
    assert Hostname.objects.get().tenant == winners[0]
    assert University.objects.get() == winners[0]
    domicile.drop_tenant(winners[0])


def test_two_who_claim_a_domain_that_neither_has_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The constraint decides where the look before it saw nothing."""
    row("kumasi", domains=("uni.example",))
    manager = type(Hostname._base_manager)
    monkeypatch.setattr(manager, "filter", lambda self, **kwargs: self.none())
    with pytest.raises(DomainTaken):
        steps.add_domain(University.objects.get(), "uni.example", is_primary=True)


def test_two_who_claim_a_slug_at_the_same_moment() -> None:
    results = at_once(*[lambda: domicile.create_tenant("accra")] * 3)
    winners = [result for result in results if isinstance(result, University)]
    losers = [result for result in results if isinstance(result, SlugTaken | TenantBusy)]
    assert (len(winners), len(losers)) == (1, 2), results
    assert University.objects.get().status == Status.ACTIVE
    domicile.drop_tenant("accra")


def test_the_domain_of_a_tenant_that_another_process_creates_is_taken() -> None:
    with Creator() as creator:
        pid = creator.start("accra", "schema", stop_at=1)
        assert creator.outcome()["stopped"] == "row"
        with pytest.raises(DomainTaken):
            domicile.create_tenant("kumasi", domains=["accra.example"])
        with pytest.raises(TenantBusy, match="Another process"):
            domicile.create_tenant("accra")
        with pytest.raises(TenantBusy):
            domicile.drop_tenant("accra")
        with pytest.raises(TenantBusy):
            domicile.migrate_tenant("accra")
        with pytest.raises(TenantUnavailable, match="being created"):
            domicile.suspend_tenant("accra")
        with pytest.raises(TenantUnavailable, match="being created"):
            domicile.resume_tenant("accra")
        assert University.objects.get().status == Status.CREATING
        creator.end(pid)
    assert not University.objects.visible().exists()


# Homes of others ---------------------------------------------------------------------------------


def make_foreign(placement: str) -> Site:
    site = Site.of(Placement(placement, "accra"))
    site.store.create(site.name)
    if placement == "file":
        Path(site.name).write_bytes(b"not a tenant's")
    return site


def check_untouched(site: Site, placement: str) -> None:
    assert site.exists()
    if placement == "file":
        assert Path(site.name).read_bytes() == b"not a tenant's"
    assert not University.objects.exists()
    site.drop()


@on_all_databases
def test_a_home_of_somebody_else_stays_untouched(placement: str) -> None:
    site = make_foreign(placement)
    with pytest.raises(HomeExists, match="accra"):
        domicile.create_tenant("accra", placement=placement, domains=["uni.example"])
    assert not Hostname.objects.exists()
    check_untouched(site, placement)


@on_all_databases
def test_a_home_that_appears_at_the_last_moment_stays_untouched(
    placement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_foreign(placement)
    with monkeypatch.context() as patch:
        patch.setattr(Site, "exists", lambda self: False)
        with pytest.raises(HomeExists, match="accra"):
            domicile.create_tenant("accra", placement=placement)
    check_untouched(site, placement)


# Living ------------------------------------------------------------------------------------------


def test_statuses() -> None:
    row("accra")
    assert domicile.maintain_tenant("accra").status == Status.MAINTENANCE
    assert domicile.maintain_tenant("accra").status == Status.MAINTENANCE
    assert domicile.suspend_tenant("accra").status == Status.SUSPENDED
    with pytest.raises(TenantUnavailable, match="suspended"):
        domicile.maintain_tenant("accra")
    resumed = domicile.resume_tenant(University.objects.get())
    assert resumed.status == University.objects.get().status == Status.ACTIVE
    for call in (domicile.suspend_tenant, domicile.resume_tenant, domicile.drop_tenant):
        with pytest.raises(UnknownTenant, match="'nobody'"):
            call("nobody")


def test_rename() -> None:
    row("accra", domains=("a.example", "b.example"))
    row("kumasi", domains=("k.example",))
    version = _facts()
    for domains, error in [(["c.example", "k.example"], DomainTaken), (["localhost"], InvalidHost)]:
        with pytest.raises(error):
            domicile.rename_tenant("accra", name="New", domains=domains)
        assert _facts() == version, "both or neither"
    domicile.rename_tenant("accra", name="New")
    assert _facts() == ("New", [("a.example", False), ("b.example", False)])
    domicile.rename_tenant("accra", domains=["C.example", "b.example", "c.example."])
    assert _facts() == ("New", [("b.example", False), ("c.example", True)])
    assert registry.by_host("a.example") is None
    assert registry.by_host("c.example")
    domicile.rename_tenant("accra", domains=[])
    assert _facts() == ("New", [])


def _facts() -> tuple[str, list[tuple[str, bool]]]:
    accra = University.objects.get(slug="accra")
    return accra.name, list(accra.domains.order_by("host").values_list("host", "is_primary"))


# Dropping ----------------------------------------------------------------------------------------


def test_grace() -> None:
    with tenant("accra", domains=["uni.example"]) as created:
        Student.objects.using(created.alias).create(registration="1", name="Ama", home="accra")
        with heard(**ALL_SIGNALS) as events:
            domicile.drop_tenant("accra", grace=timedelta(days=7))
        assert events == [("dropping", "accra", None)]
        assert registry.by_slug("accra") is None
        assert registry.by_host("uni.example") is None
        assert home_exists("accra", "schema")
        assert domicile.drop_expired() == []
        resumed = domicile.resume_tenant("accra")
        assert (resumed.status, resumed.drop_after) == (Status.ACTIVE, None)
        assert registry.by_host("uni.example")
        assert Student.objects.using(created.alias).count() == 1


def test_when_grace_is_over() -> None:
    domicile.create_tenant("accra")
    domicile.create_tenant("kumasi")
    domicile.drop_tenant("accra", grace=timedelta(days=7))
    domicile.drop_tenant("kumasi", grace=timedelta(days=9))
    University.objects.filter(slug="accra").update(drop_after=timezone.now())
    with heard(**ALL_SIGNALS) as events:
        assert domicile.drop_expired() == ["accra"]
    assert events == [("dropping", "accra", None), ("dropped", "accra", None)]
    assert not home_exists("accra", "schema")
    assert University.objects.get().slug == "kumasi"
    domicile.drop_tenant("kumasi")
    check_nothing_left("kumasi", "schema")


def test_one_that_is_resumed_at_the_last_moment_is_not_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tenant("accra"):
        domicile.drop_tenant("accra", grace=timedelta(days=-1))
        sole_work_on = dropping.sole_work_on

        @contextmanager
        def resumed_meanwhile(slug: str) -> Iterator[None]:
            University.objects.filter(slug=slug).update(status=Status.ACTIVE, drop_after=None)
            with sole_work_on(slug):
                yield

        with monkeypatch.context() as patch:
            patch.setattr(dropping, "sole_work_on", resumed_meanwhile)
            assert domicile.drop_expired() == []
        assert home_exists("accra", "schema")
        assert University.objects.get().status == Status.ACTIVE


def test_one_that_cannot_be_dropped_does_not_keep_others_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for slug in ("accra", "kumasi"):
        domicile.create_tenant(slug)
        domicile.drop_tenant(slug, grace=timedelta(days=-1))
    drop = Site.drop

    def broken(self: Site) -> None:
        if self.name == "accra":
            raise DatabaseError("the server is gone")
        drop(self)

    with monkeypatch.context() as patch:
        patch.setattr(Site, "drop", broken)
        assert domicile.drop_expired() == ["kumasi"]
    assert "Could not drop tenant accra" in caplog.text
    assert domicile.drop_expired() == ["accra"]
    assert not University.objects.exists()


CUT_OFF = {
    "before the home is dropped": (Site, "drop"),
    "after the home was dropped": (steps, "delete_row"),
}
FINISHES = {
    "drop": lambda: domicile.drop_tenant("accra"),
    "drop with grace": lambda: domicile.drop_tenant("accra", grace=timedelta(days=7)),
    "drop expired": domicile.drop_expired,
}


@pytest.mark.parametrize("where", CUT_OFF.values(), ids=CUT_OFF.keys())
@pytest.mark.parametrize("finish", FINISHES.values(), ids=FINISHES.keys())
def test_a_drop_that_was_cut_off_is_finished_by_the_next(
    where: tuple[Any, str], finish: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    domicile.create_tenant("accra", domains=["uni.example"])

    def cut_off(*args: Any) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(*where, cut_off)
        with pytest.raises(Stop):
            domicile.drop_tenant("accra")
    assert registry.by_slug("accra") is None
    with pytest.raises(TenantUnavailable, match="being dropped"):
        domicile.resume_tenant("accra")
    finish()
    check_nothing_left("accra", "schema")


def test_grace_is_not_for_what_was_never_complete() -> None:
    row("accra", Status.CREATING)
    domicile.drop_tenant("accra", grace=timedelta(days=7))
    assert not University.objects.exists()


def test_a_receiver_that_fails_cuts_the_drop_off() -> None:
    domicile.create_tenant("accra")
    with failing_receiver(signals.tenant_dropping), pytest.raises(ZeroDivisionError):
        domicile.drop_tenant("accra")
    assert home_exists("accra", "schema")
    assert domicile.drop_expired() == ["accra"]


@on_all_databases
def test_a_tenant_made_anew_has_nothing_of_the_old_one(placement: str) -> None:
    for _ in range(2):
        with tenant("accra", placement=placement) as created, created.activate():
            assert Student.objects.count() == 0
            Student.objects.create(registration="1", name="Ama", home="accra")


# Asynchronous ------------------------------------------------------------------------------------


def test_asynchronous_twins() -> None:
    async def live() -> list[Any]:
        created = await domicile.acreate_tenant("accra", domains=["uni.example"])
        async with created.activate():
            assert await Student.objects.acount() == 0
        assert active() is None
        return [
            (await domicile.amaintain_tenant(created)).status,
            (await domicile.asuspend_tenant(created)).status,
            (await domicile.aresume_tenant(created)).status,
            (await domicile.arename_tenant(created, name="Accra")).name,
            (await domicile.amigrate_tenant(created)).slug,
            await domicile.adrop_tenant(created),
        ]

    assert async_to_sync(live)() == ["maintenance", "suspended", "active", "Accra", "accra", None]
    check_nothing_left("accra", "schema")


# Migrating ---------------------------------------------------------------------------------------


@on_all_databases
def test_migrate_one_app_back_and_forth(placement: str) -> None:
    with tenant("accra", placement=placement) as created:
        steps: list[str] = []
        domicile.migrate_tenant(
            "accra", "students", "zero", progress=lambda s: steps.append(s.kind)
        )
        assert steps == ["migration"]
        with pytest.raises(DatabaseError):
            Student.objects.using(created.alias).count()
        domicile.migrate_tenant("accra")
        assert Student.objects.using(created.alias).count() == 0


def test_every_placement_is_tested() -> None:
    from tests.conftest import PLACEMENT_DATABASES

    assert set(settings.DOMICILE["PLACEMENTS"]) <= set(PLACEMENT_DATABASES)
