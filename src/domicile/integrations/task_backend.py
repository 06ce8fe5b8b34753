"""Django's tasks framework (Django 6.0 and later): tasks that go on where they were sent from.

    class Backend(CarryingBackend, DatabaseBackend):  # whatever backend the project uses
        pass

and its path as `BACKEND` in `TASKS`. Nothing here needs apps: tasks may be declared before these
are loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.tasks import Task

import domicile

#: The argument that tells a task its tenant.
_TENANT = "domicile_tenant"


class CarryingTask(Task):
    """A task that is done in the tenant that was active where it was sent from, as a unit of work
    that sees what was written there. Both travel as keyword arguments, which its function does not
    get.
    """

    __slots__ = ()

    def enqueue(self, *args: Any, **kwargs: Any) -> Any:
        return super().enqueue(*args, **{**kwargs, **_carried()})

    async def aenqueue(self, *args: Any, **kwargs: Any) -> Any:
        # A position is asked of a server.
        return await super().aenqueue(*args, **{**kwargs, **await sync_to_async(_carried)()})

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return _received(super().call, kwargs)(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        return await _received(super().acall, kwargs)(*args, **kwargs)


class CarryingBackend:
    """What makes a backend's tasks such. It stands before the backend that it is mixed with."""

    task_class = CarryingTask


def _carried() -> dict[str, str]:
    tenant = domicile.current_tenant()
    own = {} if tenant is None else {_TENANT: tenant.slug}
    return {**own, **domicile.position_argument()}


def _received(func: Callable[..., Any], kwargs: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that is done where `kwargs` say, and take that out of them."""
    slug = kwargs.pop(_TENANT, None)
    # The tenant is looked up inside: it may be as new as what else has to be seen.
    inner = func if slug is None else domicile.activate(slug)(func)
    return domicile.carrying(inner)
