"""Homes that no row tells of: left by hand, by a restored backup, by a crash of the disk."""

from __future__ import annotations

from collections.abc import Iterator

from domicile.conf import PlacementTemplate, conf
from domicile.context import no_tenant
from domicile.exceptions import NotSupported, TenantUnavailable
from domicile.fleet.site import Site
from domicile.fleet.sole_work import sole_work_on
from domicile.fleet.stock.ready import READY_PREFIX
from domicile.naming import is_slug
from domicile.periods.places import is_beside, templates_of
from domicile.placement import AT_PERIOD, TEMPLATE_NAME, Placement
from domicile.records import Move, ReadyHome
from domicile.registry import tenant_model


@no_tenant()
def find_orphans() -> list[Site]:
    """Return the homes, or what is left of them (a role, a journal), that have names as tenants'
    homes have, or those of their periods, and belong to no tenant, template, ready home or move.

    Not all need be Domicile's: where a placement's pattern is `{slug}`, any schema fits.
    """
    known = set(_known())
    found: dict[tuple[str, str], Site] = {}
    for template in _templates():
        store, owners = Site.of(Placement(template.key, TEMPLATE_NAME)).store, _owners(template)
        try:
            traces = store.traces()
        except NotSupported:
            continue
        for located in sorted(traces):
            name = template.name_at(located)
            if template.houses_periods:
                is_orphan = name is not None and _is_of_nobody(template, name, owners)
            else:
                is_orphan = _may_be_ours(name or "") and (template.layout, located) not in known
            if name is not None and is_orphan:
                site = Site(store, located, Placement(template.key, name))
                found.setdefault((template.layout, located), site)
    return list(found.values())


@no_tenant()
def drop_orphan(site: Site) -> None:
    """Drop what is left of a home; `TenantUnavailable` where it has become somebody's meanwhile."""
    name = site.placement.name
    with sole_work_on(_slug_of(name.partition(AT_PERIOD)[0])):
        template = conf().placement(site.placement.template)
        if is_somebodys(site) or (
            template.houses_periods and not _is_of_nobody(template, name, _owners(template))
        ):
            raise TenantUnavailable(f"The {site.store.noun} {site.name!r} is no orphan any more.")
        site.drop()


def is_somebodys(site: Site) -> bool:
    """Tell whether a row tells of a home: of a tenant, of one that is ready, of a move."""
    template = conf().placement(site.placement.template)
    return (template.layout, site.name) in set(_known())


def _known() -> Iterator[tuple[str, str]]:
    """Yield layout and name of the homes that a row tells of.

    Not which server they are on: a name that is somebody's on one is left alone on all.
    """
    placements = [
        *((key, TEMPLATE_NAME) for key in conf().placements),
        *tenant_model()._base_manager.values_list("placement_template", "placement_name"),
        *ReadyHome.objects.values_list("placement_template", "placement_name"),
    ]
    for source, name, target, target_name, retired in Move.objects.values_list(
        "source_template", "source_name", "target_template", "target_name", "retired_name"
    ):
        placements += [(source, name), (target, target_name)]
        if retired and source in conf().placements:
            yield conf().placement(source).layout, retired
    for key, name in placements:
        if key in conf().placements:
            template = conf().placement(key)
            yield template.layout, template.locate(name)


def _templates() -> list[PlacementTemplate]:
    """Return the placements; those that follow tenants, in each database where they can be."""
    return [each for one in conf().placements.values() for each in templates_of(one)]


def _owners(template: PlacementTemplate) -> set[str]:
    """Return whom homes by time are called after in a placement: tenants, or, where they are beside
    those, the own homes of tenants, which may be on their way.
    """
    if not template.houses_periods:
        return set()
    rows = list(
        tenant_model()._base_manager.values_list("slug", "placement_template", "placement_name")
    )
    for end in ("source", "target"):
        moves = Move.objects.exclude(phase=Move.Phase.DONE)
        rows += moves.values_list("slug", f"{end}_template", f"{end}_name")
    known = conf().placements
    return {
        name if key in known and is_beside(template, known[key]) else slug
        for slug, key, name in rows
    }


def _slug_of(name: str) -> str:
    """Return whose home is called so: slugs have no underscore, and what was moved may have one; of
    one that waits for a tenant, all.
    """
    return name.partition("_")[0] or name


def _is_of_nobody(template: PlacementTemplate, name: str, owners: set[str]) -> bool:
    """Tell whether the home of a period would be that of a tenant that there is not."""
    return template.is_of_tenants and name.partition(AT_PERIOD)[0] not in owners


def _may_be_ours(name: str) -> bool:
    return is_slug(name) or name.startswith(READY_PREFIX)
