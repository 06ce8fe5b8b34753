"""Units of work: what begins one, and what it leaves behind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction

from domicile.context import Scope
from domicile.patches.cursors import guard_cursors
from domicile.replicas.positions import carried_positions, carry_positions
from domicile.replicas.reading import Reading, default_level, innermost
from domicile.replicas.switch import site_refusal
from domicile.replicas.writes import guard

#: The argument by which `carrying()` is handed what must be visible.
ARGUMENT = "domicile_position"


class UnitOfWork(Scope):
    """A request, a task, a message: nothing written yet, and no replica chosen.

    What is written in one within another, as in a task that is done at once, is written in both.
    """

    innermost = innermost

    def __enter__(self) -> Reading:
        reading, outer = Reading(default_level()), innermost.get()
        reading.outer, reading.opener = outer, self
        reading.refusal = site_refusal()
        if outer is not None and not outer.is_implicit:
            reading.level, reading.milliseconds = outer.level, outer.milliseconds
            reading.positions, reading.wrote = dict(outer.positions), outer.wrote
            reading.refusal = reading.refusal or outer.refusal
        if reading.refusal is not None:
            guard_cursors(guard)
        innermost.set(reading)
        return reading


def unit_of_work() -> UnitOfWork:
    """Return what begins a unit of work: `with`, `async with` or a decorator.

    Requests (by the middleware), Celery's tasks and, by `CarryingBackend`, Django's are one by
    themselves.
    """
    return UnitOfWork()


def position_argument() -> dict[str, str]:
    """Return the argument that tells a task, whose function is decorated by `carrying`, what it
    has to see: `queue.enqueue(task, 1, **position_argument())`. Call it after COMMIT.
    """
    text = carried_positions()
    return {ARGUMENT: text} if text else {}


def carrying(func: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the function of a task, of whatever queue: it is a unit of work, which sees what
    `position_argument()` tells it.
    """
    if iscoroutinefunction(func):

        @functools.wraps(func)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            text = kwargs.pop(ARGUMENT, "")
            async with unit_of_work():
                carry_positions(text)
                return await func(*args, **kwargs)

    else:

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            text = kwargs.pop(ARGUMENT, "")
            with unit_of_work():
                carry_positions(text)
                return func(*args, **kwargs)

    return wrapper
