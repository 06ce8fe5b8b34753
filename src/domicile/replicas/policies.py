"""Which of the replicas that are well is read from: it decides, and asks nobody."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from domicile.replicas.members import Member

#: Replicas whose answer takes this much longer than the nearest one's are as near.
NEAR_MS = 1.0


class Policy:
    """One for each set of replicas; threads share it, so what it keeps may be a little off."""

    #: Whether it looks at `member.state.running`, which servers are asked for only then.
    counts_running: ClassVar[bool] = False

    def pick(self, ready: Sequence[Member]) -> Member:
        """Return one of the replicas that are well, of which there is at least one."""
        raise NotImplementedError


class RoundRobin(Policy):
    """Each in turn."""

    def __init__(self) -> None:
        self._turns = count(random.randrange(1000))  # Or all processes would begin with the first.

    def pick(self, ready: Sequence[Member]) -> Member:
        return ready[next(self._turns) % len(ready)]


class Random(Policy):
    """Any."""

    def pick(self, ready: Sequence[Member]) -> Member:
        return random.choice(ready)


class Weighted(Policy):
    """Any, as often as its weight says."""

    def pick(self, ready: Sequence[Member]) -> Member:
        weights = [member.weight for member in ready]
        return random.choices(ready, weights)[0] if any(weights) else random.choice(ready)


class LeastBusy(Policy):
    """The one that did the fewest statements when it was asked last; those that were sent there
    since then count, or all would go to the same one until it is asked again.
    """

    counts_running = True

    def __init__(self) -> None:
        self._sent: dict[str, tuple[float, int]] = {}

    def pick(self, ready: Sequence[Member]) -> Member:
        chosen = min(ready, key=lambda member: (self._load(member), random.random()))
        self._sent[chosen.alias] = (chosen.measured_at, self._sent_to(chosen) + 1)
        return chosen

    def _load(self, member: Member) -> int:
        return member.state.running + self._sent_to(member)

    def _sent_to(self, member: Member) -> int:
        measured_at, sent = self._sent.get(member.alias, (0.0, 0))
        return sent if measured_at == member.measured_at else 0


class Nearest(Policy):
    """One of those that answer fastest."""

    def pick(self, ready: Sequence[Member]) -> Member:
        fastest = min(member.latency_ms for member in ready)
        return random.choice([m for m in ready if m.latency_ms <= fastest + NEAR_MS])


POLICIES: Mapping[str, Callable[[], Policy]] = {
    "round_robin": RoundRobin,
    "random": Random,
    "weighted": Weighted,
    "least_busy": LeastBusy,
    "nearest": Nearest,
}


def policy_of(declared: str | Callable[[], Policy]) -> Policy:
    """Return a new policy, by its name or its class; `KeyError` where there is none."""
    return POLICIES[declared]() if isinstance(declared, str) else declared()
