"""The homes of periods: which there are, their aliases, and how a missing one is made.

A home is complete when its `django_migrations` has a row that says so, written last. So what is
there is read from the databases themselves, and what a killed process left is known for that.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed
from django.db import connections

from domicile.backends.homes import HomeStore
from domicile.conf import conf
from domicile.context import Activation
from domicile.exceptions import InvalidName, NotSupported, PeriodMissing, TenantRequired
from domicile.fleet.migrations import Progress, silent
from domicile.fleet.site import Site, handler
from domicile.periods.calendar import ALWAYS, Calendar, Period, Spans
from domicile.periods.making import COMPLETE, make, migrate, migrator
from domicile.periods.places import (
    PREFIX,
    calendar_of,
    home_of_tenant,
    is_beside,
    is_period_alias,
    period_rules,
    placements,
    template_of,
    templates_of,
)
from domicile.periods.ranges import touches
from domicile.placement import (
    AT_PERIOD,
    SHARED_ALIAS,
    Home,
    Placement,
    tenant_alias,
)
from domicile.rules.periods import Periods


class PeriodHomes:
    """The homes of one placement, or of one tenant there: a process knows those that it has seen
    complete.

    :param own: the tenant's own home. Those that are beside it are called after it, and so are
        others once the tenant has moved; all others are called after the tenant.
    :raises NotSupported: a tenant that lives there cannot have such homes.
    """

    def __init__(self, placement: str, calendar: Calendar, own: Home | None = None) -> None:
        self.placement, self.calendar, self.own = placement, calendar, own
        self.template = conf().placement(placement)
        self.slug = self.owner = ""
        #: The placement of the tenant's own home, where these are beside it.
        self.beside: Placement | None = None
        if own is not None:
            template = conf().placement(own.placement.template)
            self.beside = own.placement if is_beside(self.template, template) else None
            self.slug = own.slug
            self.owner = self.slug if self.beside is None else self.beside.name
            self.template = template_of(placement, template).within(self.owner)
        self._known: frozenset[Period] = frozenset()
        self._next_look = 0.0

    # Names -------------------------------------------------------------------------------------

    def alias(self, period: Period) -> str:
        if self.slug:
            return f"{tenant_alias(self.slug)}{AT_PERIOD}{self.placement}:{period}"
        return f"{PREFIX}{self.placement}:{period}"

    def home(self, period: Period) -> Home:
        return Home(self.alias(period), self._address(period), beside=self.beside)

    def site(self, period: Period) -> Site:
        return Site.of(self._address(period))

    def _address(self, period: Period) -> Placement:
        return Placement(self.template.key, self._named(period.file_name))

    def _named(self, name: str) -> str:
        return f"{self.owner}{AT_PERIOD}{name}" if self.owner else name

    def detached_name(self, period: Period) -> str:
        """Return under which name a home is put aside: one that is no period's."""
        return self.template.locate(self._named(f"{period.file_name}_detached"))

    def parse(self, alias: str) -> Period:
        """Return the period of an alias; `InvalidName` where it names none."""
        return self.calendar.parse(alias.rpartition(":")[2])

    def now(self) -> Period:
        return self.calendar.now()

    @property
    def rules(self) -> list[Periods]:
        return [rule for rule in period_rules() if rule.placement == self.placement]

    @property
    def store(self) -> HomeStore:
        return handler().host(self.template).store(self.template)

    # What is there -----------------------------------------------------------------------------

    def there(self, spans: Spans = ALWAYS) -> list[Period]:
        """Return the periods that have a home, of those in `spans`, in order.

        The database is asked unless all of them are known: another process may have made one.
        """
        known = self._known
        if (
            time.monotonic() >= self._next_look
            or not spans.has_ends
            or not touches(spans, (period.number for period in known))
        ):
            known = self.look()
        return sorted(period for period in known if period in spans)

    def look(self) -> frozenset[Period]:
        """Ask the database which homes there are, and are complete."""
        store, known = self.store, self._known
        found = self.found(store)
        new = [located for period, located in found.items() if period not in known]
        applied = store.applied(new) if new else {}
        complete = {located for located, names in applied.items() if COMPLETE in names}
        there = {p for p, located in found.items() if p in known or located in complete}
        self._refuse_moved()
        return self.learn(there, store)

    def _refuse_moved(self) -> None:
        """Raise `HomeMoved` where the tenant lives elsewhere by now: there may be nothing here, and
        it has rows.
        """
        if self.own is not None and self.beside is not None:
            with Activation(self.own), connections[self.own.alias].cursor() as cursor:
                cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")

    def learn(self, there: Iterable[Period], store: HomeStore) -> frozenset[Period]:
        """Take for known what was just seen to be there, and complete."""
        known = frozenset(there)
        # What an open transaction sees may never be committed.
        if not store.connection.in_atomic_block:
            self._known = known
            self._next_look = time.monotonic() + conf().registry_max_age
        return known

    def found(self, store: HomeStore) -> dict[Period, str]:
        """Return the homes that have a period's name, complete or not."""
        return self.sorted_out(store.names())

    def sorted_out(self, names: Iterable[str]) -> dict[Period, str]:
        """Return those of some names that are a period's home."""
        found = {}
        for located in names:
            name = self.template.name_at(located) or ""
            try:
                period = self.calendar.parse(name.rpartition(AT_PERIOD)[2])
            except InvalidName:
                continue
            if self.template.locate(self._named(period.file_name)) == located:
                found[period] = located
        return found

    def forget(self) -> None:
        """Look again before the next answer."""
        self._known, self._next_look = frozenset(), 0.0

    # Making ------------------------------------------------------------------------------------

    def for_writing(self, period: Period) -> str:
        """Return the alias of a period's home, which is made if it is not there.

        :raises PeriodMissing: it is not there, and the rules have none made; or it is older than
            what they keep, and may be archived at this moment.
        :raises HomeBusy: another process makes it, and does not come to an end.
        """
        if any(self.is_over(period, rule) for rule in self.rules):
            raise self._missing(period, "it is older than what the rule keeps")
        if period not in self._known and period not in self.look():
            self._refuse_making(period)
            self.make(period)
        return self.alias(period)

    def _refuse_making(self, period: Period) -> None:
        reason = ""
        if any(rule.missing == "refuse" for rule in self.rules):
            reason = "none is made by a write"
        elif period.number > self.now().number + max(rule.ahead for rule in self.rules):
            reason = "it is further ahead than the rule allows"
        if reason:
            raise self._missing(period, f"{reason}: `partitions ensure --period {period}` makes it")

    def _missing(self, period: Period, reason: str) -> PeriodMissing:
        whose = f" of tenant {self.slug!r}" if self.slug else ""
        return PeriodMissing(
            f"There is no home for rows of {period}{whose} in placement {self.placement!r}, and"
            f" {reason}."
        )

    def is_over(self, period: Period, rule: Periods) -> bool:
        """Tell whether a rule does not keep a period any more."""
        return rule.keep is not None and period.number <= self.now().number - rule.keep

    def validate(self, period: Period) -> None:
        """Raise `InvalidName` where a home, or what it is put aside as, cannot be called so."""
        names = [self.site(period).name]
        if any(rule.retire == "detach" for rule in self.rules):
            names.append(self.detached_name(period))
        for name in names:
            self.store.validate(name)

    def make(self, period: Period, progress: Progress = silent) -> bool:
        """Make the home of a period, with all migrations; tell whether that was needed."""
        return make(self, period, progress)

    def migrate(self, period: Period) -> tuple[str, ...]:
        """Bring a home to the newest migrations; return what was applied."""
        return migrate(self, period)

    def alone(self, period: Period) -> AbstractContextManager[bool]:
        """Hold the lock of a period's home; the value tells whether it was free."""
        key = f"domicile:period:{self.placement}:{self._named(str(period))}"
        lock: AbstractContextManager[bool] = handler()[SHARED_ALIAS].named_lock(key)
        return lock

    def models(self) -> list[Any]:
        """Return the models whose rows are in these homes."""
        names = {rule.model.lower() for rule in self.rules}
        return [model for model in apps.get_models() if model._meta.label_lower in names]


