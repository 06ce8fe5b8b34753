"""Which server a read goes to: one set for each database that has replicas, in each process."""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
from asyncio import _get_running_loop
from collections.abc import Collection, Mapping
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed

from domicile.backends.replication import Identity, Position, State
from domicile.conf import conf
from domicile.connections import register_family
from domicile.exceptions import ReplicasExhausted, first_line
from domicile.replicas.discovery import PREFIX, settings_of
from domicile.replicas.members import Member, Table
from domicile.replicas.monitor import Monitor
from domicile.replicas.policies import policy_of
from domicile.replicas.reading import (
    READ_YOUR_WRITES,
    STRONG,
    Reading,
    admits,
    current_reading,
    innermost,
)

if TYPE_CHECKING:
    from domicile.rules.replicas import Replicas

logger = logging.getLogger("domicile.replicas")

#: A measure is old after so many looks that did not come.
_LOOKS_MISSED = 3
#: Reads that may fall back on the primary at once, where the share of all of them is limited.
_BURST = 10.0


class Share:
    """Limits how many reads fall back on the primary: each read earns a part of one."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._left = _BURST * share

    def earn(self) -> None:
        self._left = min(_BURST, self._left + self.share)

    def spend(self) -> bool:
        """Take one; tell whether there was one."""
        if self.share < 1 and self._left < 1:
            return False
        self._left -= 1
        return True


class ReplicaSet:
    """Who serves the reads of one database.

    Threads read `table`, which is replaced and never changed; only those who replace it wait for
    each other.
    """

    def __init__(self, rule: Replicas) -> None:
        self.rule = rule
        self.primary = rule.primary
        self.primary_state: State | None = None
        self.table = Table(
            {alias: Member(alias, rule.primary, weight) for alias, weight in rule.weights().items()}
        )
        self.policy = policy_of(rule.policy)
        self.monitor = Monitor(self)
        self._share = Share(rule.primary_share)
        self._changing = threading.Lock()
        #: Since when those are out that failed while they were used.
        self._failed: dict[str, float] = {}
        self._left: tuple[str, ...] = ()
        self._primary_trouble = ""

    @property
    def aliases(self) -> tuple[str, ...]:
        """The replicas, those found at run time too, and those that left lately."""
        return (*self.table.members, *self._left)

    @property
    def members(self) -> tuple[Member, ...]:
        """What is known of each."""
        return tuple(self.table.members.values())

    def choose(self) -> str:
        """Return the alias to read from now: the one that this unit of work reads from already."""
        reading, primary = innermost.get() or current_reading(), self.primary
        level = reading.level
        if level is STRONG or (level is READ_YOUR_WRITES and primary in reading.wrote):
            return primary  # As `wants_primary()`, without a call: each query comes here.
        chosen = reading.chosen.get(primary)
        if chosen is not None and (chosen in self.table.usable or chosen == primary):
            return chosen
        return self._choose(reading, ())

    def choose_other(self, *tried: str) -> str:
        """Return another alias than those that were tried: a replica's, or the primary's.

        The unit of work reads from there from now on.

        :raises ReplicasExhausted: no replica is well, and too many reads are on the primary now.
        """
        reading = current_reading()
        if reading.wants_primary(self.primary):
            return self.primary
        return self._choose(reading, tried)

    def _choose(self, reading: Reading, tried: Collection[str]) -> str:
        if not self.monitor.is_started:
            self.monitor.start()
        if self._share.share < 1:
            self._share.earn()
            self._await_first()
        oldest = monotonic() - self.rule.every * _LOOKS_MISSED - self.rule.connect_seconds
        ready = [m for m in self.table.ready if m.measured_at > oldest and m.alias not in tried]
        while ready:
            member = self.policy.pick(ready)
            if admits(reading, member):
                reading.chosen[self.primary] = member.alias
                return member.alias
            ready.remove(member)
        alias = self._without_replica(reading, tried)
        if not reading.is_implicit:  # Or a worker would never find replicas.
            reading.chosen[self.primary] = alias
        return alias

    def failed(self, alias: str, error: BaseException) -> None:
        """Leave a replica out, at once, until it was asked again and is well."""
        with self._changing:
            member = self.table.members.get(alias)
            if member is not None:
                self._failed[alias] = monotonic()
                self._replace(
                    replace(member, usable=False, trouble=f"it failed: {first_line(error)}")
                )

    def reached(self, position: Position) -> bool:
        """Whether every replica has come to a position, also those that are left out: they may be
        back before they have.
        """
        places = [m.state.position for m in self.members if not m.draining]
        return bool(places) and all(place and place.reaches(position) for place in places)

    def report(self, alias: str, state: State, asked_at: float) -> None:
        """Take in what a server said when it was asked at that time."""
        with self._changing:
            if alias == self.primary:
                self._take_primary(state)
            elif alias in self.table.members and asked_at >= self._failed.get(alias, 0.0):
                self._failed.pop(alias, None)
                known = self.table.members[alias].asked(state, monotonic())
                self._replace(known.judged(self._primary_identity, self.rule))

    def host(self, found: Mapping[str, float]) -> None:
        """Take in which replicas there are, beside those of the settings, and their weights. Those
        that are missing are drained: `forget` ends that.
        """
        declared = self.rule.weights()
        with self._changing:
            known = self.table.members
            added = [Member(a, self.primary, w) for a, w in found.items() if a not in known]
            changed = [
                replace(member, draining=alias not in found, weight=found.get(alias, member.weight))
                for alias, member in known.items()
                if alias not in declared
            ]
            self._replace(*added, *changed)

    def forget(self, alias: str) -> None:
        """Drop a replica that left."""
        with self._changing:
            members = {a: m for a, m in self.table.members.items() if a != alias}
            self.table = Table(members)
            self._left = (*self._left, alias)[-100:]

    def renew(self) -> None:
        """Begin anew, as in a forked child."""
        self._changing = threading.Lock()
        self.monitor.renew()

    def close(self) -> None:
        """Stop asking; from now on it answers with the primary."""
        self.monitor.close()
        self.table = Table({})

    @property
    def _primary_identity(self) -> Identity | None:
        return None if self.primary_state is None else self.primary_state.identity

    def _take_primary(self, state: State) -> None:
        if state.trouble != self._primary_trouble:
            logger.warning("The primary %r: %s", self.primary, state.trouble or "it is well")
            self._primary_trouble = state.trouble
        if not state.alive:  # What was known of it stays true until it moves.
            return
        self.primary_state = state
        asked = [m for m in self.members if m.state.alive and m.alias not in self._failed]
        self._replace(*(member.judged(state.identity, self.rule) for member in asked))

    def _replace(self, *members: Member) -> None:
        for member in members:
            before = self.table.members.get(member.alias)
            if before is not None and bool(before.trouble) != bool(member.trouble):
                _tell(member)
        self.table = self.table.with_(*members)

    def _await_first(self) -> None:
        """Wait until it is known how all are, which nobody has to who may read from the primary."""
        if _get_running_loop() is None:
            self.monitor.asked.wait(self.rule.connect_seconds)

    def _without_replica(self, reading: Reading, tried: Collection[str]) -> str:
        if self._share.spend() or self.table.ready:  # Ready, and not far enough for this reader.
            return self.primary
        behind = [m for m in self.members if m.usable and m.alias not in tried]
        for member in sorted(behind, key=_distance):
            if admits(reading, member):
                return member.alias
        if self.primary in reading.positions:
            return self.primary
        raise ReplicasExhausted(
            f"No replica of {self.primary!r} can be read from, and the primary serves no more than"
            f" {self.rule.primary_share:.0%} of the reads for want of one (`primary_share`)."
            f" {'; '.join(f'{m.alias!r}: {m.trouble}' for m in self.members)}."
        )


def _distance(member: Member) -> tuple[float, float]:
    return (member.state.lag_seconds or 0.0, random.random())


def _tell(member: Member) -> None:
    if member.trouble:
        logger.warning("The replica %r is left out: %s", member.alias, member.trouble)
    else:
        logger.info("The replica %r is well", member.alias)


#: By the alias of the primary.
_sets: dict[str, ReplicaSet] = {}
_making = threading.Lock()


def replica_set(rule: Replicas) -> ReplicaSet:
    """Return this process's set of a rule: the same one each time."""
    known = _sets.get(rule.primary)
    if known is None or known.rule is not rule:
        with _making:
            known = _sets.get(rule.primary)
            if known is None or known.rule is not rule:
                if known is not None:
                    known.close()
                known = _sets[rule.primary] = ReplicaSet(rule)
    return known


def close_replicas() -> None:
    """Stop asking servers how they are, as before they stop: nobody is warned of that then. From
    now on this process reads from primaries. Done by itself where the interpreter ends.
    """
    for replicas in list(_sets.values()):
        replicas.close()


def _reset(*, setting: str, **_: Any) -> None:
    """Close the sets of rules that are declared no more."""
    if setting not in ("DOMICILE", "DATABASES"):
        return
    declared = {id(rule) for rule in conf().rules}
    for primary, replicas in list(_sets.items()):
        if setting == "DATABASES" or id(replicas.rule) not in declared:
            del _sets[primary]
            replicas.close()


def _forked() -> None:
    global _making  # noqa: PLW0603 - a lock that another thread held is never released here
    _making = threading.Lock()
    for replicas in _sets.values():
        replicas.renew()


setting_changed.connect(_reset, dispatch_uid="domicile.replicas")
register_family(PREFIX, settings_of)
atexit.register(close_replicas)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
