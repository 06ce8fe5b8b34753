"""Rows by the thousand: written in batches, wherever they live, with word of how far it has got."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, transaction
from django.db.models import Model

from domicile.exceptions import PeriodRequired

Row = Model | Mapping[str, Any]
#: Called after each batch with the number of rows that have been written.
Progress = Callable[[int], object]

BATCH = 1000


def bulk_create(
    model: type[Model],
    rows: Iterable[Row],
    *,
    using: str | None = None,
    batch_size: int = BATCH,
    progress: Progress | None = None,
    ignore_conflicts: bool = False,
) -> int:
    """Insert rows, and return how many were given.

    Rows are read as they are written, so a generator of millions is never in memory. Each batch is
    a transaction of its own; for all or nothing stand inside `transaction.atomic(using=…)`.

    :param rows: instances, or dicts of their fields.
    :param using: the alias of a database; None: where the model lives.
    :param progress: called after each batch with the number of rows written so far.
    :param ignore_conflicts: leave out rows that are there already.
    """

    def write(manager: Any, batch: list[Model]) -> None:
        manager.bulk_create(batch, ignore_conflicts=ignore_conflicts)

    return _in_batches(model, rows, using, batch_size, progress, write)


def bulk_upsert(
    model: type[Model],
    rows: Iterable[Row],
    *,
    using: str | None = None,
    unique_fields: Sequence[str] = ("pk",),
    update_fields: Sequence[str] | None = None,
    batch_size: int = BATCH,
    progress: Progress | None = None,
) -> int:
    """Insert rows, or update those that are there already; return how many were given.

    As `bulk_create()`. Running it again ends as running it once, so what was interrupted is simply
    run again. Of rows with the same key the last one counts; rows with an empty key are inserted.

    :param unique_fields: by which a row is found again; they need a unique constraint. MySQL and
        MariaDB find it by any that the table has.
    :param update_fields: what is updated; None: all but the key and the time of creation.
    """
    keys = [_attname(model, name) for name in unique_fields]
    names = _updatable(model, keys) if update_fields is None else update_fields

    def write(manager: Any, batch: list[Model]) -> None:
        keyed = _last_of_each(batch, keys)
        # A key that the database gives must not be one that is there, and then update that row.
        keyless = [row for row in batch if _key(row, keys) is None]
        alias = _alias(model, using)
        takes_target = connections[alias].features.supports_update_conflicts_with_target
        is_one = not keyed or not keyless  # Statement, and so a transaction, by itself.
        with nullcontext() if is_one else transaction.atomic(using=alias, savepoint=False):
            manager.bulk_create(
                keyed,
                update_conflicts=True,
                update_fields=names,
                unique_fields=unique_fields if takes_target else None,
            )
            manager.bulk_create(keyless)

    return _in_batches(model, rows, using, batch_size, progress, write)


def _in_batches(
    model: type[Model],
    rows: Iterable[Row],
    using: str | None,
    batch_size: int,
    progress: Progress | None,
    write: Callable[[Any, list[Model]], None],
) -> int:
    if batch_size < 1:
        raise ValueError(f"A batch has at least one row, not {batch_size}.")
    manager = model._default_manager if using is None else model._default_manager.using(using)
    written = 0
    for batch in _batches(rows, batch_size):
        write(manager, [_instance(model, row) for row in batch])
        written += len(batch)
        if progress is not None:
            progress(written)
    return written


def _alias(model: type[Model], using: str | None) -> str:
    """Return the alias where a model's rows are written, by its default manager; of a model with
    periods, where these stand beside each other.
    """
    if using is not None:
        return using
    queryset: Any = model._default_manager.all()
    queryset._for_write = True
    try:
        return str(queryset.db)
    except PeriodRequired:
        return str(model._default_manager.all().db)


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch


def _instance(model: type[Model], row: Row) -> Model:
    return row if isinstance(row, Model) else model(**row)


def _attname(model: type[Model], name: str) -> str:
    if name == "pk":
        return str(model._meta.pk.attname)
    field = model._meta.get_field(name)
    if not field.concrete:
        raise FieldDoesNotExist(f"{model._meta.label}.{name} has no column to find a row by.")
    return str(field.attname)


def _updatable(model: type[Model], keys: Sequence[str]) -> list[str]:
    return [
        field.name
        for field in model._meta.concrete_fields
        if not field.primary_key
        and field.attname not in keys
        and not getattr(field, "generated", False)
        and not getattr(field, "auto_now_add", False)
    ]


def _last_of_each(batch: Sequence[Model], keys: Sequence[str]) -> list[Model]:
    """Leave out rows that a later one of the same batch replaces: no statement may update a row
    twice.
    """
    kept: dict[object, Model] = {}
    for row in batch:
        key = _key(row, keys)
        kept.pop(key, None)
        kept[key] = row
    kept.pop(None, None)
    return list(kept.values())


def _key(row: Model, keys: Sequence[str]) -> tuple[Any, ...] | None:
    """Return what a row is found by; None where a part of that is empty."""
    key = tuple(getattr(row, name) for name in keys)
    return None if None in key else key


abulk_create = sync_to_async(bulk_create)
abulk_upsert = sync_to_async(bulk_upsert)
