"""Aggregates of several homes as one, where that can be told from theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Avg, Count, Max, Min, Sum
from django.db.models.query import ValuesIterable

from domicile.exceptions import NotSupported
from domicile.periods.merging import keys_of, name_of, shaped

Values = Iterable[dict[str, Any]]


@dataclass(frozen=True)
class Merge:
    """What each home is asked for, and what the answers come to."""

    asked: dict[str, Any]
    result: Callable[[list[dict[str, Any]]], Any]


def aggregated(querysets: list[Any], aggregates: dict[str, Any]) -> dict[str, Any]:
    """Return aggregates over all homes.

    :raises NotSupported: one of them cannot be told from those of the homes.
    """
    merges = {name: merge_of(name, aggregate) for name, aggregate in aggregates.items()}
    asked = {name: each for merge in merges.values() for name, each in merge.asked.items()}
    answers = [queryset.aggregate(**asked) for queryset in querysets]
    return {name: merge.result(answers) for name, merge in merges.items()}


def merge_of(name: str, aggregate: Any) -> Merge:
    kind = type(aggregate)
    is_distinct = getattr(aggregate, "distinct", False) and kind not in (Min, Max)
    if is_distinct or kind not in (*_RESULTS, Avg):
        raise NotSupported(
            f"{name!r} cannot be told from the {kind.__name__} of each period's home"
            f"{' without its duplicates' if is_distinct else ''}: only Count, Sum, Avg, Min and Max"
            " can. Ask for what it is made of, or name a range within one period."
        )
    plain, default = copy(aggregate), getattr(aggregate, "default", None)
    plain.default = None
    if kind is Avg:
        return _average(name, plain, default)
    result = _RESULTS[kind]
    return Merge({name: plain}, lambda answers: _or(result(_given(answers, name)), default))


def _average(name: str, average: Any, default: Any) -> Merge:
    sources: list[Any] = average.get_source_expressions()
    condition = average.filter
    expressions = [each for each in sources if each is not condition and each is not None]
    condition = getattr(condition, "condition", condition)
    total, count = f"{name}_domicile_sum", f"{name}_domicile_count"

    def result(answers: list[dict[str, Any]]) -> Any:
        number = sum(_given(answers, count))
        return _or(_total(_given(answers, total)) / number if number else None, default)

    asked = {
        total: Sum(*expressions, filter=condition),
        count: Count(expressions[0], filter=condition),
    }
    return Merge(asked, result)


def _given(answers: Values, name: str) -> list[Any]:
    return [answer[name] for answer in answers if answer[name] is not None]


def _total(values: list[Any]) -> Any:
    # Not from 0: durations are added up too.
    return sum(values[1:], values[0]) if values else None


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


_RESULTS: dict[Any, Callable[[list[Any]], Any]] = {
    Count: sum,
    Sum: _total,
    Min: lambda values: min(values, default=None),
    Max: lambda values: max(values, default=None),
}


def is_grouped(queryset: Any) -> bool:
    """Tell whether rows of several homes may belong to one group."""
    return queryset.query.group_by is not None and queryset._fields is not None


def groups_of(queryset: Any, parts: list[Any]) -> list[Any]:
    """Return the groups of all homes, in order, as the queryset has them.

    :raises NotSupported: an aggregate cannot be told from those of the homes, or the order is by
        something that is not in the rows.
    """
    query = queryset.query
    keys = keys_of(query, connections[parts[0].db].vendor) if query.order_by else []
    names = [name_of(key.expression) for key in keys]
    rows = _merged(query, [_as_dicts(part) for part in parts])
    if rows and not set(names) <= rows[0].keys():
        raise NotSupported(
            "Groups of several periods' homes can be in order only by what is in their rows."
        )
    rows.sort(
        key=lambda row: tuple(key.of(row[name]) for key, name in zip(keys, names, strict=True))  # type: ignore[index]
    )
    return [shaped(queryset, row) for row in rows[query.low_mark : query.high_mark]]


def _as_dicts(part: Any) -> Any:
    part = part.all()
    part.query.clear_limits()
    part.query.clear_ordering(force=True)
    part._iterable_class = ValuesIterable
    return part


def _merged(query: Any, parts: list[Any]) -> list[dict[str, Any]]:
    if query.where.contains_aggregate:
        raise NotSupported(
            "A filter by an aggregate cannot be applied to groups of several periods' homes. Filter"
            " what comes back, or name a range within one period."
        )
    merges = {
        name: merge_of(name, annotation)
        for name, annotation in query.annotation_select.items()
        if annotation.contains_aggregate
    }
    if any(set(merge.asked) != {name} for name, merge in merges.items()):
        raise NotSupported(
            "Avg cannot be told from the groups of each period's home: ask for Sum and Count."
        )
    plain = query.annotation_select.keys() - merges.keys() | set(query.values_select)
    if len(query.group_by) > len(plain):
        raise NotSupported(
            "Groups of several periods' homes can be put together only where what they are grouped"
            " by is in their rows: name it in values()."
        )
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for part in parts:
        for row in part:
            key = tuple(value for name, value in row.items() if name not in merges)
            groups.setdefault(key, []).append(row)
    return [
        {**rows[0], **{name: merge.result(rows) for name, merge in merges.items()}}
        for rows in groups.values()
    ]
