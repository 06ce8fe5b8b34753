from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.utils import OperationalError, ProgrammingError
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

import domicile
from domicile.exceptions import HomeInUse, UnknownTenant
from domicile.models import RegistryVersion, Status
from domicile.records import AddedDatabase
from domicile.registry import Entry, Known, Registry, _entry, registry
from tests.processes import Process, eventually
from tests.tenants import domicile_settings, row
from tests.testproject.universities.models import Hostname, University

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    registry.clear()
    yield
    registry.clear()


def queries() -> CaptureQueriesContext:
    return CaptureQueriesContext(connections["shared"])


def fresh() -> Registry:
    """One that has looked at the version and knows nobody."""
    registry = Registry()
    registry.by_slug("nobody")
    return registry


# What is found -----------------------------------------------------------------------------------


def test_finds_by_slug_and_by_host() -> None:
    acme = row("acme", domains=("uni.example",))
    for entry in (registry.by_slug("acme"), registry.by_host("uni.example")):
        assert entry is not None
        assert entry.home == acme.home
        assert entry.tenant() == acme
    assert registry.by_slug("uni.example") is None
    assert registry.by_host("acme") is None


@pytest.mark.parametrize("status", Status.values)
def test_only_visible_tenants_are_found(status: str) -> None:
    row("acme", status, domains=("uni.example",))
    visible = status in ("active", "maintenance", "suspended")
    assert (registry.by_slug("acme") is not None) is visible
    assert (registry.by_host("uni.example") is not None) is visible


@pytest.mark.parametrize("slug", ["", "Acme", "acme\n", "acme\0", "x" * 64, "а", "../etc"])  # noqa: RUF001
def test_what_cannot_be_a_slug_is_not_asked_for(slug: str) -> None:
    known = fresh()
    size = len(known)
    with queries() as captured:
        assert known.by_slug(slug) is None
    assert not captured
    assert len(known) == size


def test_unknown_aliases() -> None:
    with pytest.raises(UnknownTenant, match="tenant:nobody"):
        _ = connections["tenant:nobody"]
    row("half", Status.CREATING)
    with pytest.raises(UnknownTenant, match="tenant:half"):
        _ = connections["tenant:half"]


# What it costs -----------------------------------------------------------------------------------


def test_no_queries_for_what_is_known() -> None:
    row("acme", domains=("uni.example",))
    known = fresh()
    with queries() as captured:
        for _ in range(3):
            assert known.by_slug("acme")
            assert known.by_host("uni.example")
            assert not known.by_slug("missing")
            assert not known.by_host("missing.example")
    assert len(captured) == 4


def test_one_query_to_look_for_changes() -> None:
    row("acme")
    with override_settings(DOMICILE=domicile_settings(REGISTRY_MAX_AGE=0)):
        known = Registry()
        known.by_slug("acme")
        with queries() as captured:
            assert known.by_slug("acme")
    assert len(captured) == 1
    assert "registryversion" in captured[0]["sql"]


def test_size_is_bounded() -> None:
    for number in range(6):
        row(f"acme-{number}")
    with override_settings(DOMICILE=domicile_settings(REGISTRY_SIZE=4)):
        known = fresh()
        for number in range(6):
            assert known.by_slug(f"acme-{number}")
        for number in range(50):
            assert known.by_slug(f"missing-{number}") is None
        assert len(known) == 8
        with queries() as captured:
            assert known.by_slug("acme-5"), "unknown names must not push out known ones"
        assert not captured
        with queries() as captured:
            assert known.by_slug("acme-0")
        assert len(captured) == 1


def test_memory_of_10_000_tenants() -> None:
    acme = row("acme", domains=("uni.example",))
    entry = registry.by_slug("acme")
    assert entry is not None
    names = [field.attname for field in acme._meta.concrete_fields]
    known = Known()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(10_000):
            values = _other_values(names, entry.values, number)
            other = _entry(dict(zip(names, values, strict=True)), values)
            known.keep(("slug", f"acme-{number}"), other)
        size = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(known.present) == 10_000
    assert size / 10_000 < 1024


