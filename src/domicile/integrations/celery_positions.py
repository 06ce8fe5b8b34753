"""Celery: each task is a unit of work, and sees what was written where it was sent from.

Loaded with Domicile where Celery is there by then, and with `domicile.integrations.celery`.
"""

from __future__ import annotations

from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from domicile.replicas.positions import carried_positions, carry_positions
from domicile.replicas.units import UnitOfWork
from domicile.routing import replicated

_UID = "domicile.positions"
_HEADER = "domicile_position"
_UNIT = "_domicile_unit"


def install() -> None:
    """Attend to Celery's signals."""
    before_task_publish.connect(_send_positions, dispatch_uid=_UID)
    task_prerun.connect(_begin, dispatch_uid=_UID)
    task_postrun.connect(_end, dispatch_uid=_UID)


def _send_positions(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None and replicated().readers:
        text = carried_positions()
        if text:
            headers[_HEADER] = text


def _begin(task: Any = None, **_: Any) -> None:
    unit = UnitOfWork()
    unit.__enter__()
    setattr(task.request, _UNIT, unit)
    carry_positions(task.request.get(_HEADER) or "")


def _end(task: Any = None, **_: Any) -> None:
    unit = getattr(task.request, _UNIT, None)
    if unit is not None:
        unit.__exit__()
