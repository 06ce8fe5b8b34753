"""One admin for tenants and for the project, each of which shows what lives there."""

from __future__ import annotations

from functools import update_wrapper
from typing import Any

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.html import format_html

from domicile.admin.databases import DatabasesPage
from domicile.context import active_home, current_tenant
from domicile.residence import Residence, residence_of


def lives_here(model: Any) -> bool:
    """Tell whether a model has a table in the active tenant's home, or in the shared one."""
    here = Residence.SHARED if active_home() is None else Residence.TENANT
    return residence_of(model) in (here, Residence.BOTH)


class AdminSite(DatabasesPage):
    """Inside a tenant, the models that live in tenants; outside, those of the shared home.

    Models are registered as usual. The pages of those that live elsewhere are 404.
    """

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        model = _model_of(view)

        def at_home(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            _require_own_log()
            if model is not None:
                _require_here(model)
            return view(request, *args, **kwargs)

        return super().admin_view(update_wrapper(at_home, view), cacheable)

    def get_urls(self) -> list[Any]:
        shortcut = "r/<path:content_type_id>/<path:object_id>/"
        return [path(shortcut, self.admin_view(self.view_on_site)), *super().get_urls()]

    def view_on_site(
        self, request: HttpRequest, content_type_id: str, object_id: str
    ) -> HttpResponseBase:
        """Lead to the page of an object that lives here (there are content types of others)."""
        from django.contrib.contenttypes.models import ContentType
        from django.contrib.contenttypes.views import shortcut

        found = content_type_id.isdecimal() and ContentType.objects.filter(pk=content_type_id)
        for content_type in found or ():
            _require_here(content_type.model_class())
        return shortcut(request, content_type_id, object_id)

    def autocomplete_view(self, request: HttpRequest) -> Any:
        return AutocompleteView.as_view(admin_site=self)(request)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps: list[Any] = super().get_app_list(request, app_label)
        for app in apps:
            app["models"] = [
                model
                for model in app["models"]
                if "model" not in model or lives_here(model["model"])
            ]
        return [app for app in apps if app["models"]]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        tenant = current_tenant()
        if tenant is not None:
            for key in ("site_title", "site_header"):
                context[key] = format_html("{} · {}", tenant, context[key])
        return context


class AutocompleteView(AutocompleteJsonView):
    """Answers for the fields of models that live here, also those that name shared rows."""

    def process_request(self, request: HttpRequest) -> Any:
        found = super().process_request(request)
        _term, model_admin, source_field, _to_field = found
        _require_here(source_field.model)
        if residence_of(model_admin.model) is not Residence.SHARED:
            _require_here(model_admin.model)
        return found


def _model_of(view: Any) -> Any:
    """Return the model of a `ModelAdmin`'s method, or of a class-based view that was given one."""
    owner = getattr(view, "__self__", None)
    if owner is None:
        owner = getattr(view, "view_initkwargs", {}).get("model_admin")
    return getattr(owner, "model", None)


def _require_here(model: Any) -> None:
    if model is not None and not lives_here(model):
        raise Http404(f"{model._meta.label} does not live here.")


def _require_own_log() -> None:
    """A log in another home would tell of the rows of other tenants, which have the same ids."""
    from django.contrib.admin.models import LogEntry

    if not lives_here(LogEntry):
        setting = "SHARED_APPS" if active_home() is None else "TENANT_APPS"
        raise ImproperlyConfigured(
            "The admin keeps its log where it works, and there is no table for it here. Add"
            f" 'django.contrib.admin' to DOMICILE[{setting!r}]."
        )
