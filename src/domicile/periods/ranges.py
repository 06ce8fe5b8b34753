"""Which periods the conditions of a query can touch.

The answer may be more than the query needs, and is never less: what is not understood counts as all
of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import MAXYEAR, MINYEAR, date, datetime, time, timedelta, tzinfo
from functools import reduce
from operator import and_, or_
from typing import Any

from django.conf import settings
from django.db.models.expressions import Col
from django.db.models.functions import ExtractYear, TruncDate
from django.db.models.sql.where import NothingNode, WhereNode
from django.utils import timezone

from domicile.periods.calendar import ALWAYS, NEVER, Calendar, Spans

#: What `NOT` makes of a comparison.
_OPPOSITES = {"gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt"}


def spans_of(query: Any, field: Any, calendar: Calendar) -> Spans:
    """Return the periods in which rows of a query can be, by what it asks of `field`."""
    if query.combinator:
        return ALWAYS
    return _Reader(query, field, calendar).node(query.where)


class _Reader:
    def __init__(self, query: Any, field: Any, calendar: Calendar) -> None:
        self.field, self.calendar = field, calendar
        self.table = query.base_table

    def node(self, node: Any) -> Spans:
        if isinstance(node, NothingNode):
            return NEVER
        if isinstance(node, WhereNode):
            return self.group(node)
        return self.lookup(node, getattr(node, "lookup_name", ""))

    def group(self, group: WhereNode) -> Spans:
        if group.negated:
            return self.negated(group)
        spans = [self.node(child) for child in group.children]
        if group.connector == "AND":
            return reduce(and_, spans, ALWAYS)
        return reduce(or_, spans, NEVER) if spans else ALWAYS

    def negated(self, group: WhereNode) -> Spans:
        if len(group.children) != 1:
            return ALWAYS
        (child,) = group.children
        opposite = _OPPOSITES.get(getattr(child, "lookup_name", ""))
        return ALWAYS if opposite is None else self.lookup(child, opposite)

    def lookup(self, lookup: Any, name: str) -> Spans:
        stretch_of = self.stretches(getattr(lookup, "lhs", None))
        if stretch_of is None:
            return ALWAYS
        values = lookup.rhs if name in ("in", "range") else [lookup.rhs]
        if hasattr(values, "resolve_expression") or any(map(_is_computed, values)):
            return ALWAYS
        try:
            if name == "isnull":
                return NEVER if lookup.rhs else ALWAYS
            return _compared(name, [stretch_of(value) for value in values if value is not None])
        except OverflowError:
            return ALWAYS

    def stretches(self, left: Any) -> Any:
        """Return what gives the stretch of time that a value to the right means."""
        if self.is_field(left):
            return self.moment
        if isinstance(left, TruncDate) and self.is_field(left.lhs):
            return lambda day: self.days(day, day, left.tzinfo)
        if isinstance(left, ExtractYear) and self.is_field(left.lhs):
            return lambda year: self.year(int(year), left.tzinfo)
        return None

    def is_field(self, expression: Any) -> bool:
        return (
            isinstance(expression, Col)
            and expression.alias == self.table
            and expression.target == self.field
        )

    # A stretch is the number of its first period, that of the one before its first moment, and that
    # of its last.

    def moment(self, moment: date) -> tuple[int, int | None, int]:
        number = self.calendar.period_of(moment).number
        before = self.calendar.before(moment)
        return number, None if before is None else before.number, number

    def year(self, year: int, zone: tzinfo | None) -> tuple[int, int | None, int]:
        if not MINYEAR < year < MAXYEAR:
            raise OverflowError
        return self.days(date(year, 1, 1), date(year, 12, 31), zone)

    def days(self, first: date, last: date, zone: tzinfo | None) -> tuple[int, int | None, int]:
        number, before, _ = self.moment(self._midnight(first, zone))
        end = self.moment(self._midnight(last + timedelta(days=1), zone))
        assert end[1] is not None
        return number, before, end[1]

    def _midnight(self, day: date, zone: tzinfo | None) -> date:
        """Return the first moment of a day, as Django compares it."""
        if self.field.get_internal_type() != "DateTimeField":
            return day
        if not settings.USE_TZ:
            return datetime.combine(day, time.min)
        return datetime.combine(day, time.min, zone or timezone.get_current_timezone())


def _is_computed(value: Any) -> bool:
    return hasattr(value, "resolve_expression") or hasattr(value, "as_sql")


def _compared(name: str, stretches: list[tuple[int, int | None, int]]) -> Spans:
    if name == "in":
        return Spans.of(*((first, last) for first, _, last in stretches))
    if name == "range" and len(stretches) == 2:
        return Spans.of((stretches[0][0], stretches[1][2]))
    if len(stretches) != 1:
        return ALWAYS
    first, before, last = stretches[0]
    return _SPANS[name](first, before, last) if name in _SPANS else ALWAYS


_SPANS = {
    "exact": lambda first, before, last: Spans.of((first, last)),
    "gt": lambda first, before, last: Spans.of((first, None)),
    "gte": lambda first, before, last: Spans.of((first, None)),
    "lt": lambda first, before, last: Spans.of((None, before)) if before else NEVER,
    "lte": lambda first, before, last: Spans.of((None, last)),
}


def touches(spans: Spans, numbers: Iterable[int]) -> bool:
    """Tell whether all of the periods of spans that have ends are among `numbers`."""
    known = frozenset(numbers)
    return len(spans) <= len(known) and all(number in known for number in spans.numbers())
