"""System checks of how a request finds its tenant, and of whose users and sessions it has."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.utils.module_loading import import_string

from domicile import resolvers
from domicile.conf import conf
from domicile.findings import Findings, error, gathered, warning
from domicile.residence import Residence, residence_of, residence_of_app


def check_requests(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check resolvers, middlewares, accounts and the admin."""
    return gathered(_resolvers, _middleware, _accounts, _admin)


def _resolvers() -> Findings:
    for path in conf().resolvers:
        try:
            valid = issubclass(import_string(path), resolvers.Resolver)
        except (ImportError, TypeError):
            valid = False
        if not valid:
            yield error(
                13,
                f"DOMICILE['RESOLVERS'] names {path!r}, which is no resolver.",
                "Give the dotted path of a class that inherits from domicile.resolvers.Resolver.",
            )
    if _resolves_by(resolvers.HeaderResolver) and not conf().trusted_proxies:
        yield warning(
            14,
            "HeaderResolver is in use and DOMICILE['TRUSTED_PROXIES'] is empty: every request with"
            f" the header {conf().header} is refused.",
            "List the networks of your proxies, such as '10.0.0.0/8'.",
        )
    for network in conf().trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield error(
                15,
                f"DOMICILE['TRUSTED_PROXIES'] has {network!r}, which is no network.",
                "Write networks as '10.0.0.0/8' or '192.0.2.1/32'.",
            )


def _middleware() -> Findings:
    names = list(settings.MIDDLEWARE)
    ours = [position for position, name in enumerate(names) if _is_tenant_middleware(name)]
    if not ours:
        yield warning(
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
            yield error(
                17,
                f"{resolver.__name__} is in use, and TenantMiddleware does not follow {needed}.",
                "Move TenantMiddleware behind it.",
            )


def _accounts() -> Findings:
    """What belongs to a user must live where the user lives."""
    if not apps.is_installed("django.contrib.auth"):
        return
    users = residence_of(apps.get_model(settings.AUTH_USER_MODEL))
    if users is not Residence.SHARED:
        for label in ("sessions", "admin"):
            if _installed(label) and residence_of_app(label) is Residence.SHARED:
                yield error(
                    19,
                    f"Users live in tenants and {label!r} does not: a row there that names user 1"
                    " means another person in each tenant.",
                    f"Add '{label}' to DOMICILE['TENANT_APPS'].",
                )
        for resolver in (resolvers.SessionResolver, resolvers.UserResolver):
            if _resolves_by(resolver):
                yield error(
                    20,
                    f"{resolver.__name__} reads sessions and users before a tenant is known, and"
                    " they live in tenants.",
                    "Keep auth and sessions out of TENANT_APPS, or use another resolver.",
                )
    if residence_of_app("auth") is not residence_of_app("contenttypes"):
        yield error(
            21,
            "Permissions refer to content types, and the two live in different homes.",
            "List django.contrib.auth and django.contrib.contenttypes alike in TENANT_APPS and"
            " SHARED_APPS.",
        )


def _admin() -> Findings:
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin import site

    if residence_of_app("admin") is not Residence.SHARED:
        return
    labels = [m._meta.label for m in site._registry if residence_of(m) is not Residence.SHARED]
    if labels:
        yield error(
            24,
            f"The admin serves models that live in tenants ({', '.join(sorted(labels))}), and its"
            " log, which is shared, would show each tenant what others did.",
            "Add 'django.contrib.admin' to DOMICILE['TENANT_APPS'].",
        )


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
