"""The rows of one queryset from several homes, as one: in its order, without duplicates, sliced."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import connections, models
from django.db.models import F, OrderBy
from django.db.models.functions import Collate
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    NamedValuesListIterable,
    ValuesIterable,
    ValuesListIterable,
)
from django.db.models.utils import create_namedtuple_class

from domicile.exceptions import NotSupported

_KEY = "domicile_key_"
#: The collation by which each engine orders text as Python does: by code points.
_COLLATIONS = {"postgresql": "C", "mysql": "utf8mb4_bin", "sqlite": "BINARY"}
_UNORDERED = (models.JSONField, models.BinaryField)
#: Rows of one home: made from its queryset.
Read = Callable[[Any], Iterable[Any]]


@functools.total_ordering
class Descending:
    """A value that sorts before smaller ones."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self.value == other.value)

    def __lt__(self, other: Descending) -> bool:
        return bool(other.value < self.value)

    def __hash__(self) -> int:
        return hash(self.value)


@dataclass(frozen=True)
class Key:
    """One of the things by which rows are ordered."""

    expression: Any
    descending: bool = False
    nulls_first: bool = False

    def of(self, value: Any) -> tuple[int, Any]:
        if value is None:
            return (0 if self.nulls_first else 2), 0
        return 1, Descending(value) if self.descending else value

    def order_by(self, name: str) -> OrderBy:
        nulls = {"nulls_first": True} if self.nulls_first else {"nulls_last": True}
        return OrderBy(F(name), descending=self.descending, **nulls)


def ordering_of(query: Any) -> tuple[Any, ...]:
    """Return what a query is ordered by, as it was written; the model's own ordering too."""
    if query.extra_order_by:
        raise _unsupported("extra(order_by=…)")
    if query.order_by or not query.default_ordering:
        return tuple(query.order_by)
    return tuple(query.get_meta().ordering or ())


def keys_of(query: Any, vendor: str) -> list[Key]:
    """Return the keys by which a query is ordered, with null values where the engine has them."""
    flipped = not query.standard_ordering
    return [_key(item, vendor, query, flipped=flipped) for item in ordering_of(query)]


def _key(item: Any, vendor: str, query: Any, *, flipped: bool) -> Key:
    if item == "?":
        raise _unsupported("order_by('?')")
    if isinstance(item, str):
        item = OrderBy(F(item.lstrip("-")), descending=item.startswith("-"))
    elif not isinstance(item, OrderBy):
        item = OrderBy(item)
    descending = item.descending != flipped
    # PostgreSQL holds null for the greatest value, others for the least.
    nulls_first = descending if vendor == "postgresql" else not descending
    if item.nulls_first or item.nulls_last:
        nulls_first = bool(item.nulls_first) != flipped
    expression = item.expression
    name = name_of(expression)
    if name is not None and _orders_by_other(query, name):
        raise _unsupported(f"order_by({name!r}), by the order of another model")
    return Key(expression, descending, nulls_first)


def name_of(expression: Any) -> str | None:
    """Return the name of a plain field or annotation; None of anything else."""
    return expression.name if isinstance(expression, F) else None  # type: ignore[attr-defined]


def _orders_by_other(query: Any, name: str) -> bool:
    """A relation stands for the order of its model, unless its key is named."""
    fields = {field.name: field for field in query.get_meta().fields if field.is_relation}
    return name in fields and bool(fields[name].related_model._meta.ordering)


def is_by_time(keys: list[Key], field: Any) -> bool:
    """Tell whether rows of an earlier home come before those of a later one, or the reverse."""
    if not keys:
        return True
    return name_of(keys[0].expression) in (field.name, field.attname)


def rows_of(queryset: Any, parts: list[Any], field: Any, read: Read | None = None) -> Iterator[Any]:
    """Yield the rows of a queryset that has a part for each home, in the order of time.

    Homes that come after the last row of a slice are not asked.

    :raises NotSupported: the order is one that only a database can make.
    """
    query = queryset.query
    if query.distinct_fields:
        raise _unsupported("distinct(fields)")
    if query.select_for_update and query.is_sliced:
        raise _unsupported("select_for_update() with a slice")
    read = read or _read
    keys = keys_of(query, connections[parts[0].db].vendor)
    parts = [_unlimited(part) for part in parts]
    if is_by_time(keys, field):
        in_order = parts[::-1] if keys and keys[0].descending else parts
        if not query.distinct:
            return _in_turn(in_order, query.low_mark, query.high_mark, read)
        rows = (row for part in in_order for row in read(part[: query.high_mark]))
        return islice(_once(rows), query.low_mark, query.high_mark)
    merged = _merged(queryset, parts, keys, read)
    return islice(_once(merged) if query.distinct else merged, query.low_mark, query.high_mark)


