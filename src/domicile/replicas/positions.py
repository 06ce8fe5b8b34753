"""What must be visible to a reader: positions after a write, and how they travel.

They travel signed, as one short text: in a cookie, a session, a header between services, with a
task. What is forged or too old counts as nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core import signing
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, InterfaceError, connections

from domicile.backends.replication import Position, replication_of
from domicile.conf import conf
from domicile.exceptions import NotSupported
from domicile.replicas.reading import Reading, current_reading
from domicile.routing import readers_of

if TYPE_CHECKING:
    from domicile.replicas.members import Member

logger = logging.getLogger("domicile.replicas")

_SALT = "domicile.positions"
#: What asking a server may end with.
_FAILURES = (DatabaseError, InterfaceError, NotSupported, SynchronousOnlyOperation)


@dataclass(frozen=True)
class Mark:
    """What a reader must see of one database."""

    #: None: not known, only when it was written.
    position: Position | None
    #: When it was written: `time.time()`.
    at: float

    def merged(self, other: Mark) -> Mark:
        """Return what asks for both."""
        later = max(self.at, other.at)
        if self.position is None or other.position is None:
            # Who has the newer has the older, as far as it is known.
            return Mark((self if self.at > other.at else other).position, later)
        return Mark(self.position.merged(other.position), later)

    def is_old(self, now: float) -> bool:
        """Whether every replica that is well has it by now."""
        kept = conf().position_max_age if self.position else conf().write_window
        return now - self.at > kept

    def is_recent(self, now: float) -> bool:
        """Whether it is so new that it may be missing where its position says nothing."""
        return now - self.at <= conf().write_window


def is_visible(mark: Mark, member: Member, reading: Reading) -> bool:
    """Whether a replica shows what was written there; it may be asked, and waited for."""
    now = time.time()
    if mark.position is None:
        return not mark.is_recent(now)
    if _has_reached(member.alias, mark.position):
        return True
    identity = member.state.identity
    if identity is not None and identity.cluster != mark.position.cluster:
        return not mark.is_recent(now)  # Written before a fail-over, or on what was there then.
    if member.alias in reading.asked:
        return False
    milliseconds = 0.0 if reading.asked else conf().position_wait
    reading.asked.add(member.alias)
    return _reaches(member.alias, mark.position, milliseconds)


def _has_reached(alias: str, position: Position) -> bool:
    """Whether this thread's connection was seen there.

    A server that was killed and is back may show less than it did, so what was seen by another
    connection, as the monitor's is, says nothing of this one.
    """
    connection = connections[alias]
    seen, reached = vars(connection).get("domicile_reached", (None, None))
    raw = connection.connection
    return raw is not None and seen is raw and reached.reaches(position)


def _reaches(alias: str, position: Position, milliseconds: float) -> bool:
    try:
        connection = connections[alias]
        if not replication_of(connection).wait_for(position, milliseconds):
            return False
        vars(connection)["domicile_reached"] = (connection.connection, position)
        return True
    except _FAILURES as error:
        logger.info("Whether %r has come to %s was not to be learned: %s", alias, position, error)
        return False


def settle(reading: Reading) -> bool:
    """Take the positions of what was written in a unit of work, and drop those that all replicas
    have passed; tell whether what has to be carried on has changed.

    Call it after COMMIT.
    """
    before = dict(reading.positions)
    for primary in _written(reading):
        note(reading.positions, primary, _mark_of(primary))
    for primary, mark in before.items():
        if primary not in reading.wrote and _is_everywhere(primary, mark):
            del reading.positions[primary]
    return reading.positions != before


def _written(reading: Reading) -> list[str]:
    """Return what was written to and has replicas: of others nobody has to know."""
    return sorted(primary for primary in reading.wrote if readers_of(primary) is not None)


def note(positions: dict[str, Mark], primary: str, mark: Mark) -> None:
    """Have a reader see that too."""
    known = positions.get(primary)
    positions[primary] = mark if known is None else known.merged(mark)


def _mark_of(primary: str) -> Mark:
    """Return where a database is now; the time alone where that is not to be had."""
    try:
        connection = physical(primary)
        if connection.in_atomic_block:  # It will be further when this is committed.
            return Mark(None, time.time())
        return Mark(replication_of(connection).position(), time.time())
    except _FAILURES as error:
        logger.warning("The position of %r was not to be had: %s", primary, error)
        return Mark(None, time.time())


def _is_everywhere(primary: str, mark: Mark) -> bool:
    readers: Any = readers_of(primary)
    if readers is None or mark.is_old(time.time()):
        return True
    reached = getattr(readers, "reached", None)
    return mark.position is not None and reached is not None and bool(reached(mark.position))


def physical(alias: str) -> Any:
    """Return the wrapper of an alias of `DATABASES`, the real one also for `default`."""
    static = getattr(connections, "static", None)
    return connections[alias] if static is None else static(alias)


def dumps(positions: Mapping[str, Mark]) -> str:
    """Return positions as a signed text, empty where there is nothing to see."""
    if not positions:
        return ""
    plain = {
        primary: [round(mark.at, 3), mark.position.dumps() if mark.position else ""]
        for primary, mark in positions.items()
    }
    return signing.dumps(plain, salt=_SALT, compress=True)


def loads(text: str) -> dict[str, Mark]:
    """Return what `dumps` wrote: nothing where that is forged, and without what is too old, or of
    databases that have no replicas.
    """
    if not text:
        return {}
    now = time.time()
    try:
        plain = signing.loads(text, salt=_SALT)
        marks = {primary: _loaded(entry, now) for primary, entry in plain.items()}
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        return {}
    return {p: mark for p, mark in marks.items() if not mark.is_old(now) and readers_of(p)}


def _loaded(entry: list[Any], now: float) -> Mark:
    at, position = entry
    # Another server's clock may be ahead of ours.
    return Mark(Position.loads(position) if position else None, min(at, now))


def carried_positions() -> str:
    """Return, signed, what a reader elsewhere has to see of what was done here: for a header to
    another service, or with a message. Call it after COMMIT.
    """
    reading = current_reading()
    positions = dict(reading.positions)
    for primary in _written(reading):
        note(positions, primary, _mark_of(primary))
    return dumps(positions)


def carry_positions(text: str) -> None:
    """See from now on what `carried_positions()` told, in another process or another service."""
    reading = current_reading()
    for primary, mark in loads(text).items():
        note(reading.positions, primary, mark)
        reading.chosen.pop(primary, None)
