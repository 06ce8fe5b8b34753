"""What is changed in Django's models, all of it, and why.

Django asks its routers when nobody names an alias. Four things never reach them, and each can take
a row from the wrong tenant, or put it there, without a word; no public hook sees them. Each patch
calls Django's own code, and `tests/test_patches.py` fails when that code changes its signature.

1. A queryset made in one tenant and evaluated in another. `Query.__init__` leaves a note, which
   every clone keeps, of the tenant active then; routers are given it as a hint.
2. An explicit "default", which many apps and commands pass on (`db_manager("default")`,
   `save(using="default")`). Inside a tenant that name means the tenant's connection, so it is
   resolved, once, to the alias that stays the same wherever it is used later: in `QuerySet.db`,
   `BaseManager.db`, `Model.save_base` and `Model.delete`.
3. Instances of one tenant written in another by an explicit alias or in bulk: `Model.save_base`,
   `Model.delete`, `QuerySet.bulk_create`, `QuerySet.bulk_update`, `QuerySet.update`.
4. A queryset of one tenant that becomes a part of another's (`pk__in=`, `Exists`, `union`): a part
   is compiled for the database of the whole. Where one becomes a part it is given a note of where
   its rows are (`QuerySet.resolve_expression`, `QuerySet._combinator_query`, `Subquery.__init__`),
   and `Query.as_sql` and `SQLCompiler.get_combinator_sql`, which parts alone go through, compare.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import Model, QuerySet, Subquery
from django.db.models.manager import BaseManager
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

from domicile.context import innermost
from domicile.exceptions import CrossTenantError
from domicile.placement import SHARED_ALIAS, SHARED_ALIASES
from domicile.residence import Residence, residence_of, residence_of_app
from domicile.router import ORIGIN_HINT, Router, refuse_copy, refuse_value

#: Where the note is kept, on each `Query`.
_ORIGIN = "_domicile_origin"


def install() -> None:
    """Apply all of them, once."""
    if hasattr(Query, _ORIGIN):
        return
    setattr(Query, _ORIGIN, None)
    _replace(Query, "__init__", _remembering_origin)
    _replace(QuerySet, "bulk_create", _refusing_strangers)
    _replace(QuerySet, "bulk_update", _refusing_strangers)
    _replace(QuerySet, "update", _refusing_strange_values)
    _replace(QuerySet, "resolve_expression", _noting_rows_of_part)
    _replace(QuerySet, "_combinator_query", _noting_rows_of_parts)
    _replace(Subquery, "__init__", _noting_rows_of_subquery)
    _replace(Query, "as_sql", _comparing_note)
    _replace(SQLCompiler, "get_combinator_sql", _comparing_notes)
    QuerySet.db = property(_queryset_db, doc=QuerySet.db.__doc__)  # type: ignore[assignment,method-assign]
    BaseManager.db = property(_manager_db, doc=BaseManager.db.__doc__)  # type: ignore[assignment,method-assign]
    _replace(Model, "save_base", _saving_at_home)
    _replace(Model, "delete", _deleting_at_home)


def _replace(owner: type, name: str, patch: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    # `wraps` also copies the attributes by which Django marks methods that alter data.
    setattr(owner, name, functools.wraps(original)(patch(original)))


def _remembering_origin(original: Any) -> Any:
    def __init__(self: Any, model: Any, alias_cols: bool = True) -> None:
        original(self, model, alias_cols)
        frame = innermost.get()
        if frame is not None and frame.home is not None:
            self._domicile_origin = frame.home.alias

    return __init__


def _queryset_db(queryset: Any) -> str:
    """Return the alias that is used if the queryset is evaluated now."""
    alias: str | None = queryset._db
    if alias is not None and alias not in SHARED_ALIASES:
        return alias
    origin = queryset._query._domicile_origin
    if (
        alias is None
        and not queryset._hints
        and (frame := innermost.get()) is not None
        and frame.home is not None
        and frame.home.alias == origin
        and type(router.routers[0]) is Router  # None of the project's own is heard before it.
        and residence_of_app(queryset.model._meta.app_label) is not Residence.SHARED
    ):
        return origin  # What most queries come to, without a call for each step.
    choose = router.db_for_write if queryset._for_write else router.db_for_read
    hints = queryset._hints if origin is None else {**queryset._hints, ORIGIN_HINT: origin}
    return _resolved(alias, queryset.model, choose, hints)


def _manager_db(manager: Any) -> str:
    alias: str | None = manager._db
    if alias is not None and alias not in SHARED_ALIASES:
        return alias
    return _resolved(alias, manager.model, router.db_for_read, manager._hints)


def _resolved(alias: str | None, model: Any, choose: Any, hints: dict[str, Any]) -> str:
    """Return what an alias that depends on the context means for a model, here and now."""
    if alias == SHARED_ALIAS and residence_of(model) is not Residence.TENANT:
        return alias
    return choose(model, **hints)


def _saving_at_home(original: Any) -> Any:
    def save_base(
        self: Any,
        raw: bool = False,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Any = None,
    ) -> None:
        using = _using_for(self, using)
        original(self, raw, force_insert, force_update, using, update_fields)

    return save_base


def _deleting_at_home(original: Any) -> Any:
    def delete(self: Any, using: str | None = None, keep_parents: bool = False) -> Any:
        return original(self, _using_for(self, using), keep_parents)

    return delete


def _using_for(instance: Any, using: str | None) -> str:
    """Return the alias to write an instance to; refuse one that is not its home."""
    if using is None or using == DEFAULT_DB_ALIAS:
        return router.db_for_write(type(instance), instance=instance)
    refuse_copy(instance, using)
    return using


def _refusing_strangers(original: Any) -> Any:
    def bulk(self: Any, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        objs = list(objs)
        if any(obj._state.db is not None for obj in objs):
            self._for_write = True
            for obj in objs:
                refuse_copy(obj, self.db)
        return original(self, objs, *args, **kwargs)

    return bulk


def _refusing_strange_values(original: Any) -> Any:
    def update(self: Any, **kwargs: Any) -> int:
        instances = [value for value in kwargs.values() if isinstance(value, Model)]
        if instances:
            self._for_write = True
            for instance in instances:
                refuse_value(instance, self.db)
        return original(self, **kwargs)

    return update


def _noting_rows_of_part(original: Any) -> Any:
    def resolve_expression(self: Any, *args: Any, **kwargs: Any) -> Any:
        query = original(self, *args, **kwargs)
        _note_rows(query, self)
        return query

    return resolve_expression


def _noting_rows_of_parts(original: Any) -> Any:
    def _combinator_query(self: Any, combinator: str, *other_qs: Any, all: bool = False) -> Any:  # noqa: A002
        for queryset in other_qs:
            _note_rows(queryset.query, queryset)
        return original(self, combinator, *other_qs, all=all)

    return _combinator_query


def _noting_rows_of_subquery(original: Any) -> Any:
    def __init__(self: Any, queryset: Any, *args: Any, **kwargs: Any) -> None:
        original(self, queryset, *args, **kwargs)
        if isinstance(queryset, QuerySet):
            _note_rows(self.query, queryset)

    return __init__


def _note_rows(query: Any, queryset: Any) -> None:
    # One that was made nowhere goes wherever the whole is read, as in Django.
    if queryset._db is not None or queryset._hints or query._domicile_origin is not None:
        query._domicile_rows = (queryset._db, queryset._hints)


def _comparing_note(original: Any) -> Any:
    def as_sql(self: Any, compiler: Any, connection: Any) -> Any:
        if hasattr(self, "_domicile_rows"):
            _refuse_part(self, connection.alias)
        return original(self, compiler, connection)

    return as_sql


def _comparing_notes(original: Any) -> Any:
    def get_combinator_sql(self: Any, combinator: str, all: bool) -> Any:  # noqa: A002
        for part in self.query.combined_queries:
            if hasattr(part, "_domicile_rows"):
                _refuse_part(part, self.connection.alias)
        return original(self, combinator, all)

    return get_combinator_sql


def _refuse_part(query: Any, whole: str) -> None:
    """Raise `CrossTenantError` where the rows of `query` are not at the alias of the whole."""
    alias, hints = query._domicile_rows
    rows = alias
    if alias is None or alias in SHARED_ALIASES:
        hints = {**hints, ORIGIN_HINT: query._domicile_origin}
        rows = _resolved(alias, query.model, router.db_for_read, hints)
    if rows == whole or (rows in SHARED_ALIASES and whole in SHARED_ALIASES):
        return
    if residence_of(query.model) is not Residence.SHARED:
        raise CrossTenantError(
            f"A queryset of {query.model._meta.label} whose rows are at {rows!r} was made a part of"
            f" one that is read from {whole!r}. Read it first, and hand over its values."
        )
