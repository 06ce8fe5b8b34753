"""The homes by time in the life of a tenant: what it leaves, takes along, or may not leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from domicile.conf import PlacementTemplate, conf
from domicile.exceptions import HomeExists, InvalidName, NotSupported
from domicile.fleet.site import handler
from domicile.periods.calendar import EVERY, Period
from domicile.periods.homes import PeriodHomes, homes_of
from domicile.periods.places import is_beside, placements
from domicile.periods.retention import held
from domicile.placement import AT_PERIOD

_DETACHED = "_detached"


def check_names(slug: str) -> None:
    """Raise `InvalidName` where the homes by time of a new tenant could not be called so."""
    for homes in _homes(slug):
        homes.validate(homes.now())


def refuse_remains(slug: str) -> None:
    """Raise `HomeExists` where there are homes by time of a slug that no tenant has: whoever gets
    it would find the rows of another.
    """
    for homes in _homes(slug):
        for located in _located(homes):
            raise HomeExists(
                f"There is a {homes.store.noun} {located!r} already, where a tenant {slug!r} would"
                " have rows by time, and it is no tenant's. Remove it (`tenants tidy` shows it), or"
                " choose another slug."
            )
        homes.forget()  # What was known is of an earlier tenant, which another process dropped.


def drop_homes(slug: str) -> bool:
    """Drop all homes by time of a tenant, which nobody finds any more; those that were put aside
    too. Archives stay. Tell whether there were any.

    :raises HomeBusy: another process works on one of them.
    """
    dropped = False
    for homes in _homes(slug):
        for located in _located(homes):
            dropped = True
            period = homes.sorted_out([located])
            with held(homes, next(iter(period))) if period else nullcontext():
                for each in period:
                    handler().forget(homes.alias(each))
                homes.store.drop(located)
        homes.forget()
    return dropped


def refuse_move(tenant: Any, target: PlacementTemplate) -> None:
    """Raise `NotSupported` where a tenant has homes by time that its move would part from its own,
    or put beside it: those that are in a database of their own stay where they are.
    """
    own = conf().placement(tenant.placement.template)
    for homes in _homes(tenant.slug):
        if is_beside(homes.template, own) or is_beside(homes.template, target):
            located = _located(homes)
            if located:
                raise NotSupported(
                    f"{homes.slug!r} has homes by time in placement {homes.placement!r}"
                    f" ({homes.store.noun} {min(located)!r}, {len(located)} in all), so it cannot"
                    " be moved: those schemas would not come along. Take their rows elsewhere and"
                    " drop them first; nothing was done."
                )


def refuse_put_aside(slug: str, done: str) -> None:
    """Raise `NotSupported` where homes by time of a tenant were put aside, or are of other periods
    than its rules': nobody looks into them, and their rows would be left out.

    :param done: what cannot be done to it, for the message.
    """
    for homes in _homes(slug):
        aside = [located for located in _located(homes) if not homes.sorted_out([located])]
        if aside:
            raise NotSupported(
                f"{slug!r} has homes by time that nobody looks into ({homes.store.noun}"
                f" {min(aside)!r}, {len(aside)} in all), so it cannot be {done}: their rows would"
                " be missing. Bring them back with `partitions attach`, or take them elsewhere and"
                " drop them; nothing was done."
            )


def _homes(slug: str) -> Iterator[PeriodHomes]:
    return (homes_of(placement, slug) for placement in placements(of_tenants=True))


def _located(homes: PeriodHomes) -> list[str]:
    """Return what has the name of a period's home, complete or not, or of one put aside."""
    return [name for name in homes.store.names() if _is_periods(homes.template.name_at(name) or "")]


def _is_periods(name: str) -> bool:
    period = name.rpartition(AT_PERIOD)[2].removesuffix(_DETACHED)
    for every in EVERY:
        try:
            Period.parse(period, every)  # type: ignore[arg-type]
        except InvalidName:
            continue
        return True
    return False