def _read(part: Any) -> Iterable[Any]:
    rows: Iterable[Any] = part._iterable_class(part)
    return rows


def _unlimited(part: Any) -> Any:
    part = part._chain()
    part.query.clear_limits()
    return part


def _in_turn(parts: list[Any], low: int, high: int | None, read: Read) -> Iterator[Any]:
    """Yield the rows from `low` to `high`: homes before them are counted, not read."""
    for part in parts:
        if high is not None and high <= low:
            return
        if low:
            count = part.count()
            if count <= low:
                low, high = low - count, None if high is None else high - count
                continue
        found = 0
        for row in read(part[low:high]):
            found += 1
            yield row
        high = None if high is None else high - low - found
        low = 0


def _merged(queryset: Any, parts: list[Any], keys: list[Key], read: Read) -> Iterator[Any]:
    """Yield the rows by keys, which each home is asked for beside its rows."""
    asked = [_with_keys(part, keys, queryset.query.high_mark) for part in parts]
    split = _splitter(queryset, len(keys))
    streams = [map(split, read(part)) for part in asked]
    merged = heapq.merge(
        *streams,
        key=lambda row: tuple(key.of(value) for key, value in zip(keys, row[0], strict=True)),
    )
    return (row for _, row in merged)


def _with_keys(part: Any, keys: list[Key], high: int | None) -> Any:
    names = [f"{_KEY}{number}" for number in range(len(keys))]
    expressions = dict(zip(names, (key.expression for key in keys), strict=True))
    query = part.annotate(**expressions).query
    for name in names:
        field = query.annotations[name].output_field
        if isinstance(field, _UNORDERED):
            raise _unsupported(f"an order by {type(field).__name__}")
        if isinstance(field, (models.CharField, models.TextField)):
            collation = _COLLATIONS.get(connections[part.db].vendor)
            if collation is not None:
                expressions[name] = Collate(expressions[name], collation)
    order = [key.order_by(name) for key, name in zip(keys, names, strict=True)]
    asked = part.annotate(**expressions).order_by(*order)
    asked.query.standard_ordering = True
    if issubclass(part._iterable_class, (ValuesListIterable, FlatValuesListIterable)):
        asked._iterable_class = ValuesListIterable
    return asked[:high]


def _splitter(queryset: Any, count: int) -> Callable[[Any], tuple[list[Any], Any]]:
    """Return what parts a row from its keys."""
    names = [f"{_KEY}{number}" for number in range(count)]
    kind = queryset._iterable_class
    if issubclass(kind, ModelIterable):

        def split(row: Any) -> tuple[list[Any], Any]:
            return [row.__dict__.pop(name) for name in names], row

    elif issubclass(kind, ValuesIterable):

        def split(row: Any) -> tuple[list[Any], Any]:
            return [row.pop(name) for name in names], row

    elif issubclass(kind, (ValuesListIterable, FlatValuesListIterable)):
        shape = _shape(queryset, kind)

        def split(row: Any) -> tuple[list[Any], Any]:
            return list(row[-count:]), shape(row[:-count])

    else:
        raise _unsupported(f"{kind.__name__} with an order other than by time")
    return split


def _shape(queryset: Any, kind: Any) -> Callable[[Any], Any]:
    if issubclass(kind, FlatValuesListIterable):
        return lambda row: row[0]
    if not issubclass(kind, NamedValuesListIterable):
        return tuple
    query = queryset.query
    names = queryset._fields or (
        *query.extra_select,
        *query.values_select,
        *query.annotation_select,
    )
    return create_namedtuple_class(*names)._make


def shaped(queryset: Any, row: dict[str, Any]) -> Any:
    """Return a row as the queryset has rows: a dict, a tuple, a named tuple or a single value."""
    kind = queryset._iterable_class
    return row if issubclass(kind, ValuesIterable) else _shape(queryset, kind)([*row.values()])


def _once(rows: Iterable[Any]) -> Iterator[Any]:
    seen = set()
    for row in rows:
        value = tuple(row.items()) if isinstance(row, dict) else row
        if value not in seen:
            seen.add(value)
            yield row


def _unsupported(what: str) -> NotSupported:
    return NotSupported(
        f"{what} cannot be put together from several periods' homes. Name a range within one, or"
        " .using() one of them."
    )
