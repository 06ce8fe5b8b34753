"""The migrations of all periods' homes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import monotonic

from domicile.context import no_tenant
from domicile.fleet.replay.migrator import HomeMigrator
from domicile.fleet.replay.plan import NEWEST, Plan
from domicile.fleet.runs.databases import Migrated
from domicile.fleet.site import handler
from domicile.periods.homes import all_homes
from domicile.periods.places import PREFIX, placements
from domicile.periods.retention import held
from domicile.periods.survey import Seen, look_at, look_at_tenants
from domicile.placement import AT_PERIOD, EACH_TENANT


@no_tenant()
def migrate_periods(*, fake: bool = False) -> Iterator[Migrated]:
    """Migrate the homes of each placement that is no tenants'; ends after the first that fails."""
    for homes in all_homes():
        started, done, names, fault = monotonic(), 0, dict[str, None](), None
        migrator = HomeMigrator(NEWEST, fake=fake)
        try:
            for period in homes.there():
                with held(homes, period):
                    outcome = migrator.migrate(homes.home(period))
                names.update(dict.fromkeys(outcome.migrations))
                done += 1
        except Exception as error:
            fault = error
        alias, seconds = f"{PREFIX}{homes.placement}", monotonic() - started
        yield Migrated(alias, tuple(names), seconds, fault, done)
        if fault is not None:
            return


def migrate_periods_of(
    slugs: Iterable[str], migrator: HomeMigrator
) -> dict[str, Callable[[], tuple[str, ...]]]:
    """Return, for each tenant that has homes by time, what migrates them: called once the tenant's
    own is migrated, to which they may refer, it returns the migrations that were applied.
    """
    found: dict[str, list[Seen]] = {}
    slugs = list(slugs)
    for placement in placements(of_tenants=True) if slugs else ():
        for seen in look_at_tenants(placement, slugs):
            if seen.there:
                found.setdefault(seen.homes.slug, []).append(seen)
    return {slug: partial(_migrate_seen, each, migrator) for slug, each in found.items()}


def _migrate_seen(found: Iterable[Seen], migrator: HomeMigrator) -> tuple[str, ...]:
    names = dict[str, None]()
    for seen in found:
        for period in sorted(seen.there):
            if not migrator.plan.course(seen.applied[period]).has_work:
                continue
            home = seen.homes.home(period)
            with held(seen.homes, period):
                names.update(dict.fromkeys(migrator.migrate(home).migrations))
            handler().forget(home.alias)
    return tuple(names)


@no_tenant()
def pending_periods() -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield, for the homes of one placement that are alike, `period:<placement>` (those of tenants
    `tenant:*/<placement>`), how many these are, and the migrations that they have before them.
    """
    plan = Plan.to(NEWEST)
    counts = Counter[tuple[str, tuple[str, ...]]]()
    for seen in look_at():
        place = f"{EACH_TENANT}{AT_PERIOD}" if seen.homes.slug else PREFIX
        for period in seen.there:
            names = tuple(map(str, plan.pending(seen.applied[period])))
            counts[f"{place}{seen.homes.placement}", names] += 1
    for (place, names), count in counts.items():
        yield place, count, names
