"""How the rows of a model are found that are in a home for each period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from django.db import models

from domicile.conf import conf
from domicile.exceptions import PeriodRequired, TooManyPeriods
from domicile.periods.calendar import Period
from domicile.periods.homes import PREFIX, PeriodHomes, homes_of, is_period_alias
from domicile.periods.ranges import spans_of
from domicile.rules.base import Lodging
from domicile.rules.periods import Periods


@dataclass(frozen=True)
class PeriodLodging(Lodging):
    """`alias` stands for all of the homes: of schemas it is their database's; of databases, which
    no join leaves, it is their placement's own.
    """

    rule: Periods
    model: Any = None

    @classmethod
    def of(cls, rule: Periods, model: Any) -> PeriodLodging:
        template = conf().placement(rule.placement)
        beside = template.database if template.layout == "schema" else None
        return cls(rule, beside or f"{PREFIX}{rule.placement}", model=model)

    @cached_property
    def field(self) -> models.Field[Any, Any]:
        found: models.Field[Any, Any] = self.model._meta.get_field(self.rule.field)
        return found

    @property
    def homes(self) -> PeriodHomes:
        return homes_of(self.rule.placement)

    def for_read(self, hints: Mapping[str, Any]) -> str:
        return self._by_instance(hints.get("instance"), "read")

    def for_write(self, hints: Mapping[str, Any]) -> str:
        instance = hints.get("instance")
        if isinstance(instance, self.model) and not is_period_alias(instance._state.db):
            return self.homes.alias(self.period_of(instance))
        return self._by_instance(instance, "written")

    def is_at(self, alias: str) -> bool:
        return alias.startswith(f"{PREFIX}{self.rule.placement}:")

    def _by_instance(self, instance: Any, verb: str) -> str:
        """A row has a home. One that it is related to tells nothing of time, but Django asks for
        some alias when it makes a related manager, whose queryset will know the range.
        """
        if isinstance(instance, self.model) and is_period_alias(instance._state.db):
            alias: str = instance._state.db
            return alias
        if instance is not None:
            return self.alias
        raise PeriodRequired(
            f"Rows of {self.model._meta.label} are in a home for each {self.rule.every}, and none"
            f" is named by which they could be {verb}: use its PeriodManager and a range of"
            f" {self.rule.field!r}, or .using({self._example!r})."
        )

    @property
    def _example(self) -> str:
        return self.homes.alias(self.homes.now())

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
