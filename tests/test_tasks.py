"""Runs that are handed out: to Celery with a real Redis between, and to Django's own tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import django
import pytest

from domicile.exceptions import NotSupported
from domicile.fleet.runs import control as runs
from domicile.fleet.runs import crews
from domicile.fleet.runs.events import RunEnded
from domicile.records import MigrationRun, MigrationRunHome
from tests import servers
from tests.growing import GROWN, applied, file_tenants, migrations, states, written
from tests.processes import Command, eventually

pytestmark = pytest.mark.django_db(transaction=True)

State = MigrationRunHome.State
WORKER = ("celery", "--app=tests.testproject.celery", "worker", "--pool=solo", "--concurrency=1")


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    url = servers.redis().url("0")
    monkeypatch.setenv("TESTPROJECT_BROKER", url)
    return url


def celery_worker(name: str) -> Command:
    return Command(*WORKER, f"--hostname={name}", program=("-m",))


def busy_worker() -> str | None:
    """A worker that is in the middle of some homes."""
    running = MigrationRunHome.objects.filter(state=State.RUNNING).exclude(worker="")
    return running.values_list("worker", flat=True).first()


def test_one_of_three_celery_workers_is_killed(broker: str, tmp_path: Path) -> None:
    with file_tenants(200) as tenants, migrations(tmp_path, GROWN):
        with celery_worker("a") as a, celery_worker("b") as b, celery_worker("c") as c:
            runner = Command("tenants", "migrate", "--hand-out=celery", "--jobs=3", "--batch=5")
            with runner:
                done = MigrationRunHome.objects.filter(state=State.DONE).exclude(worker="")
                eventually(lambda: done.values("worker").distinct().count() == 3, 60)
                victim = eventually(busy_worker)
                pid = int(victim.rpartition(":")[2])
                (killed,) = [worker for worker in (a, b, c) if worker.process.pid == pid]
                killed.kill()
                assert runner.end() == 0, runner.printed + a.printed + b.printed + c.printed
                assert "Migrated 200 of 200 homes" in runner.printed
        assert {written(tenant.slug) for tenant in tenants} == {1}
        assert {applied(tenant.slug)[-1] for tenant in tenants} == {"0003_written"}
    run = MigrationRun.objects.get()
    assert (run.state, states(run.pk)) == ("done", {"done": 200})
    workers = set(run.homes.values_list("worker", flat=True))
    assert len(workers) >= 3


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django has no tasks of its own before 6.0")
def test_djangos_own_tasks(tmp_path: Path) -> None:
    with file_tenants(5) as tenants, migrations(tmp_path, GROWN):
        *_, ended = runs.migrate_fleet(hand_out="domicile.integrations.tasks.hand_out")
        assert isinstance(ended, RunEnded)
        assert (ended.state, ended.done) == ("done", 5)
        assert {written(tenant.slug) for tenant in tenants} == {1}


def test_what_cannot_be_handed_out_to_is_told_before(tmp_path: Path) -> None:
    with file_tenants(2), migrations(tmp_path, GROWN), pytest.raises(NotSupported, match="nowhere"):
        list(runs.migrate_fleet(hand_out="nowhere.to_go"))
    assert not MigrationRun.objects.exists()


def test_what_is_handed_out_and_never_begins_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tasks that are lost with their worker, or with their broker."""
    monkeypatch.setattr("domicile.fleet.runs.crews._PATIENCE", 0.1)
    sent = []

    def hand_out(run: int) -> None:
        sent.append(run)
        if len(sent) > 2:
            crews.work(run)

    monkeypatch.setattr("tests.test_tasks.hand_out", hand_out, raising=False)
    with file_tenants(3), migrations(tmp_path, GROWN):
        *_, ended = runs.migrate_fleet(jobs=1, hand_out="tests.test_tasks.hand_out")
    assert isinstance(ended, RunEnded)
    assert ended.succeeded
    assert len(sent) == 3
