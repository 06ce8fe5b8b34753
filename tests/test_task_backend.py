"""Django's own tasks, sent from one place and done in another."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

import domicile
from domicile.exceptions import UnknownTenant
from domicile.replicas.reading import current_reading
from tests.processes import ROOT
from tests.tenants import tenant
from tests.testproject.students.models import Student

tasks = pytest.importorskip("django.tasks", reason="Django has no tasks of its own before 6.0")

from django.tasks.backends.base import BaseTaskBackend  # noqa: E402

from domicile.integrations.task_backend import CarryingBackend  # noqa: E402

pytestmark = pytest.mark.django_db(transaction=True)


class Queue(BaseTaskBackend):
    """Keeps what is sent as the text that a broker would have."""

    supports_async_task = True

    def __init__(self, alias: str, params: Any) -> None:
        super().__init__(alias, params)
        self.sent: list[str] = []

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> None:
        self.validate_task(task)
        self.sent.append(json.dumps([args, kwargs]))


class CarryingQueue(CarryingBackend, Queue):
    pass


def in_worker(func: Any, *args: Any, **kwargs: Any) -> Any:
    """What a function returns, or raises, in a thread that has nothing of this one."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(func(*args, **kwargs))
        except Exception as error:
            outcome.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def done(task: Any) -> Any:
    """What a task that was sent returns, as Django's backends do it."""
    args, kwargs = json.loads(task.get_backend().sent.pop())
    return in_worker(task.call, *args, **kwargs)


def adone(task: Any) -> Any:
    args, kwargs = json.loads(task.get_backend().sent.pop())

    async def work() -> Any:
        try:
            return await task.acall(*args, **kwargs)
        finally:
            await sync_to_async(connections.close_all)()

    return in_worker(asyncio.run, work())


@pytest.fixture
def queue(settings: Any) -> Iterator[Any]:
    settings.TASKS = {"default": {"BACKEND": f"{__name__}.CarryingQueue"}}
    yield tasks.default_task_backend
    assert tasks.default_task_backend.sent == []


# Tasks -------------------------------------------------------------------------------------------


def students(prefix: str = "") -> str:
    active = domicile.current_tenant()
    return f"{prefix}{active and active.slug} {Student.objects.count()}"


async def astudents(prefix: str = "") -> str:
    active = domicile.current_tenant()
    return f"{prefix}{active.slug} {await Student.objects.acount()}"


def attempt(context: Any, name: str) -> str:
    return f"{name} {context}"


def surroundings() -> tuple[Any, bool]:
    return domicile.current_tenant(), current_reading().is_implicit


# Tests -------------------------------------------------------------------------------------------


@pytest.fixture
def accra() -> Iterator[Any]:
    with tenant("accra") as created:
        with created.activate():
            Student.objects.create(registration="1", name="Ama", home="accra")
        yield created


@pytest.mark.parametrize("way", [done, adone])
@pytest.mark.parametrize("func", [students, astudents])
def test_done_in_the_tenant_that_sent_it(queue: Any, accra: Any, func: Any, way: Any) -> None:
    task = tasks.task(func)
    with accra.activate():
        task.enqueue(prefix="in ")
        assert queue.sent == ['[[], {"prefix": "in ", "domicile_tenant": "accra"}]']
    assert way(task) == "in accra 1"
    assert domicile.current_tenant() is None


def test_sent_asynchronously(queue: Any, accra: Any) -> None:
    task = tasks.task(students)

    async def send() -> None:
        async with accra.activate():
            await task.using(priority=0).aenqueue("by hand, ")

    asyncio.run(send())
    assert done(task) == "by hand, accra 1"


def test_sent_from_no_tenant(queue: Any, accra: Any) -> None:
    task = tasks.task(surroundings)
    task.enqueue()
    assert queue.sent == ["[[], {}]"]
    assert done(task) == (None, False)


def test_is_a_unit_of_work(queue: Any, accra: Any) -> None:
    task = tasks.task(surroundings)
    with accra.activate():
        task.enqueue()
    assert done(task) == (accra, False)


def test_context_stays_the_first_argument(queue: Any, accra: Any) -> None:
    task = tasks.task(attempt, takes_context=True)
    with accra.activate():
        task.enqueue("Ama")
    args, kwargs = json.loads(queue.sent.pop())
    assert task.call("first", *args, **kwargs) == "Ama first"


def test_a_tenant_that_is_gone_fails_its_task(queue: Any) -> None:
    task = tasks.task(students)
    with tenant("accra") as accra, accra.activate():
        task.enqueue()
    with pytest.raises(UnknownTenant, match="'accra'"):
        done(task)


def test_a_plain_backend_carries_nothing(settings: Any, accra: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": f"{__name__}.Queue"}}
    with accra.activate():
        tasks.task(surroundings).enqueue()
    assert tasks.default_task_backend.sent == ["[[], {}]"]


def test_may_be_loaded_before_the_apps_are() -> None:
    script = "import domicile.integrations.task_backend"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
