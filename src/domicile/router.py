"""The router: which alias a model's rows are read from, written to, and migrated on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from domicile import relations
from domicile.context import active_home
from domicile.exceptions import CrossTenantError, TenantRequired
from domicile.migrating import is_migrated_in, operation_runs_at
from domicile.placement import (
    AT_PERIOD,
    AT_REPLICA,
    SHARED_ALIAS,
    SHARED_ALIASES,
    TENANT_PREFIX,
    Home,
    is_tenant_alias,
    owner_of,
)
from domicile.residence import Residence, residence_of
from domicile.routing import database_of, lodging_of, primary_of, route_of, routes

#: The hint by which a queryset remembers the alias of the tenant that it was made in.
ORIGIN_HINT = "domicile_origin"
#: The hint that somebody named the alias "default".
EXPLICIT_HINT = "domicile_explicit"


class Router:
    """Domicile's entry in `DATABASE_ROUTERS`.

    A router of the project's own that stands before it and answers for a model is heard first.
    """

    def db_for_read(
        self, model: Any, instance: Any = None, domicile_origin: str | None = None, **hints: Any
    ) -> str:
        route = routes.get(model) or route_of(model)
        if EXPLICIT_HINT in hints:
            return _route(model, instance, domicile_origin, hints, write=False)
        straight = route.straight(active_home(), None, write=False)
        if straight is not None:
            return straight
        return route.near(_route(model, instance, domicile_origin, hints, write=False))

    def db_for_write(
        self, model: Any, instance: Any = None, domicile_origin: str | None = None, **hints: Any
    ) -> str:
        if EXPLICIT_HINT not in hints:
            route = routes.get(model) or route_of(model)
            straight = route.straight(active_home(), None, write=True)
            if straight is not None:
                return straight
        return _route(model, instance, domicile_origin, hints, write=True)

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool | None:
        one, other = home_alias(obj1), home_alias(obj2)
        if one is None or other is None:
            return True if _in_one_database(obj1, obj2) else None
        if one == other:
            return relations.allow(obj1, obj2)
        shared = obj1 if one == SHARED_ALIAS else obj2 if other == SHARED_ALIAS else None
        if shared is not None and residence_of(shared) is Residence.SHARED:
            return relations.allow(obj1, obj2)
        raise CrossTenantError(
            f"{described(obj1)} lives in {one!r} and {described(obj2)} in {other!r}: rows of"
            " different homes cannot be related."
        )

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        if app_label == "migrations":
            return None if is_migrated_in(db) else False
        return operation_runs_at(db, app_label, model_name, hints)


def home_alias(obj: Any) -> str | None:
    """Return the alias of the home that an instance came from: a tenant's, `shared`, or None for a
    new instance and for databases that have nothing to do with tenants.
    """
    alias: str | None = obj._state.db
    if alias is None:
        return None
    if alias.startswith(TENANT_PREFIX):
        return alias if AT_REPLICA not in alias and AT_PERIOD not in alias else owner_of(alias)
    if alias != SHARED_ALIAS:
        alias = primary_of(alias)
    if alias == DEFAULT_DB_ALIAS:
        home = active_home()
        if home is not None and residence_of(obj) is Residence.TENANT:
            # Written there by hand, as `create_permissions()` does, and meant as in `using=`.
            return home.alias
        return SHARED_ALIAS
    if alias == SHARED_ALIAS:
        return alias
    lodging = lodging_of(type(obj))
    return SHARED_ALIAS if lodging is not None and lodging.is_at(alias) else None


def _home_of_rows(
    model: Any, instance: Any, origin: str | None, hints: Mapping[str, Any], *, write: bool
) -> str:
    home = active_home()
    residence = residence_of(model)
    if residence is Residence.SHARED:
        return _apart(model, instance, hints, home, write=write)
    bound = _bound_home(residence, instance)
    if bound is not None:
        if write:
            refuse_elsewhere(instance, bound, home)
        if bound.startswith(TENANT_PREFIX):
            return bound
        return _apart(model, instance, hints, home, write=write)
    if home is not None:
        if origin is not None and origin != home.alias:
            raise CrossTenantError(
                f"A queryset of {model._meta.label} was made in {origin!r} and is evaluated in"
                f" {home.alias!r}. Make it where it is read, or name the home with .using()."
                " (One that a module or class keeps must not be imported for the first time"
                " while a tenant is active.)"
            )
        return home.alias
    if origin is not None:
        return origin
    if residence is Residence.BOTH:
        return _apart(model, instance, hints, home, write=write)
    raise TenantRequired(
        f"{model._meta.label} lives in tenants and none is active: use `with tenant.activate():`,"
        " or .using(tenant.alias)."
    )


def tenant_of_rows(
    model: Any, instance: Any, hints: Mapping[str, Any], *, write: bool = False
) -> str:
    """Return the alias of the tenant whose rows of a tenant model are meant, as routers are asked;
    in which of its homes they are is not told.

    :raises TenantRequired: none is. `CrossTenantError`: another than the active one, and may not.
    """
    return _home_of_rows(model, instance, hints.get(ORIGIN_HINT), hints, write=write)


def _route(
    model: Any, instance: Any, origin: str | None, hints: Mapping[str, Any], *, write: bool
) -> str:
    alias = _home_of_rows(model, instance, origin, hints, write=write)
    if not is_tenant_alias(alias):
        return alias
    lodging = lodging_of(model)
    if lodging is None or not lodging.is_of_tenants:
        return alias
    lodging = lodging.of_tenant(alias)  # One of several homes of the tenant.
    asked = {} if instance is None else {"instance": instance}
    return lodging.for_write(asked) if write else lodging.for_read(asked)


def _apart(
    model: Any, instance: Any, hints: Mapping[str, Any], home: Home | None, *, write: bool
) -> str:
    """Return the alias of a model's rows that are in no tenant: by a rule, or the shared home."""
    lodging = lodging_of(model)
    if lodging is None or EXPLICIT_HINT in hints:
        return shared_alias(home)
    if instance is not None:
        hints = {**hints, "instance": instance}
    alias = lodging.for_write(hints) if write else lodging.for_read(hints)
    return shared_alias(home) if alias == DEFAULT_DB_ALIAS else alias


