"""Querysets of models whose rows are in a home for each period.

A queryset is sent to the homes that the range of its field touches. Where that is one, Django does
all the rest; where these are several, what they answer is put together (`domicile.periods.merging`,
`domicile.periods.aggregates`), or refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.db import models, transaction
from django.db.models import QuerySet, prefetch_related_objects
from django.db.models.manager import BaseManager

from domicile.exceptions import NotSupported, PeriodChanged, PeriodRequired
from domicile.periods.aggregates import aggregated, groups_of, is_grouped
from domicile.periods.calendar import Spans
from domicile.periods.lodging import PeriodLodging
from domicile.periods.merging import rows_of
from domicile.periods.places import is_period_alias
from domicile.periods.saving import checked_at, period_lodging, prepare
from domicile.periods.sessions import by_session
from domicile.placement import is_tenant_alias, owner_of
from domicile.router import EXPLICIT_HINT, ORIGIN_HINT, refuse_copy, tenant_of_rows


class PeriodQuerySet(QuerySet[Any]):
    #: It is one home's part of another queryset, or was given an alias of its own.
    _is_placed = False

    # Django's own, which its stubs do not tell of.
    _db: str | None
    _hints: dict[str, Any]
    _for_write: bool
    _query: Any
    _prefetch_related_lookups: tuple[Any, ...]
    _known_related_objects: dict[Any, Any]

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._is_placed = self._is_placed
        return clone

    # Where it goes -------------------------------------------------------------------------------

    @property
    def _lodging(self) -> PeriodLodging | None:
        """How its rows are found; None where it goes to one alias, as any queryset."""
        if self._is_placed or is_period_alias(self._db):
            return None
        lodging = period_lodging(self.model)
        if lodging is not None and lodging.is_of_tenants:
            return lodging.of_tenant(self._tenant)
        if lodging is None or self._db not in (None, lodging.alias):
            return None
        return lodging

    @property
    def _tenant(self) -> str:
        """The alias of the tenant whose rows are meant, as of any queryset of a tenant model."""
        if is_tenant_alias(self._db):
            return owner_of(str(self._db))
        checked = checked_at.get()
        if checked is not None and is_tenant_alias(checked):
            return owner_of(checked)
        hints = {**self._hints, ORIGIN_HINT: self._query._domicile_origin}
        if self._db is not None:
            hints[EXPLICIT_HINT] = True
        return tenant_of_rows(self.model, hints.get("instance"), hints, write=self._for_write)

    def _at(self, alias: str) -> Self:
        part = self.using(alias)
        part._is_placed = True
        part._known_related_objects = self._known_related_objects
        return part

    def _parts(self) -> list[Self] | None:
        """Return a queryset for each home, in the order of time; None where it is like any other.

        There is always one: where there is no home, one without rows.
        """
        lodging = self._lodging
        if lodging is None:
            return None
        instance = self._hints.get("instance")
        home = checked_at.get() or (
            instance._state.db if isinstance(instance, lodging.model) else None
        )
        if is_period_alias(home) and lodging.is_at(str(home)):
            spans = [lodging.homes.parse(str(home))]
            there = lodging.homes.there(Spans.of((spans[0].number, spans[0].number)))
            aliases = [str(home)] if there else []
        else:
            aliases = lodging.aliases(self.query)
        return [self._at(alias) for alias in aliases] or [self._at(lodging.alias).none()]

    def aliases(self) -> list[str]:
        """Return the homes that it is read from now, in the order of time.

        :raises PeriodRequired: it names no range, and may not go to all.
        """
        parts = self._parts()
        if parts is None:
            return [self.db]
        return [str(part._db) for part in parts if is_period_alias(part._db)]

    @property
    def db(self) -> str:
        lodging = self._lodging
        if lodging is None:
            return super().db
        if self._for_write:
            raise PeriodRequired(
                f"This write of {self.model._meta.label} names no home: name one by .using(), or"
                " write by the methods that take whole rows."
            )
        return lodging.alias

    def _alone(self, what: str) -> Self | None:
        """Return the part for the only home; None where it is like any other queryset."""
        parts = self._parts()
        if parts is not None and len(parts) > 1:
            raise NotSupported(
                f"{what} needs the rows of {self.model._meta.label} in one home, and these are in"
                f" {len(parts)}. Name a range within one period, or read them first and hand over"
                " their values."
            )
        return None if parts is None else parts[0]

    # Reading -------------------------------------------------------------------------------------

    def _rows(self, parts: list[Self], **chunks: Any) -> Iterable[Any]:
        def read(part: Any) -> Iterable[Any]:
            rows: Iterable[Any] = part._iterable_class(part, **chunks)
            return rows

        lodging = period_lodging(self.model)
        assert lodging is not None  # Whichever tenant's.
        if len(parts) == 1:
            return read(parts[0])
        self._not_support_combined_queries("Reading several periods")  # type: ignore[attr-defined]
        if is_grouped(self):
            return groups_of(self, parts)
        return rows_of(self, parts, lodging.field, read)

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            parts = self._parts()
            if parts is not None:
                self._result_cache = list(self._rows(parts))
        super()._fetch_all()

    def _iterator(self, use_chunked_fetch: bool, chunk_size: int | None) -> Iterator[Any]:
        parts = self._parts()
        if parts is None:
            yield from super()._iterator(use_chunked_fetch, chunk_size)  # type: ignore[misc]
            return
        size = chunk_size or 2000
        rows = iter(self._rows(parts, chunked_fetch=use_chunked_fetch, chunk_size=size))
        if not self._prefetch_related_lookups or chunk_size is None:
            yield from rows
            return
        while chunk := list(islice(rows, chunk_size)):
            prefetch_related_objects(chunk, *self._prefetch_related_lookups)
            yield from chunk

    async def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[Any]:
        rows = self.iterator(chunk_size)
        while chunk := await sync_to_async(lambda: list(islice(rows, chunk_size)))():
            for row in chunk:
                yield row

    def count(self) -> int:
        parts = None if self._result_cache is not None else self._parts()
        if parts is None:
            return super().count()
        if len(parts) == 1:
            return parts[0].count()
        if self.query.distinct or is_grouped(self):
            return len(list(self._rows(parts)))
        total = sum(_whole(part).count() for part in parts)
        low, high = self.query.low_mark, self.query.high_mark
        return max(0, (total if high is None else min(total, high)) - low)

    def exists(self) -> bool:
        parts = None if self._result_cache is not None else self._parts()
        if parts is None:
            return super().exists()
        if len(parts) == 1 or not self.query.is_sliced:
            return any(part.exists() for part in parts)
        return self.count() > 0

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        parts = self._parts()
        if parts is None:
            return super().aggregate(*args, **kwargs)
        if len(parts) == 1:
            return parts[0].aggregate(*args, **kwargs)
        if self.query.is_sliced or self.query.distinct or is_grouped(self):
            self._alone("An aggregate over a slice, over distinct rows or over groups")
        kwargs.update({arg.default_alias: arg for arg in args})
        return aggregated(list(parts), kwargs)

    def explain(self, *, format: str | None = None, **options: Any) -> str:  # noqa: A002
        parts = self._parts()
        if parts is None:
            return super().explain(format=format, **options)
        plans = [part.explain(format=format, **options) for part in parts]
        return "\n".join(f"{part.db}\n{plan}" for part, plan in zip(parts, plans, strict=True))

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        part = self._alone("A queryset that is a part of another")
        whole: Any = super() if part is None else part
        return whole.resolve_expression(*args, **kwargs)

    def _combinator_query(self, combinator: str, *others: Any, **kwargs: Any) -> Any:
        placed = [
            (isinstance(each, PeriodQuerySet) and each._alone(f"{combinator}()")) or each
            for each in (self, *others)
        ]
        if placed[0] is self:
            return super()._combinator_query(combinator, *placed[1:], **kwargs)  # type: ignore[misc]
        return placed[0]._combinator_query(combinator, *placed[1:], **kwargs)

    # Writing -------------------------------------------------------------------------------------

    def create(self, **kwargs: Any) -> Any:
        lodging = self._lodging
        if lodging is None:
            return super().create(**kwargs)
        row = self.model(**kwargs)
        row.save(force_insert=True, using=lodging.tenant)
        return row

    def get_or_create(self, defaults: Any = None, **kwargs: Any) -> tuple[Any, bool]:
        home = self._home_named(kwargs)
        whole: Any = super() if home is None else home
        made: tuple[Any, bool] = whole.get_or_create(defaults, **kwargs)
        return made

    def update_or_create(
        self, defaults: Any = None, create_defaults: Any = None, **kwargs: Any
    ) -> tuple[Any, bool]:
        home = self._home_named(kwargs)
        whole: Any = super() if home is None else home
        made: tuple[Any, bool] = whole.update_or_create(defaults, create_defaults, **kwargs)
        return made

    def _home_named(self, kwargs: dict[str, Any]) -> Self | None:
        lodging = self._lodging
        if lodging is None:
            return None
        field = lodging.field
        value = kwargs.get(field.name, kwargs.get(field.attname))
        return self._at(lodging.homes.for_writing(lodging.period_at(value)))

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Insert rows, each into the home of its period; of each database all or none."""
        lodging = self._lodging
        if lodging is None:
            return super().bulk_create(objs, *args, **kwargs)
        rows = list(objs)
        homes: dict[str, list[Any]] = {}
        for row in rows:
            self._refuse_stranger(row, lodging)
            homes.setdefault(lodging.homes.alias(lodging.period_of(row)), []).append(row)
        for alias in sorted(homes):
            lodging.homes.for_writing(lodging.homes.parse(alias))
        _at_each(homes, lambda alias: self._at(alias).bulk_create(homes[alias], *args, **kwargs))
        return rows

    def bulk_update(self, objs: Iterable[Any], fields: Any, batch_size: Any = None) -> int:
        lodging = self._lodging
        if lodging is None:
            return super().bulk_update(objs, fields, batch_size)
        names = {lodging.field.name, lodging.field.attname}
        homes: dict[str, list[Any]] = {}
        for row in objs:
            self._refuse_stranger(row, lodging)
            alias = lodging.for_write({"instance": row})
            if names & set(fields) and alias != lodging.homes.alias(lodging.period_of(row)):
                raise self._refusal(lodging)
            homes.setdefault(alias, []).append(row)
        counts = _at_each(
            homes, lambda alias: self._at(alias).bulk_update(homes[alias], fields, batch_size)
        )
        return sum(counts)

    def update(self, **kwargs: Any) -> int:
        parts, lodging = self._parts(), self._lodging
        if parts is None or lodging is None:
            return super().update(**kwargs)
        for name in {lodging.field.name, lodging.field.attname} & kwargs.keys():
            there = lodging.homes.alias(lodging.period_at(kwargs[name]))
            if any(part._db != there for part in parts):
                raise self._refusal(lodging)
        return sum(_in_all(parts, lambda part: part.update(**kwargs)))

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        parts = self._parts()
        if parts is None:
            return super().delete()
        total: dict[str, int] = {}
        for _, counts in _in_all(parts, lambda part: part.delete()):
            for label, count in counts.items():
                total[label] = total.get(label, 0) + count
        self._result_cache = None
        return sum(total.values()), total

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _refuse_stranger(self, row: Any, lodging: PeriodLodging) -> None:
        """Before any home is made for it."""
        if lodging.tenant is not None:
            refuse_copy(row, lodging.tenant)

    def _refusal(self, lodging: PeriodLodging) -> PeriodChanged:
        return PeriodChanged(
            f"{lodging.rule.field!r} of {self.model._meta.label} tells which home a row is in, so"
            " it cannot be changed to another period's by update() or bulk_update(): save each row."
        )


def _whole(part: Any) -> Any:
    part = part.all()
    part.query.clear_limits()
    return part


def _in_all(parts: list[Any], work: Callable[[Any], Any]) -> list[Any]:
    places = {part._db: part for part in parts if is_period_alias(part._db)}
    return _at_each(places, lambda alias: work(places[alias]))


def _at_each(aliases: Iterable[str], work: Callable[[str], Any]) -> list[Any]:
    """Do something in each home: in one transaction those that are in one database. Those that are
    a database each are done one after the other, so that any number can be.
    """
    done = []
    for group in by_session(sorted(aliases)):
        with transaction.atomic(using=group[0]):
            done += [work(alias) for alias in group]
    return done


class PeriodManager(BaseManager.from_queryset(PeriodQuerySet)):  # type: ignore[misc]
    """`objects = PeriodManager()`: the manager of a model that a rule `Periods` has."""

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        super().contribute_to_class(cls, name)
        prepare(cls)
