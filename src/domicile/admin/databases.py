"""The page of all databases, and of where each model's rows are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _

from domicile.admin.picture import NARROW, WIDE, draw
from domicile.context import active_home
from domicile.map import draw_map

_LABEL, _NAME = "domicile", "domicile_databases"


class DatabasesPage(admin.AdminSite):
    """Adds the page to an admin. Tenants do not have it: it tells of what belongs to all."""

    def has_databases_permission(self, request: HttpRequest) -> bool:
        """Whether a visitor may see the page: a superuser of the project's own admin."""
        user: Any = request.user
        return bool(active_home() is None and user.is_active and user.is_superuser)

    def get_urls(self) -> list[Any]:
        page = path("domicile/databases/", self.admin_view(self.databases_view), name=_NAME)
        return [page, *super().get_urls()]

    def databases_view(self, request: HttpRequest) -> TemplateResponse:
        if active_home() is not None:
            raise Http404("The page of all databases is not in a tenant.")
        if not self.has_databases_permission(request):
            raise PermissionDenied
        drawn = draw_map()
        context = {
            **self.each_context(request),
            "title": _("Databases"),
            "map": drawn,
            "wide": draw(drawn, WIDE),
            "narrow": draw(drawn, NARROW),
        }
        request.current_app = self.name
        return TemplateResponse(request, "admin/domicile/databases.html", context)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps: list[Any] = super().get_app_list(request, app_label)
        if app_label in (None, _LABEL) and self.has_databases_permission(request):
            entry = self._entry()
            own = next((app for app in apps if app["app_label"] == _LABEL), None)
            if own is None:
                apps.append(entry)
            else:
                own["models"] += entry["models"]
        return apps

    def _entry(self) -> dict[str, Any]:
        """Return what Django lists an app with; the page stands where a model would."""
        url = reverse(f"admin:{_NAME}", current_app=self.name)
        page = {
            "name": _("Databases"),
            "object_name": "Databases",
            "perms": {"add": False, "change": False, "delete": False, "view": True},
            "admin_url": url,
            "add_url": None,
            "view_only": True,
        }
        return {
            "name": "Domicile",
            "app_label": _LABEL,
            "app_url": url,
            "has_module_perms": True,
            "models": [page],
        }
