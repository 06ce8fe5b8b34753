"""Threads that get ready for a run before it is known what there is to do."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from domicile.backends.sharing import SharedSession
from domicile.fleet.runs import control
from domicile.fleet.runs.control import migrate_fleet
from domicile.fleet.runs.crews import hands_for
from domicile.fleet.runs.hands import Hands, hired
from domicile.fleet.runs.options import RunOptions
from domicile.fleet.runs.selection import Selection
from domicile.fleet.site import handler
from domicile.placement import SHARED_ALIAS
from tests.tenants import DATABASES, tenant

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


def test_each_does_one_job_by_the_session_that_it_has_opened() -> None:
    met = threading.Barrier(3, timeout=10)
    opened: list[bool] = []

    def job() -> None:
        opened.append(handler()[SHARED_ALIAS].connection is not None)
        met.wait()

    with hired(2) as hands:
        for _ in range(3):  # One more than there are.
            hands.do(job)
    assert len(opened) == 3
    assert opened.count(True) >= 2


def test_all_are_gone_in_the_end() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), hired(3):
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_those_too_many_go_home_at_once() -> None:
    hands = Hands(3)
    threads = list(hands._threads)
    hands.keep(1)
    for _ in range(1000):
        if sum(thread.is_alive() for thread in threads) == 1:
            break
        threading.Event().wait(0.01)
    assert sum(thread.is_alive() for thread in threads) == 1
    hands.dismiss()
    assert not any(thread.is_alive() for thread in threads)


def test_who_cannot_get_ready_has_a_job_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(wrapper: SharedSession) -> None:
        raise OSError

    done: list[bool] = []
    with monkeypatch.context() as patched, hired(0) as hands:
        patched.setattr(type(connections["default"]), "ensure_connection", refused)
        hands.do(lambda: done.append(True))
        hands.dismiss()
    assert done == [True]


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (RunOptions(jobs=3), 3),
        (RunOptions(jobs=3, selection=Selection(only=("accra", "kumasi"))), 2),
        (RunOptions(jobs=3, selection=Selection(only=("accra",))), 0),
        (RunOptions(jobs=3, selection=Selection(only=("a*",))), 3),
        (RunOptions(jobs=1), 0),
        (RunOptions(jobs=3, processes=True), 0),
        (RunOptions(jobs=3, hand_out="tests.x"), 0),
    ],
)
def test_how_many_are_worth_it(options: RunOptions, number: int) -> None:
    assert hands_for(options) == number


def test_a_run_has_them_before_its_homes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    listed = control._listed
    before = threading.active_count()

    def counting(*args: object) -> object:
        seen.append(threading.active_count() - before)
        return listed(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(control, "_listed", counting)
    with tenant("accra"):
        events = list(migrate_fleet(jobs=2))
    assert seen == [2]
    assert events[-1].state == "done"  # type: ignore[union-attr]
    assert threading.active_count() == before
