"""Tenants move, and what they have by time beside their own home comes along."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

import domicile
from domicile.backends.postgresql.transfer import PostgresEnd
from domicile.exceptions import HomeMoved, NotSupported, RowsDiffer, TenantBusy
from domicile.fleet.drift import find_drift
from domicile.fleet.migrations import Step
from domicile.fleet.orphans import find_orphans
from domicile.fleet.runs.selection import Selection
from domicile.map import draw_map
from domicile.periods import retention
from domicile.periods.checks import check_rule
from domicile.periods.homes import PeriodHomes, homes_of
from domicile.periods.places import period_rules
from domicile.records import Move
from domicile.registry import registry
from tests.databases import SQLITE
from tests.doomed import Doomed, doomed
from tests.marks import (
    NOVEMBER,
    at,
    by_month,
    contents,
    located,
    make_acme,
    placements_of,
    put_aside,
)
from tests.processes import Process, eventually
from tests.testproject.marks.models import Mark, Pupil
from tests.testproject.universities.models import University

__all__ = ["doomed"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

FILE = {"ENGINE": SQLITE, "NAME": "/tmp/{slug}.sqlite3"}


def left_at(alias: str) -> list[str]:
    """The schemas and roles of a server that have acme's name."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace UNION SELECT rolname FROM pg_roles")
        return sorted(name for (name,) in cursor.fetchall() if "acme" in name)


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def write_at(day: str) -> None:
    with domicile.activate("acme"):
        Mark.objects.create(given_at=at(day), value=7)


def acme() -> University:
    registry.clear()
    return University.objects.get(slug="acme")


def check_is_whole(before: list[Any]) -> None:
    """All rows are there, months look alike, refer to the tenant's own rows, and take more."""
    there = acme()
    assert contents(there) == before
    assert list(find_drift(Selection())) == []
    assert find_orphans() == []
    with there.activate():
        with pytest.raises(IntegrityError), transaction.atomic():
            Mark.objects.create(given_at=at(NOVEMBER), pupil_id=12345)
        with pytest.raises(IntegrityError), transaction.atomic():
            Pupil.objects.filter(name="Pupil 0").delete()
        # Their sequences go on.
        MigrationRecorder(connections[f"{there.alias}/marks:2026-11"]).record_applied("no", "more")
        MigrationRecorder(connections[f"{there.alias}/marks:2026-11"]).record_unapplied(
            "no", "more"
        )


@pytest.mark.parametrize("roles", [False, True])
def test_months_come_along_to_another_server_and_back(roles: bool) -> None:
    with by_month("anywhere", ROLES=roles):
        before = contents(make_acme())
        steps: list[Step] = []
        domicile.move_tenant("acme", "far", progress=steps.append)
        assert str(connections["tenant:acme/marks:2026-10"].home.placement) == (
            "marks@far:acme/2026_10"
        )
        check_is_whole(before)
        told = [step.detail for step in steps if step.kind == "rows"]
        assert told.count("marks_mark 3") == 2
        write_at("2026-12-01")
        assert "t_acme_2026_12" in left_at("far")
        assert "t_acme_2026_12" not in left_at("added")
        check_old_homes_are_kept_and_dropped("added")
        before = contents(acme())
        domicile.move_tenant("acme", "own", grace=timedelta())
        check_is_whole(before)
        assert located() == ["t_acme_2026_10", "t_acme_2026_11", "t_acme_2026_12"]
        assert left_at("far") == []
        domicile.drop_tenant("acme")
        assert left_at("added") == []


def check_old_homes_are_kept_and_dropped(alias: str) -> None:
    number = Move.objects.get().pk
    kept = [name for name in left_at(alias) if name.endswith(f"~{number}")]
    assert kept == [f"t_acme_2026_10~{number}", f"t_acme_2026_11~{number}", f"t_acme~{number}"]
    Move.objects.update(drop_source_after=timezone.now())
    domicile.drop_expired()
    assert left_at(alias) == []


