"""Whether the names of periods' homes tell one tenant's from another's, and from all other homes.

Nothing here asks a database: what the patterns of placements could ever give is compared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import product
from string import ascii_lowercase, digits
from typing import NamedTuple

from domicile.conf import PlacementTemplate, conf
from domicile.periods.calendar import Every
from domicile.routing import rules
from domicile.rules.periods import Periods


class Part(NamedTuple):
    """Characters of which a name has one at this place; or, with `many`, any number."""

    characters: frozenset[str]
    many: bool = False


Name = tuple[Part, ...]

_DIGIT = Part(frozenset(digits))
_LETTER = frozenset(ascii_lowercase)
_SLUG: Name = (Part(_LETTER), Part(_LETTER | _DIGIT.characters | {"-"}, many=True))
_HOLES = re.compile(r"(\{slug\}|\{period\})")


def faults_of(template: PlacementTemplate, every: Every) -> Iterator[str]:
    """Yield why the homes of tenants' periods could be taken for others; nothing: they cannot."""
    if not _is_parted(template.pattern):
        yield "slug and period are not parted by a character such as '_'"
    for other in conf().placements.values():
        if other.key == template.key or not _are_together(template, other):
            continue
        if any(meet(*pair) for pair in product(_names(template, every), _names_of_other(other))):
            yield f"a home of placement {other.key!r} could have the same name"


def _is_parted(pattern: str) -> bool:
    """Whether both can be read from a name: neither has all of the characters between them."""
    parts = _HOLES.split(pattern)
    return any(
        {before, after} == {"{slug}", "{period}"} and re.search("[^a-z0-9]", between)
        for before, between, after in zip(parts[1::2], parts[2::2], parts[3::2], strict=False)
    )


def _are_together(one: PlacementTemplate, other: PlacementTemplate) -> bool:
    """Tell whether homes of both can be in one place. What follows tenants can be wherever there
    are schemas.
    """
    if one.follows_tenants or other.follows_tenants:
        return one.layout == other.layout
    return _server_of(one) == _server_of(other)


def _server_of(template: PlacementTemplate) -> tuple[str, ...]:
    own = template.settings or {}
    server = [str(own.get(name, "")) for name in ("ENGINE", "HOST", "PORT")]
    return (template.layout, template.database or "", *server)


def _names_of_other(template: PlacementTemplate) -> Iterator[Name]:
    if not template.houses_periods:
        yield _filled(template.pattern)
        return
    pattern = template.pattern
    if not template.is_of_tenants:
        pattern = pattern.replace("{slug}", "{period}")
    for every in _kept_by(template):
        for period in _periods(every):
            yield _filled(pattern, period)


def _kept_by(template: PlacementTemplate) -> set[Every]:
    found = (rule for rule in rules() if isinstance(rule, Periods))
    return {rule.every for rule in found if rule.placement == template.key}


def _names(template: PlacementTemplate, every: Every) -> Iterator[Name]:
    for period in _periods(every):
        yield _filled(template.pattern, period)


def _periods(every: Every) -> Iterator[Name]:
    """Yield what periods are called, those that were put aside too."""
    year, two = (_DIGIT,) * 4, (*_plain("_"), _DIGIT, _DIGIT)
    name = {
        "year": year,
        "quarter": (*year, *_plain("_q"), _DIGIT),
        "month": (*year, *two),
        "day": (*year, *two, *two),
    }[every]
    yield name
    yield (*name, *_plain("_detached"))


def _filled(pattern: str, period: Name = ()) -> Name:
    holes = {"{slug}": _SLUG, "{period}": period}
    name: list[Part] = []
    for part in _HOLES.split(os.path.normpath(pattern)):
        name += holes.get(part, _plain(part))
    return tuple(name)


def _plain(text: str) -> Name:
    return tuple(Part(frozenset(character)) for character in text)


def meet(one: Name, other: Name) -> bool:
    """Tell whether any text is both."""
    seen: set[tuple[int, int]] = set()
    places = [(0, 0)]
    while places:
        here = places.pop()
        if here in seen:
            continue
        seen.add(here)
        i, j = here
        if (i, j) == (len(one), len(other)):
            return True
        if i < len(one) and one[i].many:
            places.append((i + 1, j))
        if j < len(other) and other[j].many:
            places.append((i, j + 1))
        if i < len(one) and j < len(other) and one[i].characters & other[j].characters:
            places.append((i + (not one[i].many), j + (not other[j].many)))
    return False
