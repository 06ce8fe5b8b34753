"""The replicas of one database as values: what is known of each, and whether it is well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from domicile.backends.replication import Identity, Position, State

if TYPE_CHECKING:
    from domicile.rules.replicas import Replicas

#: How much of a new latency goes into the one that counts.
_FRESH = 0.3


@dataclass(frozen=True)
class Member:
    """A replica as it was when it was asked last."""

    alias: str
    primary: str
    weight: float = 1.0
    state: State = field(default_factory=lambda: State(alive=False))
    #: Whether it answers, replays, and is of the primary's cluster: it may be behind.
    usable: bool = False
    #: Why it is left out; empty: it is well.
    trouble: str = "it was not asked yet"
    #: `time.monotonic()`
    measured_at: float = 0.0
    #: Smoothed.
    latency_ms: float = 0.0
    #: It is on its way out: who reads from it may finish.
    draining: bool = False
    #: The furthest that it was seen. After a crash it begins earlier, and shows less than it did.
    furthest: Position | None = None

    def asked(self, state: State, at: float) -> Member:
        """Return it with what it said."""
        before = self.latency_ms or state.latency_ms
        latency = before + _FRESH * (state.latency_ms - before) if state.alive else before
        furthest, place = self.furthest, state.position
        if place is not None:
            furthest = place if furthest is None else furthest.merged(place)
        return replace(self, state=state, measured_at=at, latency_ms=latency, furthest=furthest)

    def judged(self, primary: Identity | None, rule: Replicas) -> Member:
        """Return it with what is to be said of its state."""
        hindrance = _hindrance(self.state, primary) or self._repeats()
        trouble = hindrance or _lag(self.state, rule)
        return replace(self, usable=not hindrance, trouble=trouble)

    def _repeats(self) -> str:
        place = self.state.position
        if self.furthest is None or place is None or place.reaches(self.furthest):
            return ""
        return "it replays again what it had shown already"


def _hindrance(state: State, primary: Identity | None) -> str:
    """Return why nobody may read from it, however little it matters what is read."""
    if not state.alive or state.identity is None:
        return state.trouble or "it was not asked yet"
    if primary is None:
        return "the primary was not seen yet, so it may be a replica of another"
    if state.identity.cluster != primary.cluster:
        return f"it is of another cluster: {state.identity.cluster}, not {primary.cluster}"
    if not state.identity.is_replica:
        return "it is no replica, or none any more"
    if state.identity.timeline != primary.timeline:
        return f"it is on time-line {state.identity.timeline}, the primary on {primary.timeline}"
    return state.trouble


def _lag(state: State, rule: Replicas) -> str:
    """Return how far it is behind, where that is too far.

    Seconds or bytes within bounds are enough: by its clock an idle replica is hours behind.
    """
    measures = (
        (state.lag_seconds, rule.max_lag_seconds, "{:.1f} s"),
        (state.lag_bytes, rule.max_lag_bytes, "{:,} bytes"),
    )
    bounded = [(lag, bound, unit) for lag, bound, unit in measures if bound is not None]
    if not bounded or any(lag is not None and lag <= bound for lag, bound, _ in bounded):
        return ""
    told = [unit.format(lag) for lag, _, unit in bounded if lag is not None]
    return f"it is {' and '.join(told) or 'nobody knows how far'} behind"


@dataclass(frozen=True)
class Table:
    """All members at one moment."""

    members: Mapping[str, Member]

    @cached_property
    def ready(self) -> tuple[Member, ...]:
        """Those that are well."""
        return tuple(m for m in self.members.values() if not m.trouble and not m.draining)

    @cached_property
    def usable(self) -> frozenset[str]:
        """Those from which a unit of work that began there may go on reading."""
        return frozenset(alias for alias, member in self.members.items() if member.usable)

    def with_(self, *members: Member) -> Table:
        return Table({**self.members, **{member.alias: member for member in members}})
