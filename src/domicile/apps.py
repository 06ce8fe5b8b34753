"""Wires the parts together; has no logic of its own."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class DomicileConfig(AppConfig):
    name = "domicile"
    verbose_name = "Domicile"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from domicile import checks, connections, patches
        from domicile.integrations import sessions, sites
        from domicile.registry import registry

        connections.install(registry.home_of)
        patches.install()
        sessions.install()
        sites.install()
        checks.register_checks()


class AdminConfig(admin_apps.AdminConfig):
    """In `INSTALLED_APPS` in place of `django.contrib.admin`: one admin for tenants and for the
    project, each of which shows what lives there.
    """

    default = False
    default_site = "domicile.admin.AdminSite"
