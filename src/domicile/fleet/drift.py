"""Homes that do not look like the others: found by their fingerprints, then named in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from domicile.backends.catalog import fingerprint_of
from domicile.backends.homes import Applied
from domicile.fleet.runs.forecast import read_each
from domicile.fleet.runs.selection import Selection
from domicile.fleet.survey import (
    applied_in,
    differences,
    drift,
    facts_beside,
    fingerprints_of,
)
from domicile.periods.survey import by_time_in
from domicile.placement import Home

_CHUNK = 500

#: What homes share that should look alike: where they stand, what they have applied, and the
#: tenant, where they refer to its own home.
Kind = tuple[str, Applied, str]


@dataclass(frozen=True)
class Drift:
    """A home that differs from `model`; or, where that is empty, cannot be compared at all."""

    alias: str
    model: str
    differs: tuple[str, ...]


@dataclass
class _Likeness:
    """Homes of one kind by fingerprint."""

    by_fingerprint: dict[str, list[Home]] = field(default_factory=dict)

    def add(self, home: Home, fingerprint: str) -> None:
        self.by_fingerprint.setdefault(fingerprint, []).append(home)

    @property
    def usual(self) -> Home:
        """One of the most; where they are as many, the first is right."""
        return max(self.by_fingerprint.values(), key=len)[0]

    def drifts(self, compare: Callable[[Home, Home], list[str]]) -> Iterator[Drift]:
        """Compare the odd ones with the usual."""
        usual = self.usual
        for homes in self.by_fingerprint.values():
            if usual not in homes:
                for home in homes:
                    yield Drift(home.alias, usual.alias, tuple(compare(home, usual)))


def find_drift(selection: Selection) -> Iterator[Drift]:
    """Yield the homes, also those by time of tenants, that differ from the most of those that stand
    in the same kind of place and have applied the same migrations; and those that are not there,
    or cannot be read.
    """
    kinds: dict[Kind, _Likeness] = {}
    rest = selection.homes()
    while part := list(islice(rest, _CHUNK)):
        yield from _look(part, kinds)
        faults: dict[Home, Exception] = {}
        by_time = [
            home for homes in read_each(_by_time_of, part, faults).values() for home in homes
        ]
        yield from _look(by_time, kinds)
        yield from (_unread(home, fault) for home, fault in faults.items())
    for likeness in kinds.values():
        yield from likeness.drifts(differences)
    for likeness in _between_tenants(kinds):
        yield from likeness.drifts(_differences_beside)


def _between_tenants(kinds: Mapping[Kind, _Likeness]) -> Iterable[_Likeness]:
    """Return the likeness of homes that are beside those of different tenants: of each, one of the
    usual.
    """
    found: dict[tuple[str, Applied], _Likeness] = {}
    for (place, applied, slug), likeness in kinds.items():
        if slug:
            home = likeness.usual
            fingerprint = fingerprint_of(facts_beside(home))
            found.setdefault((place, applied), _Likeness()).add(home, fingerprint)
    return found.values()


def _differences_beside(home: Home, model: Home) -> list[str]:
    return drift(facts_beside(home), facts_beside(model))


def _look(homes: Iterable[Home], kinds: dict[Kind, _Likeness]) -> Iterator[Drift]:
    faults: dict[Home, Exception] = {}
    applied = read_each(applied_in, homes, faults)
    fingerprints = read_each(fingerprints_of, applied, faults)
    for home in homes:
        if home in fingerprints:
            slug = home.slug if home.beside else ""
            kind = (home.placement.template, applied[home], slug)
            kinds.setdefault(kind, _Likeness()).add(home, fingerprints[home])
        else:
            yield _unread(home, faults.get(home, "it is not there"))


def _unread(home: Home, fault: object) -> Drift:
    return Drift(home.alias, "", (f"cannot be read: {fault}",))


def _by_time_of(homes: Iterable[Home]) -> dict[Home, list[Home]]:
    """Return the homes by time of the tenants whose own are given."""
    return {
        own: [seen.homes.home(period) for seen in found for period in sorted(seen.there)]
        for own, found in by_time_in(homes).items()
    }
