"""How the rows of a model are found that are in a home for each period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache
from typing import Any

from django.db import models

from domicile.conf import conf
from domicile.exceptions import PeriodRequired, TooManyPeriods
from domicile.periods.calendar import Calendar, Period
from domicile.periods.homes import PeriodHomes, homes_of
from domicile.periods.places import PREFIX, home_of_tenant, is_beside, is_period_alias
from domicile.periods.ranges import spans_of
from domicile.placement import AT_PERIOD, TENANT_PREFIX, is_tenant_alias
from domicile.residence import Residence, residence_of
from domicile.rules.base import Lodging
from domicile.rules.periods import Periods


@dataclass(frozen=True)
class PeriodLodging(Lodging):
    """`alias` stands for all of the homes: of schemas it is their database's; of databases, which
    no join leaves, it is their placement's own. Where the homes are beside a tenant's own, it is
    the tenant's.
    """

    rule: Periods
    model: Any = None
    #: The alias of the tenant whose rows are meant; None: they are no tenant's, or not told yet.
    tenant: str | None = None

    @classmethod
    def of(cls, rule: Periods, model: Any) -> PeriodLodging:
        template = conf().placement(rule.placement)
        beside = template.database if template.layout == "schema" else None
        return cls(rule, beside or f"{PREFIX}{rule.placement}", model=model)

    def of_tenant(self, alias: str) -> PeriodLodging:
        """Return how the rows of one tenant, by its alias, are found."""
        template = conf().placement(self.rule.placement)
        own = conf().placement(home_of_tenant(alias).placement.template)
        return _bound(self, alias, is_beside(template, own))

    @property
    def is_by_time(self) -> bool:
        return True

    @property
    def is_of_tenants(self) -> bool:
        """Whether these are rows of a tenant app: its placement is one for those."""
        return conf().placement(self.rule.placement).is_of_tenants

    @property
    def place(self) -> str | None:
        """Those of tenants join the tenant's own tables where all are schemas of one database."""
        return None if self.is_of_tenants and _are_beside(self.rule) else self.alias

    @cached_property
    def field(self) -> models.Field[Any, Any]:
        found: models.Field[Any, Any] = self.model._meta.get_field(self.rule.field)
        return found

    @property
    def homes(self) -> PeriodHomes:
        slug = "" if self.tenant is None else self.tenant.removeprefix(TENANT_PREFIX)
        return homes_of(self.rule.placement, slug)

    def for_read(self, hints: Mapping[str, Any]) -> str:
        return self._by_instance(hints.get("instance"), "read")

    def for_write(self, hints: Mapping[str, Any]) -> str:
        instance = hints.get("instance")
        if isinstance(instance, self.model) and not is_period_alias(instance._state.db):
            return self.homes.alias(self.period_of(instance))
        return self._by_instance(instance, "written")

    def is_at(self, alias: str) -> bool:
        """Also of a tenant's, whichever is meant."""
        if not self.is_of_tenants:
            return alias.startswith(f"{PREFIX}{self.rule.placement}:")
        owner, _, home = alias.partition(AT_PERIOD)
        is_mine = self.tenant is None or owner == self.tenant
        return is_mine and home.startswith(f"{self.rule.placement}:") and is_tenant_alias(owner)

    def _by_instance(self, instance: Any, verb: str) -> str:
        """A row has a home. One that it is related to tells nothing of time, but Django asks for
        some alias when it makes a related manager, whose queryset will know the range.
        """
        alias: str | None = None if instance is None else instance._state.db
        if alias is not None and is_period_alias(alias) and self.is_at(alias):
            return alias
        if instance is not None:
            return self.tenant or self.alias
        if self.tenant is not None and verb == "written":
            return self.tenant  # Where Django opens transactions; there is no such table.
        raise PeriodRequired(
            f"Rows of {self.model._meta.label} are in a home for each {self.rule.every}, and none"
            f" is named by which they could be {verb}: use its PeriodManager and a range of"
            f" {self.rule.field!r}, or .using({self._example!r})."
        )

    @property
    def _example(self) -> str:
        now = Calendar(self.rule.every, self.rule.time_zone).now()
        if not self.is_of_tenants:
            return f"{PREFIX}{self.rule.placement}:{now}"
        return f"{self.tenant or f'{TENANT_PREFIX}…'}{AT_PERIOD}{self.rule.placement}:{now}"

    def period_of(self, instance: Any) -> Period:
        """Return the period that a row belongs to, by its field; `PeriodRequired` where that tells
        none.
        """
        return self.period_at(getattr(instance, self.field.attname))

    def period_at(self, value: Any) -> Period:
        moment = None if hasattr(value, "resolve_expression") else self.field.get_prep_value(value)
        if not isinstance(moment, date):
            raise PeriodRequired(
                f"{self.model._meta.label} is in a home for each {self.rule.every}, by"
                f" {self.rule.field!r}, which is {value!r} here. Set it to a value before the row"
                " is saved."
            )
        return self.homes.calendar.period_of(moment)

    def aliases(self, query: Any) -> list[str]:
        """Return the homes in which rows of a query can be, in the order of time.

        :raises PeriodRequired: it names no range, and may not go to all.
        :raises TooManyPeriods: these are more than may be.
        """
        spans = spans_of(query, self.field, self.homes.calendar)
        if spans.names_none and self.rule.unbounded == "refuse":
            raise PeriodRequired(
                f"A query of {self.model._meta.label} names no range of {self.rule.field!r}, and"
                " its rule refuses to ask every"
                f" {self.rule.every}: filter by {self.rule.field!r}, name one by"
                f" .using({self._example!r}), or declare unbounded='fan_out'."
            )
        found = self.homes.there(spans)
        if len(found) > self.rule.max_periods:
            raise TooManyPeriods(
                f"A query of {self.model._meta.label} touches {len(found)} periods, and its rule"
                f" allows {self.rule.max_periods}: name a shorter range of {self.rule.field!r}, or"
                " declare a higher max_periods."
            )
        return [self.homes.alias(period) for period in found]


@lru_cache(maxsize=4096)
def _bound(lodging: PeriodLodging, alias: str, beside: bool) -> PeriodLodging:
    here = alias if beside else f"{PREFIX}{lodging.rule.placement}"
    return replace(lodging, tenant=alias, alias=here)


def is_housed(model: Any, rule: Periods) -> bool:
    """Tell whether a rule's placement is one for rows of this model: of each tenant for those of a
    tenant app, of nobody else for others. A check names what is not.
    """
    template = conf().placements.get(rule.placement)
    if template is None or not template.houses_periods:
        return residence_of(model) is not Residence.TENANT
    return template.is_of_tenants is (residence_of(model) is Residence.TENANT)


def _are_beside(rule: Periods) -> bool:
    """Tell whether the periods of every tenant are schemas beside the tenant's own."""
    template = conf().placement(rule.placement)
    own = [each for each in conf().placements.values() if not each.houses_periods]
    return all(is_beside(template, each) for each in own)
