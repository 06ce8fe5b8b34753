"""Rows of one model, read and written in batches through a session that has no alias."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, JSONField, Q, QuerySet
from django.db.models.sql import InsertQuery

from domicile.fleet.moves.values import JSON_NULL, Tally, decoder, encoder, line_of

#: Rows, or about so many bytes of them, that are in memory at once.
BATCH = 500
_BATCH_BYTES = 4 << 20


class ModelRows:
    """The rows of a model's own table, keys and all; `connection` need not be of any alias."""

    def __init__(self, model: Any, connection: Any) -> None:
        self.model = model
        self.connection = connection
        meta = model._meta
        self.fields = [field for field in meta.local_concrete_fields if not field.generated]
        self.table: str = meta.db_table

    @cached_property
    def _names(self) -> list[str]:
        return [field.attname for field in self.fields]

    @cached_property
    def _json(self) -> list[int]:
        """The positions of JSON fields, whose `null` Django does not tell from NULL."""
        return [n for n, field in enumerate(self.fields) if isinstance(field, JSONField)]

    def read(self) -> Iterator[list[Any]]:
        """Yield each row's encoded values, in the order of the keys, a page in memory at a time."""
        last, size = None, 1
        while page := self._page(last, size):
            last = page[-1][1]
            encoded = [self._encoded(row) for row, _ in page]
            yield from encoded
            if len(page) < size:
                return
            size = _next_size(size, encoded)

    def _page(self, last: Any, size: int) -> list[tuple[tuple[Any, ...], Any]]:
        rows: Any = QuerySet(self.model).order_by("pk")
        if last is not None:
            rows = rows.filter(pk__gt=last)
        nulls = {
            f"domicile_{n}": ExpressionWrapper(
                Q(**{f"{self.fields[n].name}__isnull": True}), BooleanField()
            )
            for n in self._json
        }
        names = [*self._names, *nulls]
        query = rows.annotate(**nulls).values_list(*names, "pk")[:size].query
        found = query.get_compiler(connection=self.connection).results_iter(chunked_fetch=False)
        return [_split(tuple(row), len(names)) for row in found]

    def _encoded(self, row: tuple[Any, ...]) -> list[Any]:
        values = list(row[: len(self.fields)])
        for n, is_null in zip(self._json, row[len(self.fields) :], strict=True):
            if values[n] is None and not is_null:
                values[n] = JSON_NULL
        return [encode(value) for encode, value in zip(self._encoders, values, strict=True)]

    @cached_property
    def _encoders(self) -> list[Any]:
        return [encoder(field) for field in self.fields]

    def write(self, rows: Iterable[list[Any]]) -> Tally:
        """Insert rows as `read()` gives them; return what they were."""
        tally, batch, size = Tally(), [], 0
        for row in rows:
            size += tally.add(line_of(row))
            batch.append(self._decoded(row))
            if len(batch) == BATCH or size > _BATCH_BYTES:
                self._insert(batch)
                batch, size = [], 0
        self._insert(batch)
        return tally

    def _insert(self, batch: list[Any]) -> None:
        limit = max(1, self.connection.ops.bulk_batch_size(self.fields, batch))
        for start in range(0, len(batch), limit):
            query = InsertQuery(self.model)
            query.insert_values(self.fields, batch[start : start + limit], raw=True)
            query.get_compiler(connection=self.connection).execute_sql()

    def _decoded(self, row: list[Any]) -> SimpleNamespace:
        """Return an object that has the values: an instance of the model could alter them."""
        values = (decode(value) for decode, value in zip(self._decoders, row, strict=True))
        return SimpleNamespace(**dict(zip(self._names, values, strict=True)))

    @cached_property
    def _decoders(self) -> list[Any]:
        return [decoder(field) for field in self.fields]

    def tally(self) -> Tally:
        """Return what there is now."""
        tally = Tally()
        for row in self.read():
            tally.add(line_of(row))
        return tally


def _split(row: tuple[Any, ...], width: int) -> tuple[tuple[Any, ...], Any]:
    """Part a row from its key."""
    return row[:width], row[width]


def _next_size(size: int, rows: list[list[Any]]) -> int:
    """Return how many rows to read next: more and more, unless they are so wide that they would
    fill the memory.
    """
    widest = max(len(str(row)) for row in rows[-20:])
    return max(1, min(BATCH, 8 * size, _BATCH_BYTES // widest))
