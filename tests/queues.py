"""Backends of Django's own tasks, which it has from 6.0 on, and workers that do what was sent."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.tasks.backends.base import BaseTaskBackend

from domicile.integrations.task_backend import CarryingBackend


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
