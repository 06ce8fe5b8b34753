"""Which homes there are of many tenants, in a few statements for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from domicile.backends.homes import Applied, HomeStore
from domicile.conf import conf
from domicile.exceptions import UnknownPlacement, UnknownTenant
from domicile.fleet.site import handler
from domicile.periods.calendar import Period
from domicile.periods.homes import PeriodHomes, all_homes, homes_of
from domicile.periods.making import COMPLETE
from domicile.periods.places import PREFIX, can_house, period_rules, placements
from domicile.placement import AT_PERIOD, EACH_TENANT, Home, Placement, tenant_alias
from domicile.registry import visible_tenants


@dataclass(frozen=True)
class Seen:
    """The homes of one placement, or of one tenant there, as they were seen."""

    homes: PeriodHomes
    #: What each has applied, those that are not complete too.
    applied: Mapping[Period, Applied]

    @property
    def there(self) -> set[Period]:
        """The periods whose homes are complete."""
        return {period for period, names in self.applied.items() if COMPLETE in names}

    @property
    def place(self) -> str:
        """What stands for all such homes: `period:<placement>`, or `tenant:*/<placement>`."""
        start = f"{EACH_TENANT}{AT_PERIOD}" if self.homes.slug else PREFIX
        return f"{start}{self.homes.placement}"


def look_at(placement: str = "", tenant: str = "") -> Iterator[Seen]:
    """Yield the homes of all placements and tenants, or of one; those of tenants by
    database and slug.

    :raises UnknownPlacement: no rule has the placement. `UnknownTenant`: there is none of that
        slug, or it is not complete.
    """
    _check_placement(placement)
    if not tenant:
        yield from look_outside_tenants(placement)
    for each in placements(of_tenants=True):
        if placement in ("", each):
            yield from look_at_tenants(each, _own_homes(tenant))


def look_outside_tenants(placement: str = "") -> Iterator[Seen]:
    """Yield the homes that are no tenant's, of all placements or of one."""
    for homes in all_homes():
        if placement in ("", homes.placement):
            store = homes.store
            yield from _read(store, [(homes, homes.found(store))])


def look_at_tenants(placement: str, owns: Iterable[Home]) -> Iterator[Seen]:
    """Yield the homes in a placement of the tenants whose own are given: all that are in one
    database are read before the first of them.
    """
    template, groups = conf().placement(placement), dict[str, list[PeriodHomes]]()
    for own in owns:
        if can_house(template, conf().placement(own.placement.template)):
            homes = homes_of(placement, own=own)
            groups.setdefault(homes.template.key, []).append(homes)
    for key, group in groups.items():
        yield from _look_at_group(key, group)


def _look_at_group(key: str, group: list[PeriodHomes]) -> Iterator[Seen]:
    template = group[0].template if len(group) == 1 else conf().placement(key)
    store = handler().host(template).store(template)
    located: dict[str, list[str]] = {homes.owner: [] for homes in group}
    for name in store.names():
        owner = (template.name_at(name) or "").partition(AT_PERIOD)[0]
        if owner in located:
            located[owner].append(name)
    found = [homes.sorted_out(located[homes.owner]) for homes in group]
    yield from _read(store, zip(group, found, strict=True))


def _read(
    store: HomeStore, found: Iterable[tuple[PeriodHomes, Mapping[Period, str]]]
) -> Iterator[Seen]:
    """Yield what homes are, of which the names were found in one store."""
    found = list(found)
    names = [name for _, each in found for name in each.values()]
    applied = store.applied(names) if names else {}
    for homes, each in found:
        seen = Seen(homes, {p: applied.get(name, frozenset()) for p, name in each.items()})
        homes.learn(seen.there, store)
        yield seen


def by_time_in(homes: Iterable[Home]) -> dict[Home, list[Seen]]:
    """Return the homes by time, those that are complete, of each tenant whose own home is given."""
    homes = list(homes)
    found: dict[str, list[Seen]] = {home.slug: [] for home in homes}
    for placement in placements(of_tenants=True) if found else ():
        for seen in look_at_tenants(placement, homes):
            if seen.there:
                found[seen.homes.slug].append(seen)
    return {home: found[home.slug] for home in homes}


def _check_placement(placement: str) -> None:
    if placement and placement not in {rule.placement for rule in period_rules()}:
        raise UnknownPlacement(f"No rule `Periods` has the placement {placement!r}.")


def _own_homes(tenant: str) -> list[Home]:
    tenants = visible_tenants()
    if tenant:
        tenants = tenants.filter(slug=tenant)
    rows = tenants.values_list("slug", "placement_template", "placement_name")
    found = [Home(tenant_alias(slug), Placement(key, name)) for slug, key, name in rows]
    if tenant and not found:
        raise UnknownTenant(f"There is no tenant {tenant!r}, or it is not complete.")
    return found