def _other_values(names: list[str], values: tuple[Any, ...], number: int) -> tuple[Any, ...]:
    """As a database would give them: nothing in them is the same object."""
    changes = {
        "id": 1_000_000 + number,
        "slug": f"acme-{number}",
        "name": f"University of {number}",
        "placement_name": f"acme-{number}",
    }
    return tuple(
        changes[name] if name in changes else value and _copied(value)
        for name, value in zip(names, values, strict=True)
    )


def _copied(value: Any) -> Any:
    return f"{value}_"[:-1] if isinstance(value, str) else value.replace()


# Instances ---------------------------------------------------------------------------------------


def test_instances_are_new_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Any = cached_property(lambda tenant: [])
    seen.__set_name__(University, "seen")
    monkeypatch.setattr(University, "seen", seen, raising=False)
    row("acme")
    entry = registry.by_slug("acme")
    assert entry is not None
    first, second = entry.tenant(), entry.tenant()
    first.seen.append("a secret")
    first.name = "Changed"
    assert second.seen == []
    assert second.name == "Acme"
    assert first == second
    assert second._state.db == "default"
    assert not second._state.adding


def test_values_that_can_change_are_copied() -> None:
    acme = row("acme")
    entry = registry.by_slug("acme")
    assert entry is not None
    values = list(entry.values)
    names = [field.attname for field in acme._meta.concrete_fields]
    values[names.index("founded")] = {"kept in a JSON field": []}
    entry = Entry(entry.home, entry.status, tuple(values))
    entry.tenant().founded["kept in a JSON field"].append("a secret")
    assert entry.tenant().founded == {"kept in a JSON field": []}


# Changes -----------------------------------------------------------------------------------------


def _save() -> None:
    University.objects.get(slug="acme").save()


def _update() -> None:
    University.objects.filter(slug="acme").update(name="New")


def _bulk_create() -> None:
    Hostname.objects.bulk_create([Hostname(tenant=University.objects.get(), host="b.example")])


def _bulk_update() -> None:
    University.objects.bulk_update(University.objects.all(), ["name"])


def _delete_domain() -> None:
    Hostname.objects.get().delete()


def _delete_domains() -> None:
    Hostname.objects.all().delete()


def _related_delete() -> None:
    University.objects.get().domains.all().delete()


def _update_or_create() -> None:
    Hostname.objects.update_or_create(host="uni.example", defaults={"is_primary": True})


def _delete_tenant() -> None:
    University.objects.update(status=Status.DROPPING)
    registry.by_slug("acme")
    University.objects.all().delete()


CHANGES = [
    _save,
    _update,
    _bulk_create,
    _bulk_update,
    _delete_domain,
    _delete_domains,
    _related_delete,
    _update_or_create,
    _delete_tenant,
]


def test_a_new_row_that_nobody_sees_is_no_change() -> None:
    row("kumasi")
    assert registry.by_slug("kumasi")
    version = RegistryVersion.current()
    unseen = University(slug="acme", status=Status.CREATING)
    unseen.save(force_insert=True)
    assert RegistryVersion.current() == version
    assert registry.by_slug("acme") is None
    unseen.status = Status.ACTIVE
    unseen.save()
    assert RegistryVersion.current() > version
    assert registry.by_slug("acme")
    version = RegistryVersion.current()
    unseen.status = Status.DROPPING
    unseen.save(update_fields=["status"])
    assert RegistryVersion.current() > version
    assert registry.by_slug("acme") is None


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_counted_and_seen_at_once(change: Any) -> None:
    row("acme", domains=("uni.example",))
    assert registry.by_slug("acme")
    version = RegistryVersion.current()
    change()
    assert RegistryVersion.current() > version
    assert len(registry) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_and_its_count_are_one_transaction(
    change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row("acme", domains=("uni.example",))
    before = _rows()

    def cut_off() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RegistryVersion, "bump", cut_off)
    with pytest.raises(KeyboardInterrupt):
        change()
    assert _rows() == before


