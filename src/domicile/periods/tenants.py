"""The homes by time in the life of a tenant: what it leaves, takes along, or may not leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext

from django.db import transaction

from domicile.conf import PlacementTemplate, conf
from domicile.exceptions import HomeExists, InvalidName, NotSupported
from domicile.fleet.site import handler
from domicile.periods.calendar import EVERY, Period
from domicile.periods.homes import PeriodHomes, homes_of
from domicile.periods.places import can_house, is_beside, placements, template_of
from domicile.periods.retention import held
from domicile.placement import AT_PERIOD, Home

_DETACHED = "_detached"


def check_names(own: Home) -> None:
    """Raise `InvalidName` where the homes by time of a tenant whose own home is given could not be
    called so; `NotSupported` where it could have none there.
    """
    for placement in placements(of_tenants=True):
        homes = homes_of(placement, own=own)
        homes.validate(homes.now())


def refuse_remains(own: Home) -> None:
    """Raise `HomeExists` where there are homes by time that would be those of a new tenant: whoever
    gets it would find the rows of another.
    """
    for homes in _homes(own):
        for located in _located(homes):
            raise HomeExists(
                f"There is a {homes.store.noun} {located!r} already, where a tenant {own.slug!r}"
                " would have rows by time, and it is no tenant's. Remove it (`tenants tidy` shows"
                " it), or choose another slug."
            )
        homes.forget()  # What was known is of an earlier tenant, which another process dropped.


def drop_homes(own: Home) -> bool:
    """Drop all homes by time of a tenant, which nobody finds any more; those that were put aside
    too. Archives stay. Tell whether there were any.

    :raises HomeBusy: another process works on one of them.
    """
    return sum(_dropped(homes) for homes in _homes(own)) > 0


def _dropped(homes: PeriodHomes) -> bool:
    found = _located(homes)
    for located in found:
        period = homes.sorted_out([located])
        with held(homes, next(iter(period))) if period else nullcontext():
            for each in period:
                handler().forget(homes.alias(each))
            homes.store.drop(located)
    homes.forget()
    return bool(found)


# Moving ----------------------------------------------------------------------------------------


def homes_beside(own: Home, other: Home | None = None) -> list[PeriodHomes]:
    """Return the homes by time that are beside a tenant's own; with another home for that, those
    which would be beside that too, and so go along.
    """
    there = None if other is None else conf().placement(other.placement.template)
    return [
        homes
        for homes in _homes(own)
        if homes.beside is not None
        and (there is None or is_beside(conf().placement(homes.placement), there))
    ]


def is_free_beside(own: Home, others: Iterable[Home]) -> bool:
    """Tell whether nothing has the name of a home by time that could be beside a tenant's own, nor
    could have it beside one of its other homes.
    """
    homes = homes_beside(own)
    names = {(each.template.key, each.owner) for each in homes}
    taken = {(each.template.key, each.owner) for other in others for each in homes_beside(other)}
    return not names & taken and not any(map(_located, homes))


def drop_built(source: Home, target: Home) -> None:
    """Drop what was made beside the target of a move, which nobody has come to."""
    for homes in homes_beside(target, source):
        for located in _located(homes):
            homes.store.drop(located)
        homes.forget()


def drop_retired(source: Home, number: int) -> None:
    """Drop what a move has left beside a tenant's former home, and `HomeEnd.retire()` has closed
    by that number.
    """
    for homes in homes_beside(source):
        store = homes.store
        for located in _located(homes):
            retired = store.retired_name(located, number)
            with transaction.atomic(using=store.connection.alias):
                if store.exists(retired):  # So this is what stands in its place.
                    store.drop(retired)
                    store.drop(located)
        homes.forget()


def refuse_move(own: Home, target: PlacementTemplate) -> None:
    """Raise `NotSupported` where homes by time could not go along with a tenant's own, or would
    have to, and cannot. Those that are beside it before and after go along; those that are in
    databases of their own, or in another than the tenant, stay where they are.
    """
    for placement in placements(of_tenants=True):
        template_of(placement, target)
    for homes in _homes(own):
        stays_beside = is_beside(conf().placement(homes.placement), target)
        if homes.beside is not None and stays_beside:
            _refuse_unseen(homes)
        elif (homes.beside is not None) is not stays_beside:
            _refuse_parting(homes, target)


def _refuse_unseen(homes: PeriodHomes) -> None:
    """A move takes along what is complete and has a period's name, and later drops all."""
    located = _located(homes)  # Before the look: what is made in between is none of them.
    homes.forget()
    complete = {homes.site(period).name for period in homes.look()}
    unseen = set(located) - complete
    if unseen:
        raise _nobody_looks_into(homes, unseen, "moved", "they would be dropped with the old home")


def _refuse_parting(homes: PeriodHomes, target: PlacementTemplate) -> None:
    located = _located(homes)
    if not located:
        return
    reason, cure = "without the foreign keys between them", ""
    if homes.beside is not None:
        reason = "to which they refer"
        cure = (
            f" take DATABASE out of DOMICILE['PLACEMENTS'][{homes.placement!r}], so that they are"
            " beside the tenant's own wherever that is, and come along; or"
        )
    raise NotSupported(
        f"{homes.slug!r} has homes by time in placement {homes.placement!r} ({homes.store.noun}"
        f" {min(located)!r}, {len(located)} in all), which are in DATABASE"
        f" {homes.template.database!r}, as that placement says. A move to {target.key!r} would"
        f" {'part them from' if homes.beside else 'put them beside'} the tenant's own home,"
        f" {reason}. To move it,{cure} take their rows elsewhere and drop them. Nothing was done."
    )


def refuse_put_aside(own: Home, done: str) -> None:
    """Raise `NotSupported` where homes by time of a tenant were put aside, or are of other periods
    than its rules': nobody looks into them, and their rows would be left out.

    :param done: what cannot be done to it, for the message.
    """
    for homes in _homes(own):
        aside = {located for located in _located(homes) if not homes.sorted_out([located])}
        if aside:
            raise _nobody_looks_into(homes, aside, done, "their rows would be missing")


def _nobody_looks_into(homes: PeriodHomes, aside: set[str], done: str, what: str) -> NotSupported:
    return NotSupported(
        f"{homes.slug!r} has homes by time that nobody looks into ({homes.store.noun}"
        f" {min(aside)!r}, {len(aside)} in all), so it cannot be {done}: {what}. Bring them back"
        " with `partitions attach`, or take them elsewhere and drop them; nothing was done."
    )


def _homes(own: Home) -> Iterator[PeriodHomes]:
    """Yield the homes in each placement; none where the tenant can have none."""
    here = conf().placement(own.placement.template)
    for placement in placements(of_tenants=True):
        if can_house(conf().placement(placement), here):
            yield homes_of(placement, own=own)


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