def test_there_and_back_within_the_grace_and_within_one_database() -> None:
    with by_month("anywhere", ROLES=True):
        before = contents(make_acme())
        for target, name in (("other", "acme_2"), ("far", "acme"), ("own", "acme_3")):
            moved = domicile.move_tenant("acme", target)
            assert str(moved.tenant.placement) == f"{target}:{name}"
            check_is_whole(before)
        assert "t_acme_3_2026_10" in located()
        domicile.drop_tenant("acme")
        assert (left_at("added"), left_at("far")) == ([], [])


def test_months_of_the_old_and_of_the_new_home_never_have_one_name() -> None:
    """There is none when the tenant begins to move, one when it leaves, and one more since."""

    def write_meanwhile(step: Step) -> None:
        if step.detail == "the target has its tables":
            in_thread(lambda: write_at(NOVEMBER)).join()

    with by_month("anywhere"):
        domicile.create_tenant("acme")
        domicile.move_tenant("acme", "other", progress=write_meanwhile)
        write_at("2026-12-01")
        Move.objects.update(drop_source_after=timezone.now())
        domicile.drop_expired()
        assert located() == ["t_acme_2_2026_11", "t_acme_2_2026_12"]
        assert len(contents(acme())[1]) == 2


# Refused -----------------------------------------------------------------------------------------


def test_a_target_that_cannot_have_months_is_refused() -> None:
    placements = placements_of("anywhere") | {"file": FILE}
    with by_month("anywhere", PLACEMENTS=placements):
        make_acme()
        for refused in (
            lambda: domicile.move_tenant("acme", "file"),
            lambda: domicile.copy_tenant("acme", "bcme", placement="file"),
            lambda: domicile.create_tenant("bcme", placement="file"),
        ):
            with pytest.raises(NotSupported, match=r"'marks': it has no DATABASE.*Give 'marks' a"):
                refused()
        assert not Move.objects.exists()
        assert University.objects.count() == 1
        faults = [fault for fault in check_rule(period_rules()[0]) if fault.id[-3:] == "066"]
        assert ["'file'" in fault.msg for fault in faults] == [True]
    with by_month("anywhere"):
        assert [fault.id for fault in check_rule(period_rules()[0])] == []


def test_months_that_settings_keep_in_a_database_come_along_within_it() -> None:
    marks = {"DATABASE": "added", "SCHEMA": "t_{slug}_{period}"}
    with by_month("anywhere", PLACEMENTS=placements_of("anywhere") | {"marks": marks}):
        before = contents(make_acme())
        domicile.move_tenant("acme", "other")
        check_is_whole(before)
        with pytest.raises(NotSupported, match=r"'t_acme_2_2026_10'.*take DATABASE out of"):
            domicile.move_tenant("acme", "far")
        check_is_whole(before)


def test_what_nobody_looks_into_is_not_dropped_with_the_old_home() -> None:
    with by_month("anywhere", keep=3, retire="detach"):
        make_acme()
        put_aside("acme", "2026-10")
        with pytest.raises(NotSupported, match="t_acme_2026_10_detached"):
            domicile.move_tenant("acme", "far")
        homes = homes_of("marks", "acme")
        homes.store.drop("t_acme_2026_10_detached")
        homes.store.create("t_acme_2026_09")
        with pytest.raises(NotSupported, match="t_acme_2026_09"):
            domicile.move_tenant("acme", "far")
        assert not Move.objects.exists()


