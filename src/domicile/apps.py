"""Wires the parts together; has no logic of its own."""

import sys

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class DomicileConfig(AppConfig):
    name = "domicile"
    verbose_name = "Domicile"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from domicile import checks, connections, guards, patches
        from domicile.added import find_added
        from domicile.integrations import sessions, sites
        from domicile.periods.homes import find, find_of_tenant
        from domicile.periods.places import PREFIX
        from domicile.registry import registry
        from domicile.replicas import writes

        connections.install(registry.home_of, find_added)
        registry.find_within = find_of_tenant
        connections.register_family(PREFIX, find)
        patches.install()
        guards.install()
        writes.install()
        sessions.install()
        sites.install()
        checks.register_checks()
        if "celery" in sys.modules:
            from domicile.integrations import celery_carrying

            celery_carrying.install()


class AdminConfig(admin_apps.AdminConfig):
    """In `INSTALLED_APPS` in place of `django.contrib.admin`: one admin for tenants and for the
    project, each of which shows what lives there.
    """

    default = False
    default_site = "domicile.admin.AdminSite"
