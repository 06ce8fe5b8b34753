"""Celery: each task is a unit of work, done in the tenant that was active where it was sent from,
and sees what was written there.

Loaded with Domicile where Celery is there by then, and with `domicile.integrations.celery`. A task
declared with `carries_tenant=False` is done outside of all tenants.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun, worker_init

import domicile
from domicile.replicas.positions import carried_positions, carry_positions
from domicile.replicas.units import UnitOfWork
from domicile.routing import replicated

_UID = "domicile.carrying"
_POSITION = "domicile_position"
_TENANT = "domicile_tenant"
#: What a task has entered, and why it must not be done, at its request.
_ENTERED = "_domicile_entered"
_FAULT = "_domicile_fault"
#: At a task whose function is not called where it must not be.
_IS_GUARDED = "_domicile_is_guarded"


def install() -> None:
    """Attend to Celery's signals."""
    before_task_publish.connect(_send, dispatch_uid=_UID)
    worker_init.connect(_guard_tasks, dispatch_uid=_UID)
    task_prerun.connect(_begin, dispatch_uid=_UID)
    task_postrun.connect(_end, dispatch_uid=_UID)


def _send(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is None:
        return
    tenant = domicile.current_tenant()
    if tenant is not None:
        headers[_TENANT] = tenant.slug
    text = carried_positions() if replicated().readers else ""
    if text:
        headers[_POSITION] = text


def _begin(task: Any = None, **_: Any) -> None:
    request = task.request
    entered = ExitStack()
    setattr(request, _ENTERED, entered)
    entered.enter_context(UnitOfWork())
    carry_positions(request.get(_POSITION) or "")
    if request.is_eager:  # It is done where it is called.
        return
    try:
        # The tenant is looked up inside: it may be as new as what else has to be seen.
        entered.enter_context(_activation(task))
    except Exception as error:  # Celery would log it, and do the task all the same.
        setattr(request, _FAULT, error)


def _activation(task: Any) -> Any:
    slug = task.request.get(_TENANT)
    if not slug or not getattr(task, "carries_tenant", True):
        return domicile.no_tenant()
    return domicile.activate(slug)


def _end(task: Any = None, **_: Any) -> None:
    entered = getattr(task.request, _ENTERED, None)
    if entered is not None:
        entered.close()


def _guard_tasks(sender: Any = None, **_: Any) -> None:
    """Before a worker begins: its tasks are all known, and not yet made ready to be called."""
    for task in sender.app.tasks.values():
        guard_task(task)


def guard_task(task: Any) -> None:
    """Have a task fail, before its function is called, whose tenant is not there any more."""
    if getattr(task, _IS_GUARDED, False):
        return
    run = task.run

    @functools.wraps(run)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        fault = getattr(task.request, _FAULT, None)
        if fault is not None:
            raise fault
        return run(*args, **kwargs)

    task.run = guarded
    setattr(task, _IS_GUARDED, True)
