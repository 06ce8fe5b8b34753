"""Where a queryset is read, and that a part of it is read there too."""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.models import QuerySet

from domicile.context import innermost
from domicile.exceptions import CrossDatabaseError, CrossTenantError
from domicile.placement import SHARED_ALIAS, SHARED_ALIASES, is_tenant_alias, owner_of
from domicile.relations import crosses, database_of_tenant, reaches, refuse_join
from domicile.residence import Residence, residence_of
from domicile.router import EXPLICIT_HINT, ORIGIN_HINT, Router
from domicile.routing import database_of, reading_primary, route_of, routes, rules


def remembering_origin(original: Any) -> Any:
    def __init__(self: Any, model: Any, alias_cols: bool = True) -> None:
        original(self, model, alias_cols)
        frame = innermost.get()
        if frame is not None and frame.home is not None:
            self._domicile_origin = frame.home.alias

    return __init__


def queryset_db(queryset: Any) -> str:
    """Return the alias that is used if the queryset is evaluated now."""
    alias: str | None = queryset._db
    if alias is not None and alias not in SHARED_ALIASES:
        return alias
    origin = queryset._query._domicile_origin
    # What most queries come to, where none of the project's own routers is heard before ours.
    if alias is None and not queryset._hints and type(router.routers[0]) is Router:
        route = routes.get(queryset.model) or route_of(queryset.model)
        frame = innermost.get()
        home = None if frame is None else frame.home
        straight = route.straight(home, origin, queryset._for_write)
        if straight is not None:
            return straight
    choose = router.db_for_write if queryset._for_write else router.db_for_read
    hints = queryset._hints if origin is None else {**queryset._hints, ORIGIN_HINT: origin}
    return _resolved(alias, queryset.model, choose, hints)


def manager_db(manager: Any) -> str:
    alias: str | None = manager._db
    if alias is not None and alias not in SHARED_ALIASES:
        return alias
    return _resolved(alias, manager.model, router.db_for_read, manager._hints)


def _resolved(alias: str | None, model: Any, choose: Any, hints: dict[str, Any]) -> str:
    """Return what an alias that depends on the context means for a model, here and now."""
    if alias is None:
        return choose(model, **hints)
    if alias == SHARED_ALIAS and residence_of(model) is not Residence.TENANT:
        return alias
    return choose(model, **{**hints, EXPLICIT_HINT: True})


def noting_rows_of_part(original: Any) -> Any:
    def resolve_expression(self: Any, *args: Any, **kwargs: Any) -> Any:
        query = original(self, *args, **kwargs)
        _note_rows(query, self)
        return query

    return resolve_expression


def noting_rows_of_parts(original: Any) -> Any:
    def _combinator_query(self: Any, combinator: str, *other_qs: Any, all: bool = False) -> Any:  # noqa: A002
        for queryset in other_qs:
            _note_rows(queryset.query, queryset)
        return original(self, combinator, *other_qs, all=all)

    return _combinator_query


def noting_rows_of_subquery(original: Any) -> Any:
    def __init__(self: Any, queryset: Any, *args: Any, **kwargs: Any) -> None:
        original(self, queryset, *args, **kwargs)
        if isinstance(queryset, QuerySet):
            _note_rows(self.query, queryset)

    return __init__


def _note_rows(query: Any, queryset: Any) -> None:
    # One that was made nowhere goes wherever the whole is read, as in Django.
    if queryset._db is not None or queryset._hints or query._domicile_origin is not None:
        query._domicile_rows = (queryset._db, queryset._hints)
        query._db = None  # By which Django would refuse another alias of the same database.


def comparing_note(original: Any) -> Any:
    def as_sql(self: Any, compiler: Any, connection: Any) -> Any:
        if rules() or hasattr(self, "_domicile_rows"):
            _refuse_part(self, compiler.query.model, connection.alias)
        return original(self, compiler, connection)

    return as_sql


def comparing_notes(original: Any) -> Any:
    def get_combinator_sql(self: Any, combinator: str, all: bool) -> Any:  # noqa: A002
        for part in self.query.combined_queries:
            if rules() or hasattr(part, "_domicile_rows"):
                _refuse_part(part, self.query.model, self.connection.alias)
        return original(self, combinator, all)

    return get_combinator_sql


def _refuse_part(part: Any, whole: Any, here: str) -> None:
    """Raise an error where the rows of a part are elsewhere than those of the whole.

    :param whole: the model of the whole, which is read at the alias `here`.
    """
    alias, hints = getattr(part, "_domicile_rows", (None, None))
    together = alias is None and not crosses(part.model, whole)
    if hints is None and together:
        return
    rows = _rows_of(part, alias, hints or {})
    if database_of(rows) == database_of(here):
        return
    if is_tenant_alias(rows) or is_tenant_alias(here):
        if reaches(here, rows):
            return
        if owner_of(rows) == owner_of(here):
            raise CrossDatabaseError(_refusal(part, rows, here))
        if residence_of(part.model) is not Residence.SHARED:
            raise CrossTenantError(_refusal(part, rows, here))
        if rows in SHARED_ALIASES or rows == database_of_tenant(here):
            return
    if not together:
        raise CrossDatabaseError(_refusal(part, rows, here))


def _rows_of(part: Any, alias: str | None, hints: dict[str, Any]) -> str:
    if alias is not None and alias not in SHARED_ALIASES:
        return alias
    with reading_primary():
        hints = {**hints, ORIGIN_HINT: part._domicile_origin}
        return _resolved(alias, part.model, router.db_for_read, hints)


def _refusal(part: Any, rows: str, here: str) -> str:
    return (
        f"A queryset of {part.model._meta.label} whose rows are at {rows!r} was made a part of one"
        f" that is read from {here!r}. Read it first, and hand over its values."
    )


def refusing_join(original: Any) -> Any:
    def as_sql(self: Any, compiler: Any, connection: Any) -> Any:
        refuse_join(self.join_field.model, self.join_field.related_model, connection)
        return original(self, compiler, connection)

    return as_sql


def refusing_exclusion(original: Any) -> Any:
    def split_exclude(self: Any, filter_expr: Any, can_reuse: Any, names_with_path: Any) -> Any:
        if rules():
            for path in (path for _, paths in names_with_path for path in paths if path.m2m):
                refuse_join(path.from_opts.model, path.to_opts.model)
        return original(self, filter_expr, can_reuse, names_with_path)

    return split_exclude
