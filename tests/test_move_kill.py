"""A mover is killed, or a session under it: it never happened, or the same call finishes it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connections

import domicile
from domicile.exceptions import NotSupported, TenantBusy
from domicile.fleet.migrations import Step
from domicile.placement import Placement
from domicile.records import Move
from domicile.registry import registry
from tests import servers
from tests.moving import Mover, contents, fill, homes_like
from tests.processes import eventually, in_turns
from tests.tenants import DATABASES, tenant
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

SEED = 20261121
WAYS = [("schema", "schema15"), ("schema", "database"), ("file", "schema"), ("mariadb", "schema")]
SQL_WAYS = WAYS[:2]


@pytest.fixture(scope="module")
def mover(django_db_setup: None) -> Iterator[Mover]:
    with Mover() as mover:
        yield mover


def steps_of(source: str, target: str) -> list[Step]:
    """The steps of an undisturbed move, whose tenant is then dropped."""
    steps: list[Step] = []
    with tenant("acme", placement=source) as acme:
        fill(acme, 20)
        domicile.move_tenant("acme", target, progress=steps.append)
    return steps


def finish(target: str) -> None:
    """The same call again; or nothing is left to do."""

    def moved() -> bool:
        try:
            domicile.move_tenant("acme", target)
        except TenantBusy:
            return False  # The server has not noticed yet that the holder of the lock is dead.
        except NotSupported:
            pass  # It is there already.
        return True

    eventually(moved)
    registry.clear()
    assert University.objects.get().placement.template == target


def check_served_if_not_decided(before: object) -> None:
    """Before the source is retired, nothing has happened for those who use the tenant."""
    registry.clear()
    if Move.objects.filter(phase=Move.Phase.SWITCHING).exists():
        return
    acme = University.objects.get()
    assert contents(acme) == before
    with acme.activate():
        eventually(lambda: Student.objects.create(registration="after", name="", home="acme"))
        Student.objects.filter(registration="after").delete()


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_killed_in_each_phase(mover: Mover, source: str, target: str) -> None:
    for alias in ("postgres15", "mariadb"):
        servers.require(alias)
    steps = steps_of(source, target)
    kinds = [step.kind for step in steps]
    assert list(dict.fromkeys(kinds)) == ["preparing", "copying", "rows", "switching", "switched"]
    numbers = {kinds.index(kind) + 1 for kind in kinds} | {len(kinds), len(kinds) - 1}
    for number in in_turns(sorted(numbers)):
        with tenant("acme", placement=source) as acme:
            fill(acme, 20)
            before = contents(acme)
            pid = mover.start(target, stop_at=number)
            assert mover.outcome()["stopped"] == kinds[number - 1]
            with pytest.raises(TenantBusy):
                domicile.move_tenant("acme", target)
            mover.end(pid)
            check_served_if_not_decided(before)
            finish(target)
            assert contents(University.objects.get()) == before
        check_nothing_is_left(source, target)


def test_the_same_call_drops_an_old_home_that_has_no_grace() -> None:
    def stop(step: Step) -> None:
        if step.kind == "switched":
            raise KeyboardInterrupt

    with tenant("acme", placement="schema"):
        with pytest.raises(KeyboardInterrupt):
            domicile.move_tenant("acme", "file", grace=timedelta(), progress=stop)
        assert Move.objects.get().phase == Move.Phase.SWITCHED
        moved = domicile.move_tenant("acme", "file", grace=timedelta())
        assert moved.source == Placement("schema", "acme")
        check_nothing_is_left("schema")
        with pytest.raises(NotSupported):
            domicile.move_tenant("acme", "file", grace=timedelta())


def check_nothing_is_left(*placements: str) -> None:
    for placement in placements:
        assert not homes_like(placement, "acme")
    assert not Move.objects.exclude(phase=Move.Phase.DONE).exists()
    Move.objects.all().delete()


@pytest.mark.parametrize(("source", "target"), [("schema", "schema15"), ("file", "schema")])
def test_killed_at_random_instants(mover: Mover, source: str, target: str) -> None:
    servers.require("postgres15")
    instants = random.Random(SEED)
    duration, cut_off = 0.0, 0
    for turn in range(13):
        with tenant("acme", placement=source) as acme:
            fill(acme, 300)
            before = contents(acme)
            began = time.monotonic()
            pid = mover.start(target)
            if turn == 0:
                assert mover.outcome()["done"]
                duration = time.monotonic() - began
                assert "ended" in mover.hear()
                continue
            time.sleep(duration * (turn - 1 + instants.random()) / 12)
            mover.end(pid)
            check_served_if_not_decided(before)
            cut_off += University.objects.get().placement.template == source
            finish(target)
            assert contents(University.objects.get()) == before
        check_nothing_is_left(source, target)
    assert cut_off >= 5, "the instants did not meet the work"


@pytest.mark.parametrize(("source", "target"), SQL_WAYS)
@pytest.mark.parametrize("victim", ["source", "target", "shared"])
def test_sessions_are_killed_at_each_step(source: str, target: str, victim: str) -> None:
    servers.require("postgres15")
    steps = steps_of(source, target)
    kinds = [step.kind for step in steps]
    for number in in_turns(sorted({kinds.index(kind) + 1 for kind in kinds} | {len(kinds) - 1})):
        with tenant("acme", placement=source) as acme:
            fill(acme, 20)
            before = contents(acme)
            move_with_killed_session(target, number, victim)
            finish(target)
            assert contents(University.objects.get()) == before
        check_nothing_is_left(source, target)


def move_with_killed_session(target: str, number: int, victim: str) -> None:
    count = 0

    def progress(step: Step) -> None:
        nonlocal count
        count += 1
        if count == number:
            kill_sessions(target, victim)

    try:
        domicile.move_tenant("acme", target, progress=progress)
    except Exception as error:
        print(f"step {number}, {victim}: {error!r}")
    for connection in connections.all():
        connection.close_if_unusable_or_obsolete()


def kill_sessions(target: str, victim: str) -> None:
    """Kill all sessions of this process but one for the victim: those that only wait are used at
    once, and so it does not matter which of them falls.
    """
    alias = "postgres15" if victim == "target" and target == "schema15" else "default"
    with closing(connections[alias].copy()) as killer, killer.cursor() as cursor:
        name = "test_acme" if victim == "target" and target == "database" else "test_domicile"
        own = connections["default"].connection.info.backend_pid if alias == "default" else 0
        mine = "pid = %s" if victim == "shared" else "pid <> %s"
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE datname = %s AND pid <> pg_backend_pid() AND {mine}",
            [name, own],
        )


@pytest.mark.parametrize(("source", "target"), [("schema", "database"), ("file", "schema")])
def test_a_tenant_whose_move_was_cut_off_can_be_dropped(
    mover: Mover, source: str, target: str
) -> None:
    kinds = [step.kind for step in steps_of(source, target)]
    for number in in_turns([*range(1, 4), len(kinds) - 2, len(kinds) - 1]):
        domicile.create_tenant("acme", placement=source)
        pid = mover.start(target, stop_at=number)
        assert mover.outcome()["stopped"] == kinds[number - 1]
        mover.end(pid)
        eventually(drops)
        check_nothing_is_left(source, target)


@pytest.mark.parametrize("target", ["schema", "file"])
@pytest.mark.parametrize("what", ["copy", "archive"])
def test_copies_and_imports_that_were_cut_off_leave_nothing(
    mover: Mover, what: str, target: str, tmp_path: Path
) -> None:
    with tenant("acme", placement="schema") as acme:
        fill(acme, 20)
        before = contents(acme)
        if what == "archive":
            what = str(domicile.export_tenant("acme", tmp_path / "acme.domicile"))
        for number in (1, 2, 5):
            pid = mover.start(target, stop_at=number, what=what)
            assert "stopped" in mover.outcome()
            mover.end(pid)
            registry.clear()
            assert registry.by_slug("bcme") is None
            # The same again clears away what there is, and makes it.
            eventually(lambda: restarted(mover, what, target))
            assert contents(University.objects.get(slug="bcme")) == before
            domicile.drop_tenant("bcme")
            assert not homes_like(target, "bcme")


def restarted(mover: Mover, what: str, target: str) -> bool:
    mover.start(target, what=what)
    outcome = mover.outcome()
    assert "ended" in mover.hear()
    assert "done" in outcome or "TenantBusy" in outcome["failed"]
    return "done" in outcome


def drops() -> bool:
    try:
        domicile.drop_tenant("acme")
    except TenantBusy:
        return False
    return True