def _rows() -> list[Any]:
    return [*University.objects.values(), *Hostname.objects.values()]


def test_rows_of_tenants_with_homes_are_not_deleted() -> None:
    acme = row("acme", domains=("uni.example",))
    with pytest.raises(HomeInUse, match="drop_tenant"):
        acme.delete()
    with pytest.raises(HomeInUse, match="tenants drop acme"):
        University.objects.filter(slug="acme").delete()
    row("beta", Status.DROPPING)
    with pytest.raises(HomeInUse):
        University.objects.all().delete()
    assert University.objects.count() == 2
    assert Hostname.objects.count() == 1


def test_the_first_change_of_all_makes_the_counter() -> None:
    RegistryVersion.objects.all().delete()
    assert RegistryVersion.current() == 0
    row("acme")
    assert RegistryVersion.current() == 1


def test_nothing_is_kept_of_what_may_never_be_committed() -> None:
    with transaction.atomic():
        row("acme", domains=("uni.example",))
        assert registry.by_slug("acme")
        assert registry.by_host("uni.example")
        transaction.set_rollback(True)
    assert registry.by_slug("acme") is None
    assert registry.by_host("uni.example") is None


def test_nothing_is_kept_without_autocommit() -> None:
    transaction.set_autocommit(False)
    try:
        row("acme")
        assert registry.by_slug("acme")
        transaction.rollback()
        assert registry.by_slug("acme") is None
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_what_another_thread_reads_before_the_commit_is_forgotten() -> None:
    row("acme")
    with transaction.atomic():
        University.objects.update(status=Status.SUSPENDED)
        assert _in_thread(lambda: registry.by_slug("acme")).status == Status.ACTIVE
    entry = registry.by_slug("acme")
    assert entry is not None
    assert entry.status == Status.SUSPENDED


def test_what_was_read_before_a_change_is_not_put_in_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acme = row("acme")
    known = fresh()
    keep = Known.keep

    def late(self: Known, *args: Any) -> None:
        known.clear()
        keep(self, *args)

    monkeypatch.setattr(Known, "keep", late)
    assert known.by_slug(acme.slug)
    assert len(known) == 0


def _in_thread(work: Any) -> Any:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def test_threads() -> None:
    """Readers, a size that is too small and changes, all at once."""
    for number in range(8):
        row(f"acme-{number}")
    errors: list[BaseException] = []
    start = threading.Barrier(5)

    def read(seed: int) -> None:
        try:
            start.wait()
            for turn in range(150):
                slug = f"acme-{(turn * 7 + seed) % 12}"
                entry = registry.by_slug(slug)
                assert (entry is not None) == (int(slug[-1]) < 8 and len(slug) == 6), slug
                assert entry is None or entry.tenant().slug == slug
                if turn % 25 == seed:
                    registry.clear()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    with override_settings(DOMICILE=domicile_settings(REGISTRY_SIZE=3, REGISTRY_MAX_AGE=0)):
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    assert len(registry) <= 6


# Other processes ---------------------------------------------------------------------------------

LOOKER = """
from django.conf import settings
from django.db import connections
from domicile.conf import conf
from domicile.registry import registry
settings.DOMICILE["REGISTRY_MAX_AGE"] = 0.3
conf.cache_clear()
import time
for line in sys.stdin:
    started = time.monotonic()
    wanted, seen = json.loads(line)["status"], object()
    while seen != wanted:
        entry = registry.by_slug("acme")
        seen = entry and entry.status
        if time.monotonic() - started > 10:
            break
    tell(status=seen, known=len(registry))
"""


