"""The migrations of all periods' homes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

from domicile.context import no_tenant
from domicile.fleet.replay.migrator import HomeMigrator, Outcome
from domicile.fleet.replay.plan import NEWEST, Plan
from domicile.fleet.runs.databases import Migrated
from domicile.fleet.site import handler
from domicile.periods.homes import all_homes
from domicile.periods.places import PREFIX
from domicile.periods.retention import held
from domicile.periods.survey import Seen, look_outside_tenants
from domicile.placement import Home


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


def migrate_by_time(found: Iterable[Seen], migrator: HomeMigrator) -> list[Outcome]:
    """Migrate the homes by time of a tenant, whose own, to which they may refer, is migrated;
    return what was done in those that had something before them.
    """
    outcomes = []
    for seen in found:
        for period in sorted(seen.there):
            home = seen.homes.home(period)
            if migrator.plan.course(seen.applied[period]).has_work or migrator.notes.read(home):
                with held(seen.homes, period), _named(home):
                    outcomes.append(migrator.migrate(home))
                handler().forget(home.alias)
    return outcomes


@contextmanager
def _named(home: Home) -> Iterator[None]:
    """Tell of an error in which home it was: its caller thinks of the tenant's own."""
    try:
        yield
    except Exception as error:
        error.add_note(f"In {home.alias!r}.")
        raise


@no_tenant()
def pending_periods() -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield, for the homes of one placement that are alike and no tenants', `period:<placement>`,
    how many these are, and the migrations that they have before them.
    """
    plan = Plan.to(NEWEST)
    counts = Counter[tuple[str, tuple[str, ...]]]()
    for seen in look_outside_tenants():
        for period in seen.there:
            names = tuple(map(str, plan.pending(seen.applied[period])))
            counts[seen.place, names] += 1
    for (place, names), count in counts.items():
        yield place, count, names
