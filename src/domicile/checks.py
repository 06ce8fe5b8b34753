"""System checks: a wrong set-up is a numbered fault whose hint names the fix.

The numbers are stable, and listed in `docs/checks.md`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import DEFAULT_DB_ALIAS
from django.db.utils import load_backend
from django.utils.module_loading import import_string

from domicile import resolvers
from domicile.backends.sharing import SharedSession
from domicile.conf import PlacementTemplate, conf
from domicile.connection_checks import check_connections, check_limits
from domicile.connections import HomeConnectionHandler
from domicile.models import Domain, Tenant
from domicile.placement import SHARED_ALIAS, TENANT_PREFIX
from domicile.replicas.checks import check_reading
from domicile.residence import Residence, app_labels, residence_of, residence_of_app
from domicile.rules.checks import check_rules, check_twins

TAG = "domicile"
ROUTER = "domicile.router.Router"

Findings = Iterator[CheckMessage]


def _error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"domicile.E{number:03}")


def _warning(number: int, message: str, hint: str) -> Warning:
    return Warning(message, hint=hint, id=f"domicile.W{number:03}")


def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check `DOMICILE` and what it refers to."""
    parts: list[Callable[[], Findings]] = [
        _databases,
        _models,
        _apps,
        _placements,
        _resolvers,
        _middleware,
        _numbers,
        _ready,
        _accounts,
        _relations,
        _admin,
    ]
    return [finding for part in parts for finding in part()]


