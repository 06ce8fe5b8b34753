"""Where a tenant can go."""

from __future__ import annotations

from itertools import count
from typing import Any

from domicile.conf import PlacementTemplate, conf
from domicile.exceptions import UnknownPlacement
from domicile.fleet.site import Site
from domicile.periods.tenants import check_names, is_free_beside
from domicile.placement import Home, Placement, tenant_alias
from domicile.records import Move, ReadyHome
from domicile.registry import tenant_model

#: A move in one of these is not over: its source or its target is nobody's home.
_OPEN = (
    Move.Phase.PREPARING,
    Move.Phase.COPYING,
    Move.Phase.SWITCHING,
    Move.Phase.UNDOING,
    Move.Phase.SWITCHED,
)


def placement_named(name: str) -> PlacementTemplate:
    """Return the placement of that key, or the only one that places homes in that database."""
    placements = {key: each for key, each in conf().placements.items() if not each.houses_periods}
    if name in placements:
        return placements[name]
    found = [template for template in placements.values() if template.database == name]
    if len(found) == 1:
        return found[0]
    raise UnknownPlacement(
        f"{name!r} is no placement"
        + (", and more than one places homes there" if found else "")
        + f". There are: {', '.join(placements)}."
    )


def free_placement(template: PlacementTemplate, slug: str) -> Placement:
    """Return a placement for a home of a tenant that nothing is at, nor is beside it. A slug has no
    underscore.
    """
    others = _homes_of(slug)
    for number in count(1):
        name = slug if number == 1 else f"{slug}_{number}"
        placement = Placement(template.key, name)
        site, home = Site.of(placement), Home(tenant_alias(slug), placement)
        site.store.validate(site.name)
        check_names(home)
        if not _is_taken(placement) and not site.exists() and is_free_beside(home, others):
            return placement
    raise AssertionError


def _homes_of(slug: str) -> list[Home]:
    """Return the tenant's own home, and those that it has left, or may come to."""
    found = [tenant.placement for tenant in tenant_model()._base_manager.filter(slug=slug)]
    for move in open_moves().filter(slug=slug):
        found += [move.source, move.target]
    known = conf().placements
    return [Home(tenant_alias(slug), each) for each in found if each.template in known]


def _is_taken(placement: Placement) -> bool:
    """Tell whether the placement is somebody's, or still is to be dropped."""
    here = {"placement_template": placement.template, "placement_name": placement.name}
    return (
        tenant_model()._base_manager.filter(**here).exists()
        or ReadyHome.objects.filter(**here).exists()
        or any(placement in (move.source, move.target) for move in open_moves())
    )


def open_moves() -> Any:
    """Return the moves that are not over."""
    return Move.objects.filter(phase__in=_OPEN).order_by("pk")
