"""The migrations of all periods' homes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import monotonic

from domicile.context import no_tenant
from domicile.fleet.replay.migrator import HomeMigrator
from domicile.fleet.replay.plan import NEWEST, Plan
from domicile.fleet.runs.databases import Migrated
from domicile.periods.homes import PREFIX, PeriodHomes, all_homes
from domicile.periods.retention import held


@no_tenant()
def migrate_periods(*, fake: bool = False) -> Iterator[Migrated]:
    """Migrate the homes of each placement; ends after the first that fails."""
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


@no_tenant()
def pending_periods() -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield, for the homes of one placement that are alike, `period:<placement>`, how many these
    are, and the migrations that they have before them.
    """
    for homes in all_homes():
        for migrations, count in _pending(homes).items():
            yield f"{PREFIX}{homes.placement}", count, migrations


def _pending(homes: PeriodHomes) -> Counter[tuple[str, ...]]:
    plan = Plan.to(NEWEST)
    found = homes.store.applied([homes.site(period).name for period in homes.there()])
    return Counter(tuple(map(str, plan.pending(applied))) for applied in found.values())