def _bound_home(residence: Residence, instance: Any) -> str | None:
    """Return the home that an instance ties a model's rows to, None where it does not.

    A row in a tenant ties them to that tenant. A row in the shared home ties only those models
    that also live there.
    """
    if instance is None:
        return None
    alias = home_alias(instance)
    if alias == SHARED_ALIAS and residence is Residence.TENANT:
        return None
    return alias


def refuse_elsewhere(instance: Any, alias: str, home: Home | None) -> None:
    """Raise `CrossTenantError` where `instance`, which lives at `alias`, is not at home here."""
    here = None if home is None else home.alias
    if here is None or alias == here:
        return
    if alias == SHARED_ALIAS and residence_of(instance) is Residence.SHARED:
        return
    raise CrossTenantError(
        f"{described(instance)} lives in {alias!r} and cannot be written while {here!r} is"
        " active. Activate its own tenant, or load the row of this one."
    )


def refuse_copy(instance: Any, using: str) -> None:
    """Raise `CrossTenantError` where an instance of one home would be written to another."""
    lives = home_alias(instance)
    target = SHARED_ALIAS if using in SHARED_ALIASES else owner_of(using)
    if lives is not None and lives != target and (is_tenant_alias(lives) or is_tenant_alias(using)):
        raise CrossTenantError(
            f"{described(instance)} lives in {lives!r} and cannot be written to {using!r}. To copy"
            " it there, make a new instance."
        )


def refuse_value(instance: Any, using: str) -> None:
    """Raise `CrossTenantError` where an instance would be the value of a column in another home."""
    if residence_of(instance) is not Residence.SHARED:
        refuse_copy(instance, using)


def shared_alias(home: Home | None) -> str:
    """Return the alias of the shared home: `default` is a tenant's while one is active."""
    return DEFAULT_DB_ALIAS if home is None else SHARED_ALIAS


def described(obj: Any) -> str:
    return f"{obj._meta.label} {obj.pk!r}"


def _in_one_database(one: Any, other: Any) -> bool:
    here, there = one._state.db, other._state.db
    return None not in (here, there) and database_of(here) == database_of(there)
