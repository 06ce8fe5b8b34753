"""What is pending in the homes of the fleet, looked at in parts, so that memory does not grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from domicile.fleet.replay.internals import Applied
from domicile.fleet.replay.plan import Plan
from domicile.fleet.runs.ledger import noted_aliases
from domicile.fleet.survey import applied_in
from domicile.periods.survey import Seen, by_time_in
from domicile.placement import Home

_CHUNK = 500

T = TypeVar("T")


class Part(NamedTuple):
    """Homes that were read together: what each has applied, and its tenant's homes by time. Those
    that could not be read are missing there.
    """

    homes: list[Home]
    applied: dict[Home, Applied]
    by_time: dict[Home, list[Seen]]


def read_in_parts(homes: Iterable[Home]) -> Iterator[Part]:
    """Yield all of them, each part read when it is asked for."""
    rest = iter(homes)
    while part := list(islice(rest, _CHUNK)):
        yield Part(part, read_each(applied_in, part), read_each(by_time_in, part))


@dataclass(frozen=True)
class PendingGroup:
    """Homes of one place that have the same before them: how many, one of them, the migrations in
    order. Their place is empty, or, of tenants' homes by time, `tenant:*/<placement>`.
    """

    migrations: tuple[str, ...]
    homes: int
    example: str
    place: str = ""


class Forecast:
    """Counts, while it looks, what homes have before them; tenants' homes by time by themselves."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        #: Homes in which a migration was cut off half done.
        self.cut_off = noted_aliases()
        #: Homes whose tenants have something before them: there, or in a home by time.
        self.pending = 0
        #: Homes whose tenants have nothing before them.
        self.unchanged = 0
        #: Those of the pending that could not be read; whoever migrates them will learn why.
        self.unknown = 0
        #: How many homes by time have nothing before them, by their place.
        self.unchanged_by_time = Counter[str]()
        self._groups: dict[tuple[str, tuple[str, ...]], PendingGroup] = {}

    @property
    def groups(self) -> list[PendingGroup]:
        """Tenants' own first, then by place."""
        return sorted(self._groups.values(), key=lambda group: group.place)

    @property
    def by_time(self) -> list[PendingGroup]:
        return [group for group in self.groups if group.place]

    def as_record(self) -> list[dict[str, Any]]:
        return [asdict(group) for group in self.groups]

    def look(self, parts: Iterable[Part]) -> Iterator[list[Home]]:
        """Yield, in parts, the homes that have something before them or could not be read."""
        for homes, applied, by_time in parts:
            yield [
                home for home in homes if self._count(home, applied.get(home), by_time.get(home))
            ]

    def _count(self, home: Home, applied: Applied | None, by_time: list[Seen] | None) -> bool:
        """Tell whether a home, or one by time of its tenant, has something before it."""
        behind = [self._count_one(home.alias, applied, cut_off=home.alias in self.cut_off)]
        for seen in by_time or ():
            behind += [
                self._count_one(seen.homes.alias(period), seen.applied[period], seen.place)
                for period in sorted(seen.there)
            ]
        is_unknown = applied is None or by_time is None
        has_work = is_unknown or any(behind)
        self.unknown += is_unknown
        self.pending += has_work
        self.unchanged += not has_work
        return has_work

    def _count_one(
        self, alias: str, applied: Applied | None, place: str = "", *, cut_off: bool = False
    ) -> bool:
        if applied is None:
            return False
        if not self.plan.course(applied).has_work and not cut_off:
            if place:
                self.unchanged_by_time[place] += 1
            return False
        names = tuple(map(str, self.plan.pending(applied)))
        counted = self._groups.get((place, names)) or PendingGroup(names, 0, alias, place)
        self._groups[place, names] = replace(counted, homes=counted.homes + 1)
        return True


def read_each(
    reading: Callable[[Iterable[Home]], dict[Home, T]],
    homes: Iterable[Home],
    faults: dict[Home, Exception] | None = None,
) -> dict[Home, T]:
    """Return what `reading` (such as those of `domicile.fleet.survey`) tells of homes, those that
    are there.

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
