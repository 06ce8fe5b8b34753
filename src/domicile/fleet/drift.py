"""Homes that do not look like the others: found by their fingerprints, then named in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from domicile.backends.homes import Applied
from domicile.fleet.runs.forecast import read_each
from domicile.fleet.runs.selection import Selection
from domicile.fleet.survey import applied_in, differences, fingerprints_of
from domicile.placement import Home

_CHUNK = 500

#: What homes share that should look alike: where they stand, and what they have applied.
Kind = tuple[str, Applied]


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

    def drifts(self) -> Iterator[Drift]:
        """Compare the odd ones with one of the most; where they are as many, the first is right."""
        usual = max(self.by_fingerprint.values(), key=len)
        for homes in self.by_fingerprint.values():
            if homes is not usual:
                for home in homes:
                    yield Drift(home.alias, usual[0].alias, tuple(differences(home, usual[0])))


def find_drift(selection: Selection) -> Iterator[Drift]:
    """Yield the homes that differ from the most of those that stand in the same kind of place and
    have applied the same migrations; and those that are not there, or cannot be read.
    """
    kinds: dict[Kind, _Likeness] = {}
    rest = selection.homes()
    while part := list(islice(rest, _CHUNK)):
        yield from _look(part, kinds)
    for likeness in kinds.values():
        yield from likeness.drifts()


def _look(homes: Iterable[Home], kinds: dict[Kind, _Likeness]) -> Iterator[Drift]:
    faults: dict[Home, Exception] = {}
    applied = read_each(applied_in, homes, faults)
    fingerprints = read_each(fingerprints_of, applied, faults)
    for home in homes:
        if home in fingerprints:
            kind = (home.placement.template, applied[home])
            kinds.setdefault(kind, _Likeness()).add(home, fingerprints[home])
        else:
            fault = faults.get(home, "it is not there")
            yield Drift(home.alias, "", (f"cannot be read: {fault}",))
