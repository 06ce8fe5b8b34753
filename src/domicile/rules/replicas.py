"""A database and its replicas."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domicile.replicas.discovery import Dns
from domicile.replicas.policies import POLICIES, Policy
from domicile.rules.base import Readers, Rule

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

#: Vendors whose replicas can be measured.
_VENDORS = frozenset({"postgresql", "mysql"})


@dataclass(frozen=True)
class Replicas(Rule):
    """Reads of a database outside `atomic()` go to its replicas; writes to itself.

    A replica is read from while it is within `max_lag_seconds` or within `max_lag_bytes` of the
    primary; either may be None, for no such bound.
    """

    primary: str
    #: Aliases; or alias → weight, for the policy `weighted`.
    members: Collection[str] | Mapping[str, float] = ()
    #: One of `domicile.replicas.policies.POLICIES`, or a policy of the project's own.
    policy: str | type[Policy] = "round_robin"
    max_lag_seconds: float | None = 5.0
    max_lag_bytes: int | None = 1_048_576
    #: Seconds after which a server that does not answer counts as dead.
    connect_seconds: float = 2.0
    #: Seconds between two looks at each server.
    every: float = 1.0
    #: The share of reads that the primary may serve for want of a replica, from 0 to 1.
    primary_share: float = 1.0
    #: Finds more replicas while the process runs.
    discovery: Dns | None = None

    def databases(self) -> Collection[str]:
        return (self.primary, *self.members)

    def readers(self, alias: str) -> Readers | None:
        if alias != self.primary:
            return None
        from domicile.replicas.sets import replica_set

        return replica_set(self)

    def weights(self) -> dict[str, float]:
        """Return the replicas of the settings, each with its weight."""
        if isinstance(self.members, Mapping):
            return dict(self.members)
        return dict.fromkeys(self.members, 1.0)

    def check(self) -> Iterator[CheckMessage]:
        from domicile.findings import error, warning

        name = f"Replicas({self.primary!r})"
        for number, fault, hint in (*self._faults(), *self._faults_of_databases()):
            yield error(number, f"{name}: {fault}", hint)
        for doubt, hint in self._doubts():
            yield warning(44, f"{name}: {doubt}", hint)

    def _faults(self) -> Iterator[tuple[int, str, str]]:
        if isinstance(self.policy, str) and self.policy not in POLICIES:
            yield 40, f"there is no policy {self.policy!r}.", f"Use one of {', '.join(POLICIES)}."
        if self.primary in self.members:
            yield 41, "the database is its own replica.", "Name only the others in `members`."
        if not self.members and self.discovery is None:
            yield 41, "it has no replicas.", "Name their aliases, or a discovery that finds them."
        for name, value in self._numbers().items():
            if not isinstance(value, int | float) or value < 0:
                yield 42, f"{name} is {value!r}.", "Give a number that is not negative."
            elif name == "every" and value == 0:
                yield 42, "every is 0: it would ask all the time.", "Give a number of seconds."
            elif name == "primary_share" and value > 1:
                yield 42, f"primary_share is {value!r}.", "Give a share from 0 to 1."

    def _numbers(self) -> dict[str, Any]:
        bounds = {"max_lag_seconds": self.max_lag_seconds, "max_lag_bytes": self.max_lag_bytes}
        return {
            **{name: value for name, value in bounds.items() if value is not None},
            **{f"the weight of {alias!r}": weight for alias, weight in self.weights().items()},
            "connect_seconds": self.connect_seconds,
            "every": self.every,
            "primary_share": self.primary_share,
        }

    def _faults_of_databases(self) -> Iterator[tuple[int, str, str]]:
        from django.db import connections

        known = [alias for alias in self.databases() if alias in connections.settings]
        vendors = {alias: connections[alias].vendor for alias in known}
        for alias, vendor in vendors.items():
            if vendor not in _VENDORS:
                yield (
                    43,
                    f"{alias!r} is a database of {vendor}, whose replicas cannot be measured.",
                    "Use PostgreSQL or MariaDB, or take it out of the rule.",
                )
            elif vendor != vendors.get(self.primary, vendor):
                yield (
                    43,
                    f"{alias!r} is a database of {vendor} and {self.primary!r} is not.",
                    "A replica is of the same kind as its primary: name another alias.",
                )

    def _doubts(self) -> Iterator[tuple[str, str]]:
        from django.db import connections

        for alias in self.members:
            if connections.settings.get(alias, {}).get("ATOMIC_REQUESTS"):
                yield (
                    f"{alias!r} has ATOMIC_REQUESTS, so each request begins a transaction there,"
                    " and fails where that replica is dead.",
                    f"Set it for {self.primary!r} alone.",
                )
