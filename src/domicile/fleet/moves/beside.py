"""The homes by time that go along when their tenant moves: beside its own, before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from domicile.backends.homes import applied_at
from domicile.backends.transfer import HomeEnd
from domicile.exceptions import TenantBusy
from domicile.fleet.migrations import Progress, Step
from domicile.fleet.moves.history import History
from domicile.fleet.moves.transfer import transfer
from domicile.fleet.site import handler
from domicile.periods.calendar import Period
from domicile.periods.homes import PeriodHomes, homes_of
from domicile.periods.making import COMPLETE, create
from domicile.periods.tenants import homes_beside


@dataclass(frozen=True)
class _Built:
    """A home that is at the target, with tables."""

    homes: PeriodHomes
    period: Period
    target: HomeEnd
    history: History

    def drop(self) -> None:
        site = self.homes.site(self.period)
        site.store.drop(site.name)


class Beside:
    """Those of one tenant, between the ends of its own home."""

    def __init__(self, source: HomeEnd, target: HomeEnd, progress: Progress) -> None:
        self.source = source
        self.target = target
        self.progress = progress
        self._built: dict[str, _Built] = {}

    def ends(self) -> list[HomeEnd]:
        """Return those that are there now, as ends beside the source."""
        return [self.source.other(homes.home(period)) for homes, period in self._found()]

    def _found(self) -> Iterator[tuple[PeriodHomes, Period]]:
        for homes in homes_beside(self.source.home, self.target.home):
            for period in sorted(homes.look()):
                yield homes, period

    def build(self) -> None:
        """Make them at the target, with tables, as far as they are not there yet."""
        for homes, period in self._found():
            alias = homes.alias(period)
            if alias not in self._built:
                self._built[alias] = self._build(homes, period)

    def _build(self, homes: PeriodHomes, period: Period) -> _Built:
        own = self.target.home
        source = self.source.other(homes.home(period))
        there = homes_of(homes.placement, own=own)
        target, site = self.target.other(there.home(period)), there.site(period)
        history = History(applied_at(source.connection) - {COMPLETE})
        create(there, period, site)
        if not target.build_like(source):
            history.build(target.home, own)
            handler().forget(target.home.alias)
        self.progress(Step("home", f"{site.store.noun} {site.name}"))
        return _Built(there, period, target, history)

    def carry(self) -> list[str]:
        """Bring the rows of those that the source holds, also of one that was made a moment ago;
        return the tables that had to be left behind.

        :raises TenantBusy: one was migrated since it was built.
        :raises RowsDiffer: something did not arrive.
        """
        self.build()
        left_behind = []
        gone = dict(self._built)
        for source in self.ends():
            built = gone.pop(source.home.alias)
            if applied_at(source.connection) - {COMPLETE} != built.history.applied:
                raise TenantBusy(
                    f"{source.home.alias!r} was migrated meanwhile. Move its tenant again when that"
                    " is done."
                )
            left = transfer(source, built.target, built.history, self.progress)
            left_behind += [f"{name} of {source.home.alias}" for name in left]
        for built in gone.values():  # Somebody has dropped them.
            built.drop()
        return left_behind
