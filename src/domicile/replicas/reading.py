"""What a unit of work has read and written, and how fresh its reads must be.

A unit of work is a request, a task or a command. It keeps to one replica, so that two reads of it
do not contradict each other, and reads from the primary what it has written itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.core.signals import request_started, setting_changed

from domicile.conf import conf
from domicile.context import Scope

if TYPE_CHECKING:
    from domicile.replicas.members import Member
    from domicile.replicas.positions import Mark


class Level(Enum):
    """How fresh a read must be."""

    #: From the primary.
    STRONG = "strong"
    #: What this unit of work has written, or was told of, is seen.
    READ_YOUR_WRITES = "read_your_writes"
    #: At most so many milliseconds old.
    BOUNDED = "bounded"
    #: From any replica that is well.
    EVENTUAL = "eventual"


# Looked up once a query: an enumeration's members are found more slowly than a module's names.
STRONG, READ_YOUR_WRITES = Level.STRONG, Level.READ_YOUR_WRITES


class Reading:
    """A unit of work; or, within one, a block with a level of its own."""

    __slots__ = (
        "asked",
        "chosen",
        "is_implicit",
        "level",
        "milliseconds",
        "opener",
        "outer",
        "positions",
        "refusal",
        "wrote",
    )

    def __init__(self, level: Level, milliseconds: float | None = None) -> None:
        self.level = level
        #: Of `BOUNDED`: the age that a read may have.
        self.milliseconds = milliseconds
        #: Primary → the replica to read from, chosen once.
        self.chosen: dict[str, str] = {}
        #: Primary → what must be visible: what came with the request, the session or the task.
        self.positions: dict[str, Mark] = {}
        #: Primaries that were written to: these are read from themselves from then on.
        self.wrote: set[str] = set()
        #: Replicas that were asked in vain: not again in this unit of work.
        self.asked: set[str] = set()
        #: Why nothing may be written; None: it may.
        self.refusal: str | None = None
        self.outer: Reading | None = None
        self.opener: object = None
        #: Nobody began it: it was there when somebody asked.
        self.is_implicit = False

    def block(self, level: Level, milliseconds: float | None = None) -> Reading:
        """Return a block of this unit of work. What was written counts for both."""
        block = Reading(level, milliseconds)
        block.positions, block.wrote, block.asked = self.positions, self.wrote, self.asked
        block.refusal = self.refusal
        return block

    def wants_primary(self, primary: str) -> bool:
        """Whether no replica will do for a read of what is at `primary`."""
        level = self.level
        return level is STRONG or (level is READ_YOUR_WRITES and primary in self.wrote)


def admits(reading: Reading, member: Member) -> bool:
    """Whether a replica will do for what is read now, where any will. Those that are not known to
    have replayed what must be visible are asked, the first of them until `POSITION_WAIT` is over.
    """
    if reading.level is not READ_YOUR_WRITES:
        return reading.level is Level.EVENTUAL or age_ms(member) <= (reading.milliseconds or 0.0)
    mark = reading.positions.get(member.primary)
    if mark is None:
        return True
    from domicile.replicas.positions import is_visible

    return is_visible(mark, member, reading)


def age_ms(member: Member) -> float:
    """Return how old what a replica shows can be by now: its lag, and the age of that news."""
    lag = member.state.lag_seconds
    return math.inf if lag is None else (lag + monotonic() - member.measured_at) * 1000


#: The innermost. Read by itself where a function call would be felt: once a query.
innermost: ContextVar[Reading | None] = ContextVar("domicile_reading", default=None)


def current_reading() -> Reading:
    """Return the unit of work, or the block in it, that the caller is in."""
    reading = innermost.get()
    return _implicit() if reading is None else reading


def _implicit() -> Reading:
    _attend_to_requests()
    reading = Reading(default_level())
    reading.is_implicit = True
    innermost.set(reading)
    return reading


@cache
def _attend_to_requests() -> None:
    """Once there is something to forget, and not before: who has no replicas pays nothing."""
    request_started.connect(_forget_implicit, dispatch_uid="domicile.replicas.reading")


@cache
def default_level() -> Level:
    """Return the level of a unit of work that says nothing."""
    return Level(conf().consistency)


def _reset(*, setting: str, **_: Any) -> None:
    if setting == "DOMICILE":
        default_level.cache_clear()


setting_changed.connect(_reset, dispatch_uid="domicile.replicas.reading.level")


class Entering(Scope):
    """Enters what `make` returns."""

    innermost = innermost

    def __init__(self, make: Callable[[], Reading]) -> None:
        self._make = make

    def __enter__(self) -> Reading:
        reading = self._make()
        reading.outer, reading.opener = innermost.get(), self
        innermost.set(reading)
        return reading


def primary(func: Any = None) -> Any:
    """Read from primaries: `with primary():`, or a decorator with or without parentheses."""
    return _applied(_level(Level.STRONG), func)


def use_replica(func: Any = None) -> Any:
    """Read from replicas, also what this unit of work has written itself and may not see there:
    `with use_replica():`, or a decorator with or without parentheses.

    Inside `atomic()` the primary is read all the same; so it is where no replica is well.
    """
    return _applied(_level(Level.EVENTUAL), func)


def consistency(level: str, *, milliseconds: float | None = None) -> Entering:
    """Return what sets how fresh reads must be.

    :param level: `strong`, `read_your_writes`, `bounded` or `eventual`.
    :param milliseconds: the age that reads may have; `bounded` needs it, and no other takes it.
    """
    try:
        asked = Level(level)
    except ValueError:
        known = ", ".join(repr(one.value) for one in Level)
        raise ValueError(f"There is no level {level!r} of consistency, only: {known}.") from None
    if (asked is Level.BOUNDED) != (milliseconds is not None):
        raise ValueError(
            f"consistency({level!r}) was given {milliseconds} milliseconds: the age that reads may"
            " have goes with 'bounded', and with it alone."
        )
    return _level(asked, milliseconds)


def _level(level: Level, milliseconds: float | None = None) -> Entering:
    return Entering(lambda: current_reading().block(level, milliseconds))


def _applied(entering: Entering, func: Any) -> Any:
    return entering if func is None else entering(func)


def _forget_implicit(**_: Any) -> None:
    """A server's thread goes on to the next request with the context of the last."""
    reading = innermost.get()
    if reading is not None and reading.is_implicit:
        innermost.set(None)
