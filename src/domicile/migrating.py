"""Which migrations run where: a table exists exactly where its rows are read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS

from domicile import routing
from domicile.added import likeness
from domicile.context import active_home
from domicile.placement import AT_PERIOD, SHARED_ALIASES, is_tenant_alias
from domicile.residence import Residence, residence_of_app
from domicile.routing import lodging_of, primary_of
from domicile.rules.legacy import Legacy


def operation_runs_at(
    alias: str, app_label: str, model_name: str | None, hints: Mapping[str, Any]
) -> bool:
    """Return whether an operation of an app's migration runs in a database.

    `hints` may name a `model` (a class, or "app.Model") or a `database`; an operation that has none
    of these runs where the app is.
    """
    home = active_home()
    at_tenant = is_tenant_alias(alias) or (alias == DEFAULT_DB_ALIAS and home is not None)
    database = hints.get("database")
    if database is not None:
        return not at_tenant and is_migrated_in(alias) and _static(alias) == _static(database)
    model = _model(app_label, model_name, hints.get("model"))
    residence = residence_of_app(app_label if model is None else model._meta.app_label)
    if at_tenant:
        if home is not None and alias == DEFAULT_DB_ALIAS:
            alias = home.alias
        return _runs_in_tenant(alias, model, residence)
    if not is_migrated_in(alias):
        return False
    lodging = None if model is None else lodging_of(model)
    if lodging is not None:
        return lodging.is_migrated and lodging.is_at(_static(alias))
    if residence is Residence.TENANT:
        return False
    here = None if model is not None else _alias_of_app(app_label)
    return _static(alias) == (here or DEFAULT_DB_ALIAS)


def _runs_in_tenant(alias: str, model: Any, residence: Residence) -> bool:
    """A model has its table in the tenant's own home, or in those that a rule tells apart."""
    lodging = None
    if model is not None and residence is Residence.TENANT:
        lodging = lodging_of(model)
    if lodging is not None:
        return lodging.is_at(alias)
    return residence is not Residence.SHARED and AT_PERIOD not in alias


def is_migrated_in(alias: str) -> bool:
    """Return whether migrations have any business in a database: not in what others keep, and not
    in a replica.
    """
    alias = _static(alias)
    if primary_of(alias) != alias:
        return False
    return not any(isinstance(rule, Legacy) and rule.alias == alias for rule in routing.rules())


def _model(app_label: str, model_name: str | None, model: Any) -> Any:
    """Return the model that an operation names; None where it names none that is known."""
    if model is not None and not isinstance(model, str):
        return model
    name = model or (model_name and f"{app_label}.{model_name}")
    try:
        return apps.get_model(name) if name else None
    except (LookupError, ValueError):
        return None


def _alias_of_app(app_label: str) -> str | None:
    """Return the database of an app's operations that name no model; None: the shared home."""
    for rule in routing.rules():
        alias = rule.app_alias(app_label)
        if alias is not None:
            return alias
    places = _places_of_models(app_label)
    if len(places) < 2 or DEFAULT_DB_ALIAS in places:
        return next(iter(places - {DEFAULT_DB_ALIAS}), None) if len(places) == 1 else None
    raise ImproperlyConfigured(
        f"A migration of {app_label!r} has an operation that names no model, and the app's tables"
        f" are in {', '.join(sorted(places))}. Give it hints={{'database': …}} or {{'model': …}},"
        f" or name {app_label!r} itself in a rule."
    )


def _places_of_models(app_label: str) -> set[str]:
    try:
        models = apps.get_app_config(app_label).get_models()
    except LookupError:
        return set()
    lodgings = [lodging_of(model) for model in models]
    return {DEFAULT_DB_ALIAS if lodging is None else lodging.alias for lodging in lodgings}


def _static(alias: str) -> str:
    """Return the alias of the settings whose tables a database has, where there is one."""
    if alias in SHARED_ALIASES:
        return DEFAULT_DB_ALIAS
    return alias if alias in settings.DATABASES or ":" in alias else likeness(alias)
