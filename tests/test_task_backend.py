"""Django's own tasks, sent from one place and done in another."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import domicile
from domicile.exceptions import UnknownTenant
from domicile.replicas.reading import current_reading
from tests.processes import ROOT
from tests.tenants import tenant
from tests.testproject.students.models import Student

tasks = pytest.importorskip("django.tasks", reason="Django has no tasks of its own before 6.0")

from tests import queues  # noqa: E402
from tests.queues import adone, done  # noqa: E402

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queue(settings: Any) -> Iterator[Any]:
    settings.TASKS = {"default": {"BACKEND": f"{queues.__name__}.CarryingQueue"}}
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
    settings.TASKS = {"default": {"BACKEND": f"{queues.__name__}.Queue"}}
    with accra.activate():
        tasks.task(surroundings).enqueue()
    assert tasks.default_task_backend.sent == ["[[], {}]"]


def test_may_be_loaded_before_the_apps_are() -> None:
    script = "import domicile.integrations.task_backend"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
