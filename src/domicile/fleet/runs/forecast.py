"""What is pending in the homes of the fleet, looked at in parts, so that memory does not grow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, TypeVar

from domicile.fleet.replay.internals import Applied
from domicile.fleet.replay.plan import Plan
from domicile.fleet.runs.ledger import noted_aliases
from domicile.fleet.survey import applied_in
from domicile.placement import Home

_CHUNK = 500

T = TypeVar("T")


@dataclass(frozen=True)
class PendingGroup:
    """Homes that have the same before them: how many, one of them, the migrations in order."""

    migrations: tuple[str, ...]
    homes: int
    example: str


class Forecast:
    """Counts, while it looks, what homes have before them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        #: Homes in which a migration was cut off half done.
        self.cut_off = noted_aliases()
        #: Homes that have nothing before them.
        self.unchanged = 0
        #: Homes that could not be read; whoever migrates them will learn why.
        self.unknown = 0
        self._groups: dict[tuple[str, ...], PendingGroup] = {}

    @property
    def pending(self) -> int:
        return self.unknown + sum(group.homes for group in self.groups)

    @property
    def groups(self) -> list[PendingGroup]:
        return list(self._groups.values())

    def as_record(self) -> list[dict[str, Any]]:
        return [asdict(group) for group in self.groups]

    def look(self, homes: Iterable[Home]) -> Iterator[list[Home]]:
        """Yield, in parts, the homes that have something before them or cannot be read."""
        rest = iter(homes)
        while part := list(islice(rest, _CHUNK)):
            applied = read_each(applied_in, part)
            yield [home for home in part if self._count(home, applied.get(home))]

    def _count(self, home: Home, applied: Applied | None) -> bool:
        if applied is None:
            self.unknown += 1
            return True
        if not self.plan.course(applied).has_work and home.alias not in self.cut_off:
            self.unchanged += 1
            return False
        names = tuple(map(str, self.plan.pending(applied)))
        counted = self._groups.get(names)
        self._groups[names] = PendingGroup(
            names, 1 + (counted.homes if counted else 0), counted.example if counted else home.alias
        )
        return True


def read_each(
    reading: Callable[[Iterable[Home]], dict[Home, T]],
    homes: Iterable[Home],
    faults: dict[Home, Exception] | None = None,
) -> dict[Home, T]:
    """Return what `reading` (of `domicile.fleet.survey`) tells of homes, those that are there.

    Where they cannot be read together each is read by itself, and those that cannot be are left
    out and put into `faults`.
    """
    homes = list(homes)
    try:
        return reading(homes)
    except Exception as error:
        if len(homes) == 1:
            if faults is not None:
                faults[homes[0]] = error
            return {}
    found: dict[Home, T] = {}
    for home in homes:
        found |= read_each(reading, [home], faults)
    return found
