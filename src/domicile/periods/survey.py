"""Which homes there are of many tenants, in a few statements for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from domicile.backends.homes import Applied
from domicile.conf import conf
from domicile.exceptions import UnknownPlacement, UnknownTenant
from domicile.fleet.site import handler
from domicile.periods.calendar import Period
from domicile.periods.homes import PeriodHomes, all_homes, homes_of
from domicile.periods.making import COMPLETE
from domicile.periods.places import PREFIX, period_rules, placements
from domicile.placement import AT_PERIOD, EACH_TENANT, Home
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
    """Yield the homes of all placements and tenants, or of one; those of tenants by slug.

    :raises UnknownPlacement: no rule has the placement. `UnknownTenant`: there is none of that
        slug, or it is not complete.
    """
    _check_placement(placement)
    if not tenant:
        yield from look_outside_tenants(placement)
    for each in placements(of_tenants=True):
        if placement in ("", each):
            yield from look_at_tenants(each, _slugs(tenant))


def look_outside_tenants(placement: str = "") -> Iterator[Seen]:
    """Yield the homes that are no tenant's, of all placements or of one."""
    for homes in all_homes():
        if placement in ("", homes.placement):
            yield _seen(homes)


def look_at_tenants(placement: str, slugs: Iterable[str]) -> Iterator[Seen]:
    """Yield the homes of tenants in a placement: all of them are read before the first."""
    slugs = list(slugs)
    template = conf().placement(placement)
    if len(slugs) == 1:
        template = template.within(slugs[0])
    store = handler().host(template).store(template)
    located: dict[str, list[str]] = {slug: [] for slug in slugs}
    for name in store.names():
        slug = (template.name_at(name) or "").partition(AT_PERIOD)[0]
        if slug in located:
            located[slug].append(name)
    found = {slug: homes_of(placement, slug).sorted_out(located[slug]) for slug in slugs}
    names = [name for each in found.values() for name in each.values()]
    applied = store.applied(names) if names else {}
    for slug in slugs:
        homes = homes_of(placement, slug)
        told = {period: applied.get(name, frozenset()) for period, name in found[slug].items()}
        seen = Seen(homes, told)
        homes.learn(seen.there, store)
        yield seen


def by_time_in(homes: Iterable[Home]) -> dict[Home, list[Seen]]:
    """Return the homes by time, those that are complete, of each tenant whose own home is given."""
    found: dict[str, list[Seen]] = {home.slug: [] for home in homes}
    for placement in placements(of_tenants=True) if found else ():
        for seen in look_at_tenants(placement, found):
            if seen.there:
                found[seen.homes.slug].append(seen)
    return {home: found[home.slug] for home in homes}


def _seen(homes: PeriodHomes) -> Seen:
    store = homes.store
    found = homes.found(store)
    applied = store.applied([*found.values()]) if found else {}
    seen = Seen(homes, {p: applied.get(name, frozenset()) for p, name in found.items()})
    homes.learn(seen.there, store)
    return seen


def _check_placement(placement: str) -> None:
    if placement and placement not in {rule.placement for rule in period_rules()}:
        raise UnknownPlacement(f"No rule `Periods` has the placement {placement!r}.")


def _slugs(tenant: str) -> list[str]:
    found = visible_tenants().values_list("slug", flat=True)
    if not tenant:
        return list(found)
    slugs = list(found.filter(slug=tenant))
    if not slugs:
        raise UnknownTenant(f"There is no tenant {tenant!r}, or it is not complete.")
    return slugs