def test_another_process_sees_changes_in_time() -> None:
    with Process(LOOKER) as other:
        other.ask(status=None)
        assert other.hear()["status"] is None
        acme = row("acme")
        for status in (Status.ACTIVE, Status.SUSPENDED, Status.MAINTENANCE, Status.ACTIVE):
            University.objects.filter(pk=acme.pk).update(status=status)
            other.ask(status=status)
            assert other.hear() == {"status": status, "known": 1}
        University.objects.update(status=Status.DROPPING)
        other.ask(status=None)
        assert other.hear()["status"] is None


CHANGER = """
from tests.testproject.universities.models import University
line = json.loads(sys.stdin.readline())
tell(rows=University.objects.update(status=line["status"]))
"""


def test_changes_of_another_process_are_seen_in_time_and_not_before() -> None:
    row("acme")
    with override_settings(DOMICILE=domicile_settings(REGISTRY_MAX_AGE=3600)):
        patient = fresh()
        assert patient.by_slug("acme")
        with (
            override_settings(DOMICILE=domicile_settings(REGISTRY_MAX_AGE=0.05)),
            Process(CHANGER) as other,
        ):
            quick = fresh()
            assert quick.by_slug("acme")
            other.ask(status=Status.SUSPENDED)
            assert other.hear() == {"rows": 1}
            eventually(lambda: quick.by_slug("acme").status == Status.SUSPENDED, seconds=2)
        entry = patient.by_slug("acme")
        assert entry is not None
        assert entry.status == Status.ACTIVE, "it looked before its time"


# A shared database that is down ------------------------------------------------------------------


def test_known_tenants_outlive_the_shared_database(caplog: pytest.LogCaptureFixture) -> None:
    row("acme")
    with override_settings(DOMICILE=domicile_settings(REGISTRY_MAX_AGE=0)):
        known = fresh()
        assert known.by_slug("acme")

        def refuse(*args: Any) -> None:
            raise OperationalError("the server is gone")

        with connection.execute_wrapper(refuse):
            assert known.by_slug("acme")
            with pytest.raises(OperationalError):
                known.by_slug("beta")
        assert "going on with what is known" in caplog.text
        assert known.by_slug("beta") is None


def test_an_aborted_transaction_does_not_keep_known_tenants_from_being_found() -> None:
    row("acme")
    with override_settings(DOMICILE=domicile_settings(REGISTRY_MAX_AGE=0)):
        assert registry.by_slug("acme")
        with transaction.atomic():
            transaction.set_rollback(True)
            assert registry.by_slug("acme")


def test_activate_by_slug() -> None:
    row("acme")
    with domicile.activate("acme") as tenant:
        assert tenant.slug == "acme"
        assert domicile.current_tenant() == tenant
    with pytest.raises(UnknownTenant, match="tenants list"), domicile.activate("nobody"):
        pass


# A shared database without our tables ------------------------------------------------------------


@contextmanager
def not_migrated(model: Any) -> Iterator[None]:
    table = model._meta.db_table
    with connection.schema_editor() as editor:
        editor.alter_db_table(model, table, f"{table}_later")
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(model, f"{table}_later", table)


def test_nothing_is_said_before_the_first_migrate(caplog: pytest.LogCaptureFixture) -> None:
    with not_migrated(RegistryVersion), not_migrated(AddedDatabase):
        assert Registry().databases() == {}
    assert caplog.text == ""


@pytest.mark.parametrize("model", [RegistryVersion, AddedDatabase])
def test_other_errors_that_name_the_table_are_told(
    caplog: pytest.LogCaptureFixture, model: Any
) -> None:
    def refuse(execute: Any, sql: str, *args: Any) -> Any:
        if model._meta.db_table in sql:
            raise ProgrammingError(f"permission denied for table {model._meta.db_table}")
        return execute(sql, *args)

    with connection.execute_wrapper(refuse):
        if model is AddedDatabase:
            with pytest.raises(ProgrammingError):
                Registry().databases()
        else:
            assert Registry().databases() == {}
            assert "going on with what is known" in caplog.text
