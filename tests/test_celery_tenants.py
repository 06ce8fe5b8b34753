"""Tasks of Celery, sent from tenants by a real Redis to a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord
from celery.app.trace import build_tracer

import domicile
from domicile.exceptions import UnknownTenant
from domicile.integrations.celery_carrying import guard_task
from tests import servers
from tests.processes import Command
from tests.tenants import tenant
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    monkeypatch.setenv("TESTPROJECT_BROKER", servers.redis().url("1"))
    import domicile.integrations.celery  # noqa: F401
    from tests.testproject.celery import app

    app.conf.update(broker_url=servers.redis().url("1"), result_backend=servers.redis().url("1"))
    app.control.purge()
    yield app
    app.close()


@pytest.fixture
def tasks(app: Celery) -> Any:
    from tests.testproject import tasks

    return tasks


def worker(pool: str = "solo") -> Command:
    words = ("worker", f"--pool={pool}", "--concurrency=1", "--hostname=tenants")
    return Command("celery", "--app=tests.testproject.celery", *words, program=("-m",))


def result(sent: Any) -> Any:
    return sent.get(timeout=30)


@pytest.mark.parametrize("pool", ["solo", "prefork", "threads"])
def test_tasks_are_done_in_the_tenant_that_sent_them(tasks: Any, pool: str) -> None:
    with tenant("accra") as accra, tenant("kumasi") as kumasi, worker(pool):
        for number, each in enumerate((accra, kumasi, accra)):
            with each.activate():
                sent = tasks.enrol.delay(f"{each.slug} {number}")
                outside = tasks.where_outside.delay()
            assert result(sent)[-1] == f"{each.slug} {number}"
            assert result(outside) is None
            assert result(tasks.where.delay()) is None
            with pytest.raises(Exception, match="lives in tenants and none is active"):
                result(tasks.enrol.delay("nowhere"))
        with accra.activate():
            assert result(tasks.enrol.delay("last")) == ["accra 0", "accra 2", "last"]


def test_what_tasks_send_goes_to_the_same_tenant(tasks: Any) -> None:
    with tenant("accra") as accra, worker():
        with accra.activate():
            again = tasks.where_at_the_second_time.delay()
            after = chain(tasks.where.s(), tasks.where.s()).delay()
            together = chord([tasks.where.s(), tasks.where.s()])(tasks.collected.s())
        assert result(again) == "accra"
        assert result(after) == "accra"
        assert result(together) == ["accra"] * 3


def test_a_task_whose_tenant_was_dropped_fails_and_does_nothing(tasks: Any) -> None:
    with tenant("kumasi", name="Kumasi"):
        with tenant("accra") as accra, accra.activate():
            lost = [tasks.rename_all.delay(), tasks.where.delay()]
        with worker() as running:
            for sent in lost:
                with pytest.raises(Exception, match="accra") as refused:
                    result(sent)
                assert type(refused.value).__name__ == "UnknownTenant"
            assert result(tasks.where.delay()) is None
            assert University.objects.get().name == "Kumasi"
            assert "UnknownTenant" in running.printed


def test_done_at_once_is_done_in_the_tenant_that_is_active(tasks: Any) -> None:
    with tenant("accra") as accra:
        with accra.activate():
            assert tasks.where.apply().get() == "accra"
            assert tasks.where() == "accra"
        assert tasks.where.apply().get() is None


def test_nothing_stays_after_a_task(app: Celery, tasks: Any) -> None:
    guard_task(tasks.where)
    guard_task(tasks.where)
    tracer = build_tracer(tasks.where.name, tasks.where, app=app)
    request = {"id": "1", "hostname": "here", "ignore_result": True}
    with tenant("accra") as accra:
        for _ in range(2):
            assert tracer("1", (), {}, {**request, "domicile_tenant": "accra"}).retval == "accra"
            assert domicile.current_tenant() is None
            with accra.activate():
                assert tracer("1", (), {}, request).retval is None
                assert domicile.current_tenant() == accra
    told = tracer("1", (), {}, {**request, "domicile_tenant": "accra"})
    assert isinstance(told.retval.exception, UnknownTenant)
    assert domicile.current_tenant() is None