@pytest.mark.parametrize("retire", ["detach", "drop"])
def test_a_month_is_not_put_aside_or_dropped_where_its_tenant_was(
    retire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over by the rule goes along with a move that ends in the very instant before."""
    with by_month("anywhere", retire=retire):
        before = contents(make_acme())
        homes, look = homes_of("marks", "acme"), PeriodHomes.look

        def moving(self: PeriodHomes) -> Any:
            found = look(self)
            if self is homes:
                monkeypatch.undo()
                domicile.move_tenant("acme", "far")
            return found

        monkeypatch.setattr(PeriodHomes, "look", moving)
        with pytest.raises(HomeMoved):
            retention.retire(homes, homes.calendar.parse("2026-10"), homes.rules[0])
        check_is_whole(before)


def test_a_month_that_its_catalog_does_not_tell_is_made_by_migrations() -> None:
    with by_month("anywhere"):
        before = contents(make_acme())
        with connections["added"].cursor() as cursor:
            cursor.execute(
                "CREATE AGGREGATE t_acme_2026_10.total(integer) (sfunc = int4pl, stype = integer)"
            )
        domicile.move_tenant("acme", "far")
        check_is_whole(before)


def test_a_month_that_is_made_while_a_move_looks_comes_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with by_month("anywhere"):
        make_acme()
        look = PeriodHomes.look

        def writing(self: PeriodHomes) -> Any:
            found = look(self)
            monkeypatch.undo()
            with domicile.activate("acme"):
                Mark.objects.create(given_at=at("2027-01-05"), code="late")
            return found

        monkeypatch.setattr(PeriodHomes, "look", writing)
        domicile.move_tenant("acme", "far")
        with domicile.activate("acme"):
            assert Mark.objects.get(code="late").given_at == at("2027-01-05")


def test_a_month_that_arrives_otherwise_ends_the_move() -> None:
    with by_month("anywhere"):
        make_acme()
        with domicile.activate("acme"):
            Mark.objects.create(given_at=at(NOVEMBER), code="short")
        before = contents(acme())

        def spoil(step: Step) -> None:
            if step.detail == "the target has its tables":
                with connections["far"].cursor() as cursor:  # Fills them up with blanks.
                    cursor.execute("ALTER TABLE t_acme_2026_11.marks_mark ALTER code TYPE char(20)")

        with pytest.raises(RowsDiffer, match="marks_mark"):
            domicile.move_tenant("acme", "far", progress=spoil)
        assert not Move.objects.exists()
        assert left_at("far") == []
        check_is_whole(before)


def test_the_map_tells_that_months_go_where_tenants_go() -> None:
    with by_month("anywhere"):
        (marks,) = [each for each in draw_map().databases if each.alias == "tenant:*/marks"]
        assert marks.placements == ("marks (beside each tenant's own)",)
        assert marks.engine == "postgresql"
        assert connections["period:marks"].vendor == "postgresql"


# Meanwhile ---------------------------------------------------------------------------------------


def test_who_has_not_heard_of_it_sees_no_month_and_makes_none() -> None:
    with by_month("anywhere"):
        stale = make_acme()
        in_thread(lambda: domicile.move_tenant("acme", "far")).join()
        homes_of("marks", own=stale.home).forget()  # The mover's process knew them.
        with stale.activate():
            for use in (
                lambda: list(Mark.objects.all()),
                lambda: Mark.objects.using("tenant:acme/marks:2026-10").count(),
                lambda: Mark.objects.create(given_at=at(NOVEMBER)),
                lambda: Mark.objects.create(given_at=at("2027-01-01")),
            ):
                with pytest.raises(HomeMoved):
                    use()
        assert "t_acme_2027_01" not in left_at("added")
        assert len(contents(acme())[1]) == 6


def test_months_that_are_made_meanwhile_come_along() -> None:
    """One is there before writers are held, one in a transaction that is waited for, and one is
    asked for while they are held.
    """
    with by_month("anywhere"):
        make_acme()
        tried, made, late = threading.Event(), threading.Event(), list[BaseException | None]()
        threads: list[threading.Thread] = []

        def make_slowly() -> None:
            with domicile.activate("acme"), transaction.atomic():
                write_at("2027-01-01")
                made.set()
                assert tried.wait(20)

        def make_late() -> None:
            late.append(raised(lambda: write_at("2027-02-01")))

        def meanwhile(step: Step) -> None:
            if step.detail == "the target has its tables":
                in_thread(lambda: write_at("2026-12-01")).join()
                threads.append(in_thread(make_slowly))
                assert made.wait(20)
            elif step.detail == "no writes from here on":
                threads.append(in_thread(make_late))
                eventually(waits_for_the_mover)

        release = PostgresEnd.release

        def released(self: PostgresEnd) -> None:
            release(self)
            if made.is_set():  # The first attempt did not succeed.
                tried.set()

        with mock.patch.object(PostgresEnd, "release", released):
            domicile.move_tenant("acme", "far", progress=meanwhile)
        for thread in threads:
            thread.join()
        assert [type(error) for error in late] == [HomeMoved]
        months = [name for name in left_at("far") if name.startswith("t_acme_")]
        assert [name[-7:] for name in months] == ["2026_10", "2026_11", "2026_12", "2027_01"]
        assert Mark.objects.using("tenant:acme").filter(value=7).count() == 2
        write_at("2027-02-01")
        assert "t_acme_2027_02" in left_at("far")


def waits_for_the_mover() -> bool:
    with connections["added"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def raised(work: Callable[[], Any]) -> BaseException | None:
    try:
        work()
    except BaseException as error:
        return error
    return None


#: Writes marks of many months until it is told to stop, each acknowledged or refused.
WRITER = """
import itertools, threading
from collections import Counter
import domicile
from domicile.exceptions import HomeMissing
from tests.marks import at, configured
from tests.testproject.marks.models import Mark

stop = threading.Event()
added = json.loads(sys.stdin.readline())
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
written, refused = [], Counter()
with configured("anywhere", added, REGISTRY_MAX_AGE=0.2):
    tell(ready=True)
    for number in itertools.count():
        if stop.is_set():
            break
        month = number % min(number // 20 + 1, 24)  # Now and then a new one.
        day = at(f"{2026 + month // 12}-{month % 12 + 1:02}-01")
        try:
            with domicile.activate("acme"):
                Mark.objects.create(given_at=day, code=str(number))
            written.append(str(number))
        except HomeMissing as error:
            refused[type(error).__name__] += 1
tell(written=written, refused=refused)
"""


@pytest.fixture
def written_while_moving() -> Iterator[list[str]]:
    with by_month("anywhere") as added, Process(WRITER) as writer:
        domicile.create_tenant("acme")
        writer.ask(**added)
        assert writer.hear()["ready"]
        marks = Mark.objects.using("tenant:acme")
        for target in ("far", "own"):
            before = marks.count()
            eventually(lambda before=before: marks.count() > before + 30)
            domicile.move_tenant("acme", target)
        writer.ask(stop=True)
        told = writer.hear()
        assert set(told["refused"]) <= {"HomeMoved"}
        yield told["written"]


def test_no_row_is_lost_and_none_doubled_under_load(written_while_moving: list[str]) -> None:
    there = Mark.objects.using("tenant:acme").values_list("code", flat=True)
    assert sorted(there) == sorted(written_while_moving)


# Cut off -----------------------------------------------------------------------------------------


def test_a_move_is_undone_or_finished_wherever_it_was_killed(doomed: Doomed) -> None:
    with by_month("anywhere", ROLES=True) as added:
        before = contents(make_acme())
        left, is_killed, step = 30, True, 47
        while is_killed:
            connections.close_all()
            words = "tenants move acme --to far --grace 0s"
            is_killed = doomed.dies(words, "anywhere", added, left, ROLES=True)
            check_is_served(before)
            eventually(lambda: is_moved("far"))
            check_is_whole(before)
            assert left_at("added") == []
            domicile.move_tenant("acme", "own", grace=timedelta())
            left += step
        assert left > 4 * step, "the kills did not meet the work"


def check_is_served(before: list[Any]) -> None:
    if not Move.objects.filter(phase=Move.Phase.SWITCHING).exists():
        eventually(lambda: contents(acme()) == before)


def is_moved(target: str) -> bool:
    try:
        domicile.move_tenant("acme", target, grace=timedelta())
    except TenantBusy:
        return False
    except NotSupported:  # It is there already.
        domicile.drop_expired()
    return True


def test_a_tenant_can_be_dropped_whose_move_was_cut_off(doomed: Doomed) -> None:
    with by_month("anywhere", ROLES=True) as added:
        for left in (110, 210):
            make_acme()
            connections.close_all()
            assert doomed.dies("tenants move acme --to far", "anywhere", added, left, ROLES=True)
            eventually(is_dropped)
            assert (left_at("added"), left_at("far")) == ([], [])


def is_dropped() -> bool:
    with suppress(TenantBusy):
        domicile.drop_tenant("acme")
        return True
    return False