def _databases() -> Findings:
    default = settings.DATABASES.get(DEFAULT_DB_ALIAS, {})
    if not _is_ours(default.get("ENGINE", "")):
        yield _error(
            1,
            f"DATABASES['default'] has the engine {default.get('ENGINE')!r}.",
            "Use 'domicile.backends.postgresql', '.mysql' or '.sqlite3'; another engine beneath it"
            " is named in DOMICILE['BASE_ENGINES'].",
        )
    if ROUTER not in settings.DATABASE_ROUTERS:
        yield _error(
            2,
            "Domicile's router is not in DATABASE_ROUTERS, so tenants' rows go to 'default'.",
            f"Add '{ROUTER}' to DATABASE_ROUTERS.",
        )
    families = tuple(HomeConnectionHandler.families)
    for alias in settings.DATABASES:
        if alias == SHARED_ALIAS or alias.startswith((TENANT_PREFIX, *families)):
            yield _error(
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
            yield _error(
                number,
                f"DOMICILE[{setting!r}] is {name!r}, which is no model that inherits from"
                f" domicile.{base.__name__}.",
                f"Set it to 'app_label.Model', where Model inherits from domicile.{base.__name__}.",
            )
        elif residence_of(model) is not Residence.SHARED:
            yield _error(
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
                yield _error(
                    7,
                    f"DOMICILE[{setting!r}] names {name!r}, which is not in INSTALLED_APPS.",
                    "Name an installed app by its label or its module.",
                )
    for key in conf().unknown:
        yield _warning(
            8,
            f"DOMICILE has a key {key!r} that means nothing.",
            "See docs/settings.md for all keys.",
        )


def _placements() -> Findings:
    if conf().default_placement not in conf().placements:
        yield _error(
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
        yield _error(
            10,
            f"{where} refers to DATABASES[{template.database!r}], which there is not.",
            "Name an alias of DATABASES, or give an ENGINE and a NAME of its own.",
        )
        return
    own = template.settings or settings.DATABASES[str(template.database)]
    if not _is_ours(own["ENGINE"]):
        yield _error(
            11,
            f"{where} uses the engine {own['ENGINE']!r}.",
            "Tenants need one of domicile.backends.",
        )
    elif template.layout not in load_backend(own["ENGINE"]).DatabaseWrapper.home_stores:
        yield _error(
            12,
            f"{where} asks for a {template.layout} per tenant, which {own['ENGINE']!r} does not"
            " have.",
            "Use NAME for a database per tenant; SCHEMA is for PostgreSQL.",
        )


def _resolvers() -> Findings:
    for path in conf().resolvers:
        try:
            valid = issubclass(import_string(path), resolvers.Resolver)
        except (ImportError, TypeError):
            valid = False
        if not valid:
            yield _error(
                13,
                f"DOMICILE['RESOLVERS'] names {path!r}, which is no resolver.",
                "Give the dotted path of a class that inherits from domicile.resolvers.Resolver.",
            )
    if _resolves_by(resolvers.HeaderResolver) and not conf().trusted_proxies:
        yield _warning(
            14,
            "HeaderResolver is in use and DOMICILE['TRUSTED_PROXIES'] is empty: every request with"
            f" the header {conf().header} is refused.",
            "List the networks of your proxies, such as '10.0.0.0/8'.",
        )
    for network in conf().trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield _error(
                15,
                f"DOMICILE['TRUSTED_PROXIES'] has {network!r}, which is no network.",
                "Write networks as '10.0.0.0/8' or '192.0.2.1/32'.",
            )


def _middleware() -> Findings:
    names = list(settings.MIDDLEWARE)
    ours = [position for position, name in enumerate(names) if _is_tenant_middleware(name)]
    if not ours:
        yield _warning(
            16,
            "No TenantMiddleware is in MIDDLEWARE: requests have no tenant.",
            "Add 'domicile.middleware.TenantMiddleware' at the top.",
        )
        return
    for resolver, needed in (
        (resolvers.SessionResolver, "django.contrib.sessions.middleware.SessionMiddleware"),
        (resolvers.UserResolver, "django.contrib.auth.middleware.AuthenticationMiddleware"),
    ):
        if _resolves_by(resolver) and needed not in names[: ours[0]]:
            yield _error(
                17,
                f"{resolver.__name__} is in use, and TenantMiddleware does not follow {needed}.",
                "Move TenantMiddleware behind it.",
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
            yield _error(
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
            yield _error(
                25,
                f"DOMICILE['READY'] is {ready!r}.",
                "Give a number of homes, or a dict of such numbers by keys of PLACEMENTS.",
            )
            return


def _accounts() -> Findings:
    """What belongs to a user must live where the user lives."""
    if not apps.is_installed("django.contrib.auth"):
        return
    users = residence_of(apps.get_model(settings.AUTH_USER_MODEL))
    if users is not Residence.SHARED:
        for label in ("sessions", "admin"):
            if _installed(label) and residence_of_app(label) is Residence.SHARED:
                yield _error(
                    19,
                    f"Users live in tenants and {label!r} does not: a row there that names user 1"
                    " means another person in each tenant.",
                    f"Add '{label}' to DOMICILE['TENANT_APPS'].",
                )
        for resolver in (resolvers.SessionResolver, resolvers.UserResolver):
            if _resolves_by(resolver):
                yield _error(
                    20,
                    f"{resolver.__name__} reads sessions and users before a tenant is known, and"
                    " they live in tenants.",
                    "Keep auth and sessions out of TENANT_APPS, or use another resolver.",
                )
    if residence_of_app("auth") is not residence_of_app("contenttypes"):
        yield _error(
            21,
            "Permissions refer to content types, and the two live in different homes.",
            "List django.contrib.auth and django.contrib.contenttypes alike in TENANT_APPS and"
            " SHARED_APPS.",
        )


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
                yield _error(
                    22,
                    f"{field} of a shared model refers to {field.related_model._meta.label}, which"
                    " lives in tenants.",
                    "Turn the relation round, or move the model into a tenant app.",
                )
            elif apart and here is not Residence.SHARED and there is Residence.SHARED:
                yield _warning(
                    23,
                    f"{field} refers to the shared {field.related_model._meta.label}, which is in"
                    f" another database than tenants placed by {', '.join(map(repr, apart))}: there"
                    " the column has no constraint, and joins over it fail.",
                    "Make its app a tenant app too, or use prefetch_related in place of"
                    " select_related.",
                )


def _admin() -> Findings:
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin import site

    if residence_of_app("admin") is not Residence.SHARED:
        return
    labels = [m._meta.label for m in site._registry if residence_of(m) is not Residence.SHARED]
    if labels:
        yield _error(
            24,
            f"The admin serves models that live in tenants ({', '.join(sorted(labels))}), and its"
            " log, which is shared, would show each tenant what others did.",
            "Add 'django.contrib.admin' to DOMICILE['TENANT_APPS'].",
        )


def _is_ours(engine: str) -> bool:
    try:
        return issubclass(load_backend(engine).DatabaseWrapper, SharedSession)
    except Exception:
        return False


def _is_tenant_middleware(name: str) -> bool:
    from domicile.middleware import TenantMiddleware

    try:
        middleware = import_string(name)
    except ImportError:
        return False
    return isinstance(middleware, type) and issubclass(middleware, TenantMiddleware)


def _resolves_by(resolver: type[resolvers.Resolver]) -> bool:
    for path in conf().resolvers:
        try:
            if issubclass(import_string(path), resolver):
                return True
        except (ImportError, TypeError):
            continue
    return False


def _installed(label: str) -> bool:
    return any(config.label == label for config in apps.get_app_configs())


def register_checks() -> None:
    """Have `check`, and every command that checks, run these."""
    register(check_settings, TAG)
    register(check_rules, TAG)
    register(check_reading, TAG)
    register(check_twins, Tags.database)
    register(check_connections, TAG)
    register(check_limits, Tags.database)
