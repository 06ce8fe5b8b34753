"""Rows by time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal

from domicile.rules.base import Rule

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.db.models import Model

    from domicile.periods.calendar import Every
    from domicile.periods.lodging import PeriodLodging


@dataclass(frozen=True)
class Periods(Rule):
    """The rows of a model are in a home for each period, by a field of the row; those of a tenant
    app in homes of each tenant's own.
    """

    reaches_tenants = True

    #: "app.Model".
    model: str
    _: KW_ONLY
    #: The date, or the moment, that tells where a row is.
    field: str
    #: The key in `PLACEMENTS` of a template with `{period}` in its name; for a tenant app with
    #: `{slug}` too.
    placement: str
    every: Every = "month"
    #: Where the clocks are by which periods begin.
    time_zone: str = "UTC"
    #: What a query that names no range of the field does.
    unbounded: Literal["refuse", "fan_out"] = "refuse"
    #: What a write does whose period has no home yet.
    missing: Literal["make", "refuse"] = "make"
    #: What saving a row does whose field has come into another period.
    changed: Literal["refuse", "move"] = "refuse"
    #: How many periods after the current one are made ahead of time, and may be written to.
    ahead: int = 2
    #: How many periods are kept, the current one among them; None: all.
    keep: int | None = None
    #: What becomes of those that are not.
    retire: Literal["drop", "detach", "archive"] = "drop"
    #: The folder of the archives.
    archive: str = ""
    #: How many homes one query may be sent to.
    max_periods: int = 500

    def databases(self) -> Collection[str]:
        from domicile.conf import conf

        template = conf().placements.get(self.placement)
        return () if template is None or template.database is None else (template.database,)

    def lodging(self, model: type[Model]) -> PeriodLodging | None:
        from domicile.periods.lodging import PeriodLodging, is_housed

        if model._meta.label_lower != self.model.lower() or not is_housed(model, self):
            return None
        return PeriodLodging.of(self, model)

    def check(self) -> Iterator[CheckMessage]:
        from domicile.periods.checks import check_rule

        return check_rule(self)
