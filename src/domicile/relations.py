"""Relations that cross databases: which do, which of them the project has declared.

A foreign key crosses databases where the rows of its two models are in different ones: no
constraint holds it and no join follows it. `DOMICILE["RELATIONS"]` declares those that are meant.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections

from domicile.conf import conf
from domicile.exceptions import CrossDatabaseError
from domicile.placement import AT_PERIOD, is_tenant_alias, owner_of
from domicile.residence import Residence, residence_of
from domicile.routing import database_of, lodging_of, rules


def place_of(model: Any) -> str | None:
    """Return the database of a model's rows; None: each tenant's own."""
    lodging = lodging_of(model)
    if lodging is not None:
        return lodging.place
    return None if residence_of(model) is Residence.TENANT else DEFAULT_DB_ALIAS


def crosses(one: Any, other: Any) -> bool:
    """Return whether a rule puts the rows of two models into different databases."""
    if lodging_of(one) is None and lodging_of(other) is None:
        return False
    return place_of(one) != place_of(other)


def refuse_join(one: Any, other: Any, connection: Any = None) -> None:
    """Raise `CrossDatabaseError` where a query joins the rows of two models in different databases.

    :param connection: where the query is sent, if that is known yet.
    """
    if not rules() or not isinstance(other, type):
        return
    if _is_out_of_reach(one, other, connection):
        raise _no_join(one, other)
    if not crosses(one, other):
        return
    places = {place_of(one), place_of(other)}
    if connection is None and None in places:  # A tenant may be in the database of the other.
        return
    at_tenant = connection is not None and is_tenant_alias(connection.alias)
    if at_tenant and places <= _reached_from(connection):
        return
    raise _no_join(one, other)


def _no_join(one: Any, other: Any) -> CrossDatabaseError:
    return CrossDatabaseError(
        f"A query follows a relation between {_at(one)} and {_at(other)}, and no join crosses"
        " databases. Use prefetch_related() in place of select_related(), and in filters the keys"
        " of rows that were read first."
    )


def _is_out_of_reach(one: Any, other: Any, connection: Any) -> bool:
    """Tell whether one of two models of a database is in homes by time, and the query is not."""
    if connection is None:
        return False
    found = [lodging for lodging in (lodging_of(one), lodging_of(other)) if lodging is not None]
    return any(each.is_by_time and not each.is_at(connection.alias) for each in found)


def _reached_from(connection: Any) -> set[str | None]:
    """Return the places whose tables a query at a tenant can name: not the tenant's own from one of
    its other homes that is not beside it.
    """
    home = connection.home
    is_other = home is not None and AT_PERIOD in home.alias
    here = database_of_tenant(connection.alias)
    return {here} if is_other and home.beside is None else {None, here}


def reaches(alias: str, other: str) -> bool:
    """Tell whether a query at `alias`, a home of a tenant, reads from the tenant's own too, where
    that is `other`.
    """
    if AT_PERIOD not in alias or owner_of(alias) != other:
        return False
    connection: Any = connections[alias]
    return connection.home.beside is not None


def allow(one: Any, other: Any) -> bool:
    """Return True where two instances may be related; raise `CrossDatabaseError` otherwise."""
    if lodging_of(type(one)) is None and lodging_of(type(other)) is None:
        return True
    here, there = _place_of_row(one), _place_of_row(other)
    if here == there or is_declared(type(one), type(other)):
        return True
    fields = _fields_between(type(one), type(other))
    names = " or ".join(repr(name) for name in fields) or "the relation's field"
    raise CrossDatabaseError(
        f"{one._meta.label} {one.pk!r} is in the database {here!r} and {other._meta.label}"
        f" {other.pk!r} in {there!r}. If they may be related, add {names} to"
        " DOMICILE['RELATIONS'], as 'app.Model.field'."
    )


def is_declared(one: Any, other: Any) -> bool:
    """Return whether a declared relation holds between two models, from either side."""
    return any(
        (issubclass(one, here) and issubclass(other, there))
        or (issubclass(one, there) and issubclass(other, here))
        for here, there in _declared().values()
    )


def is_declared_field(field: Any) -> bool:
    """Return whether a foreign key is declared."""
    return declaration_of(field).lower() in _declared()


def declaration_of(field: Any) -> str:
    """Return how `DOMICILE["RELATIONS"]` names a foreign key: one of a many-to-many table by the
    field that the table is for.
    """
    model, source = field.model, field.model._meta.auto_created
    for many in source._meta.local_many_to_many if source else ():
        if many.remote_field.through is model:
            model, field = source, many
    return f"{model._meta.label}.{field.name}"


def find_field(declared: str) -> Any:
    """Return the field of an entry of `DOMICILE["RELATIONS"]`; None where there is no relation."""
    try:
        app_label, model_name, name = declared.split(".")
        field: Any = apps.get_model(app_label, model_name)._meta.get_field(name)
    except (ValueError, LookupError, FieldDoesNotExist):
        return None
    return field if field.is_relation and isinstance(field.related_model, type) else None


@cache
def _declared() -> dict[str, tuple[Any, Any]]:
    fields = [field for field in map(find_field, conf().relations) if field is not None]
    return {declaration_of(field).lower(): (field.model, field.related_model) for field in fields}


def _place_of_row(obj: Any) -> str | None:
    alias = obj._state.db
    if alias is None:
        return place_of(type(obj))
    lodging = lodging_of(type(obj))
    if is_tenant_alias(alias):
        if lodging is None or lodging.is_at(alias):
            return database_of_tenant(alias)
        found: str = lodging.of_tenant(owner_of(alias)).alias  # It is not in a home by time yet.
        return database_of_tenant(found) if is_tenant_alias(found) else found
    alias = database_of(alias)
    return lodging.alias if lodging is not None and lodging.is_at(alias) else alias


def database_of_tenant(alias: str) -> str:
    """Return the database whose session reaches a tenant, which may be the tenant's own."""
    connection: Any = connections[alias]
    return str(connection.owner.alias)


def _fields_between(one: Any, other: Any) -> list[str]:
    return [
        f"{field.model._meta.label}.{field.name}"
        for here, there in ((one, other), (other, one))
        for field in (*here._meta.fields, *here._meta.many_to_many)
        if field.remote_field is not None and issubclass(there, field.related_model)
    ]


def _at(model: Any) -> str:
    place, lodging = place_of(model), lodging_of(model)
    if lodging is not None and lodging.is_by_time:
        return f"{model._meta.label} (in homes by time)"
    return f"{model._meta.label} (in {'tenants' if place is None else repr(place)})"


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "INSTALLED_APPS"):
        _declared.cache_clear()


setting_changed.connect(_reset, dispatch_uid="domicile.relations")