_homes: dict[tuple[str, Home | None], PeriodHomes] = {}


def homes_of(placement: str, slug: str = "", own: Home | None = None) -> PeriodHomes:
    """Return the homes of a placement, in one of tenants' periods those of one tenant: of that
    slug, or whose own home is given.

    :raises ImproperlyConfigured: no rule has the placement; or one tenant's homes could be taken
        for others.
    :raises TenantRequired: a tenant has to be named. `UnknownTenant`: there is none of that slug.
    :raises NotSupported: it lives where it cannot have such homes.
    """
    calendar = calendar_of(placement)
    if not conf().placement(placement).is_of_tenants:
        own = None
    elif own is None and slug:
        own = home_of_tenant(tenant_alias(slug))
    elif own is None:
        raise TenantRequired(
            f"The homes in placement {placement!r} are tenants': activate one, or name it."
        )
    homes = _homes.get((placement, own))
    if homes is None:
        homes = PeriodHomes(placement, calendar, own)
        while len(_homes) >= conf().registry_size:
            _homes.pop(next(iter(_homes)), None)
        _homes[placement, own] = homes
    return homes


def all_homes() -> list[PeriodHomes]:
    """Return the homes of each placement that is no tenants', once."""
    return [homes_of(placement) for placement in placements(of_tenants=False)]


def find(alias: str) -> Home | Mapping[str, Any]:
    """Return the home behind an alias, whether it is there or not; behind `period:<placement>` is
    the server, which Django asks what it can do.
    """
    placement = alias.split(":")[1]
    if not is_period_alias(alias):
        for template in templates_of(conf().placement(placement)):  # They are of one engine.
            settings: Mapping[str, Any] = handler().host(template).settings_dict
            return settings
        raise NotSupported(f"No tenant can have homes in placement {placement!r}.")
    homes = homes_of(placement)
    return homes.home(homes.parse(alias))


def find_of_tenant(alias: str) -> Home:
    """Return the home behind the alias of a tenant's period, whether it is there or not."""
    own, _, rest = alias.partition(AT_PERIOD)
    placement, _, name = rest.partition(":")
    return _within(home_of_tenant(own), placement, name)


@lru_cache(maxsize=4096)
def _within(own: Home, placement: str, name: str) -> Home:
    homes = homes_of(placement, own=own)
    return homes.home(homes.calendar.parse(name))


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "DATABASES", "INSTALLED_APPS", "MIGRATION_MODULES"):
        _homes.clear()
        calendar_of.cache_clear()
        _within.cache_clear()
        migrator.cache_clear()


setting_changed.connect(_reset, dispatch_uid="domicile.periods")
