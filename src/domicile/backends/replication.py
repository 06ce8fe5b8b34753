"""How far a server has come: positions in the log of a cluster, and what a replica says of itself.

Whatever a vendor calls it, a position is how far some streams are: an LSN is one stream, a GTID of
MariaDB has a stream per domain. So positions compare without a server.
"""

from __future__ import annotations

import select
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

from domicile.exceptions import NotSupported

_BY_VENDOR = {
    "postgresql": "domicile.backends.postgresql.replication.PostgresReplication",
    "mysql": "domicile.backends.mysql.replication.MariaDBReplication",
}
_SEPARATOR = " "


@dataclass(frozen=True)
class Identity:
    """Which data a server has."""

    #: What all servers with the same data have in common, and no others.
    cluster: str
    #: Counts promotions, where the vendor does; a server follows one time-line.
    timeline: int
    is_replica: bool


@dataclass(frozen=True)
class Position:
    """A point in the log of a cluster."""

    cluster: str
    timeline: int
    #: As the server writes it: `0/3000148`, or `0-1-270,1-1-12`.
    text: str

    def reaches(self, other: Position) -> bool:
        """Whether who has come here has all that `other` had; never that of another cluster."""
        if self.cluster != other.cluster or self.timeline < other.timeline:
            return False
        mine = streams(self.text)
        return all(mine.get(stream, -1) >= place for stream, place in streams(other.text).items())

    def merged(self, other: Position) -> Position:
        """Return the maximum: what reaches it reaches both. Of two clusters or time-lines it is the
        later time-line's; of two clusters on the same one, `other`.
        """
        if self.cluster != other.cluster or self.timeline != other.timeline:
            return self if self.timeline > other.timeline else other
        if self.reaches(other):
            return self
        if other.reaches(self):
            return other
        both = (*self.text.split(","), *other.text.split(","))
        furthest = {next(iter(streams(part))): part for part in sorted(both, key=_place)}
        return Position(self.cluster, self.timeline, ",".join(furthest.values()))

    def behind(self, other: Position) -> int | None:
        """Return how far `other` is ahead, in what the streams count; None: cannot be said."""
        mine, theirs = streams(self.text), streams(other.text)
        if self.cluster != other.cluster or mine.keys() != theirs.keys():
            return None
        return sum(max(0, place - mine[stream]) for stream, place in theirs.items())

    def dumps(self) -> str:
        """Return it as a short text, which `loads` reads."""
        return _SEPARATOR.join((self.cluster, str(self.timeline), self.text))

    @classmethod
    def loads(cls, text: str) -> Position:
        """Return what `dumps` wrote; `ValueError` where that is something else."""
        cluster, timeline, place = text.split(_SEPARATOR)
        streams(place)
        return cls(cluster, int(timeline), place)


@lru_cache(maxsize=4096)
def streams(text: str) -> dict[str, int]:
    """Return how far each stream is; `ValueError` where it is no position."""
    return dict(_stream(part.strip()) for part in text.split(",") if part.strip())


def _stream(part: str) -> tuple[str, int]:
    if "/" in part:
        high, low = part.split("/")
        return "", (int(high, 16) << 32) + int(low, 16)
    domain, _server, sequence = part.split("-")
    return domain, int(sequence)


def _place(part: str) -> int:
    return next(iter(streams(part).values()))


@dataclass(frozen=True)
class State:
    """What a server said when it was asked."""

    alive: bool
    identity: Identity | None = None
    #: What is replayed, not what is received; on a primary all that is written.
    position: Position | None = None
    #: By the clocks of both servers; 0: it has all that the primary had; None: not to be said.
    lag_seconds: float | None = None
    #: None: not to be said, as of a GTID.
    lag_bytes: int | None = None
    #: How long the question took.
    latency_ms: float = 0.0
    #: Statements that it is busy with, where the policy wants to know.
    running: int = 0
    #: Why it is not alive, or no use as a replica.
    trouble: str = ""


class Replication:
    """What the server of one wrapper knows of its replication; each engine has its own.

    All that is asked is outside the wrapper's transaction, or sees what is in it.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def identity(self) -> Identity:
        """Return which data the server has."""
        raise self._refusal()

    def position(self) -> Position:
        """Return how far the primary is: take it after COMMIT, not before."""
        raise self._refusal()

    def state(self, primary: Position | None = None) -> State:
        """Ask the server how it is; errors of the database are raised.

        :param primary: where the primary was a moment ago.
        """
        raise self._refusal()

    def running(self) -> int:
        """Return how many statements the server is busy with, without this one."""
        raise self._refusal()

    def wait_for(self, position: Position, milliseconds: float) -> bool:
        """Wait until the server has come to a position; tell whether it has."""
        raise self._refusal()

    def bounded(self, options: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return `OPTIONS` with which a server that is gone is noticed within so many seconds,
        where they do not say otherwise.
        """
        return options

    def is_read_only_error(self, error: BaseException) -> bool:
        """Tell whether a statement was refused since the server takes no writes."""
        return False

    def is_conflict(self, error: BaseException) -> bool:
        """Tell whether a replica gave up a read since it replays what the read was about."""
        return False

    def is_cut_off(self) -> bool:
        """Tell whether the open connection is dead, which costs a question only where the server
        said something unasked, as it does in the end.
        """
        raw = self.connection.connection
        if raw is None or not hasattr(raw, "fileno") or not hasattr(select, "poll"):
            return False
        try:
            heard = select.poll()
            heard.register(raw.fileno(), select.POLLIN)
            return bool(heard.poll(0)) and not self.connection.is_usable()
        except Exception:  # Each driver has its own, for a connection that is closed.
            return True

    def _refusal(self) -> NotSupported:
        return NotSupported(
            f"{self.connection.display_name} has no replicas that can be measured."
            " Use PostgreSQL or MariaDB."
        )


def replication_of(connection: Any) -> Replication:
    """Return what asks the server of a wrapper, also of Django's own engines."""
    known = getattr(connection, "replication_class", None) or _of_vendor(connection.vendor)
    replication: Replication = known(connection)
    return replication


@cache
def _of_vendor(vendor: str) -> type[Replication]:
    module, _, name = _BY_VENDOR.get(vendor, f"{__name__}.Replication").rpartition(".")
    found: type[Replication] = getattr(import_module(module), name)
    return found


def causes(error: BaseException | None) -> list[BaseException]:
    """Return an error of Django's and the driver's errors beneath it."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__
    return found
