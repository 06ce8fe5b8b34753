"""System checks of what `DOMICILE` says of tenants, and of what it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.db import DEFAULT_DB_ALIAS
from django.db.utils import load_backend

from domicile.backends.sharing import SharedSession
from domicile.conf import PlacementTemplate, conf
from domicile.connections import HomeConnectionHandler
from domicile.findings import Findings, error, gathered, warning
from domicile.models import Domain, Tenant
from domicile.placement import SHARED_ALIAS, TENANT_PREFIX
from domicile.residence import Residence, app_labels, residence_of

_ROUTER = "domicile.router.Router"


def check_tenants(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check where tenants are, their models and what they refer to."""
    return gathered(_databases, _models, _apps, _placements, _numbers, _ready, _relations)


def _databases() -> Findings:
    default = settings.DATABASES.get(DEFAULT_DB_ALIAS, {})
    if not _is_ours(default.get("ENGINE", "")):
        yield error(
            1,
            f"DATABASES['default'] has the engine {default.get('ENGINE')!r}.",
            "Use 'domicile.backends.postgresql', '.mysql' or '.sqlite3'; another engine beneath it"
            " is named in DOMICILE['BASE_ENGINES'].",
        )
    if _ROUTER not in settings.DATABASE_ROUTERS:
        yield error(
            2,
            "Domicile's router is not in DATABASE_ROUTERS, so tenants' rows go to 'default'.",
            f"Add '{_ROUTER}' to DATABASE_ROUTERS.",
        )
    families = tuple(HomeConnectionHandler.families)
    for alias in settings.DATABASES:
        if alias == SHARED_ALIAS or alias.startswith((TENANT_PREFIX, *families)):
            yield error(
                3,
                f"DATABASES has an alias {alias!r}, which Domicile makes itself.",
                "Give that database another alias.",
            )


def _models() -> Findings:
    for number, setting, name, base in (
        (4, "TENANT_MODEL", conf().tenant_model, Tenant),
        (5, "DOMAIN_MODEL", conf().domain_model, Domain),
    ):
        try:
            model = apps.get_model(name)
        except (LookupError, ValueError):
            model = None
        if model is None or not issubclass(model, base):
            yield error(
                number,
                f"DOMICILE[{setting!r}] is {name!r}, which is no model that inherits from"
                f" domicile.{base.__name__}.",
                f"Set it to 'app_label.Model', where Model inherits from domicile.{base.__name__}.",
            )
        elif residence_of(model) is not Residence.SHARED:
            yield error(
                6,
                f"{name}, the model of DOMICILE[{setting!r}], lives in tenants.",
                f"Take {model._meta.app_label!r} out of DOMICILE['TENANT_APPS'].",
            )


def _apps() -> Findings:
    known = {config.label for config in apps.get_app_configs()}
    for setting, names in (
        ("TENANT_APPS", conf().tenant_apps),
        ("SHARED_APPS", conf().shared_apps),
    ):
        for name in names:
            if not app_labels((name,)) <= known:
                yield error(
                    7,
                    f"DOMICILE[{setting!r}] names {name!r}, which is not in INSTALLED_APPS.",
                    "Name an installed app by its label or its module.",
                )
    for key in conf().unknown:
        yield warning(
            8,
            f"DOMICILE has a key {key!r} that means nothing.",
            "See docs/settings.md for all keys.",
        )


def _placements() -> Findings:
    if conf().default_placement not in conf().placements:
        yield error(
            9,
            f"DOMICILE['DEFAULT_PLACEMENT'] is {conf().default_placement!r}, which is not in"
            " PLACEMENTS.",
            "Declare at least one placement, and name one of them.",
        )
    for template in conf().placements.values():
        yield from _placement(template)


def _placement(template: PlacementTemplate) -> Findings:
    where = f"DOMICILE['PLACEMENTS'][{template.key!r}]"
    if template.follows_tenants:
        return  # The others' databases are its own.
    if template.database is not None and template.database not in settings.DATABASES:
        yield error(
            10,
            f"{where} refers to DATABASES[{template.database!r}], which there is not.",
            "Name an alias of DATABASES, or give an ENGINE and a NAME of its own.",
        )
        return
    own = template.settings or settings.DATABASES[str(template.database)]
    if not _is_ours(own["ENGINE"]):
        yield error(
            11,
            f"{where} uses the engine {own['ENGINE']!r}.",
            "Tenants need one of domicile.backends.",
        )
    elif template.layout not in load_backend(own["ENGINE"]).DatabaseWrapper.home_stores:
        yield error(
            12,
            f"{where} asks for a {template.layout} per tenant, which {own['ENGINE']!r} does not"
            " have.",
            "Use NAME for a database per tenant; SCHEMA is for PostgreSQL.",
        )


def _numbers() -> Findings:
    for name in (
        "max_connections",
        "connection_wait",
        "processes",
        "threads",
        "registry_max_age",
        "registry_size",
        "position_wait",
        "position_max_age",
        "write_window",
        "retry_after",
    ):
        value = getattr(conf(), name)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
            yield error(
                18,
                f"DOMICILE[{name.upper()!r}] is {value!r}.",
                "Give a number that is not negative.",
            )


def _ready() -> Findings:
    ready = conf().ready
    counts = ready if isinstance(ready, Mapping) else dict.fromkeys(conf().placements, ready)
    for key, count in counts.items():
        is_count = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        if key not in conf().placements or not is_count:
            yield error(
                25,
                f"DOMICILE['READY'] is {ready!r}.",
                "Give a number of homes, or a dict of such numbers by keys of PLACEMENTS.",
            )
            return


def _relations() -> Findings:
    apart = [
        template.key
        for template in conf().placements.values()
        if template.layout == "database" and not template.houses_periods
    ]
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_fields:
            if field.remote_field is None or not field.related_model:
                continue
            here, there = residence_of(model), residence_of(field.related_model)
            if here is not Residence.TENANT and there is Residence.TENANT:
                yield error(
                    22,
                    f"{field} of a shared model refers to {field.related_model._meta.label}, which"
                    " lives in tenants.",
                    "Turn the relation round, or move the model into a tenant app.",
                )
            elif apart and here is not Residence.SHARED and there is Residence.SHARED:
                yield warning(
                    23,
                    f"{field} refers to the shared {field.related_model._meta.label}, which is in"
                    f" another database than tenants placed by {', '.join(map(repr, apart))}: there"
                    " the column has no constraint, and joins over it fail.",
                    "Make its app a tenant app too, or use prefetch_related in place of"
                    " select_related.",
                )


def _is_ours(engine: str) -> bool:
    try:
        return issubclass(load_backend(engine).DatabaseWrapper, SharedSession)
    except Exception:
        return False
