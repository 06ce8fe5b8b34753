"""Dropping a tenant: after its slug was typed, at once or when a time of grace is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from domicile.admin.base import TenantPages
from domicile.admin.forms import DropForm, hosts_of
from domicile.exceptions import DomicileError
from domicile.fleet import dropping


def outside_transactions(view: Any) -> Any:
    """Spare a view `ATOMIC_REQUESTS`: a database cannot be dropped in a transaction."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


class DropAdmin(TenantPages):
    """Drops tenants where Django would delete their rows."""

    drop_template = "admin/domicile/drop_confirmation.html"

    # In the place of Django's own, which would delete the row.
    @admin.action(permissions=["delete"], description=_("Drop a selected %(verbose_name)s"))
    def delete_selected(self, request: HttpRequest, queryset: Any) -> Any:
        if queryset.count() == 1:
            return HttpResponseRedirect(self.url("delete", queryset.get().pk))
        self.message_user(request, _("Select one: they are dropped one by one."), messages.WARNING)
        return None

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Protect all from Django's own deletion, should a project's actions bring it back."""
        return [], {}, set(), [str(tenant) for tenant in objs]

    @outside_transactions
    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponseBase:
        """Drop a tenant whose slug was typed."""
        tenant = self.found(request, object_id)
        if not self.has_delete_permission(request, tenant):
            raise PermissionDenied
        form = DropForm(request.POST or None, tenant=tenant)
        if request.method == "POST" and form.is_valid() and self._drop(request, tenant, form):
            return self.response_post_save_change(request, tenant)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Drop %s") % tenant,
            "object": tenant,
            "opts": self.opts,
            "media": self.media,
            "adminform": _rows(form, self),
            "form": form,
            "domains": ", ".join(hosts_of(tenant)),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.drop_template, context)

    def _drop(self, request: HttpRequest, tenant: Any, form: DropForm) -> bool:
        days = form.cleaned_data["grace"]
        try:
            dropping.drop_tenant(tenant, grace=timedelta(days=days) if days else None)
        except DomicileError as error:
            form.add_error(None, str(error))
            return False
        if days:
            entry = f"To be dropped in {days} days."
            self.log_change(request, tenant, entry)
        else:
            entry = "Dropped."
            self.log_deletions(request, [tenant])  # type: ignore[arg-type]
        self.message_user(request, f"{tenant}: {entry}", messages.SUCCESS)
        return True


def _rows(form: Any, model_admin: admin.ModelAdmin) -> helpers.AdminForm:
    """Have a form look like all others of the admin."""
    fieldsets: list[Any] = [(None, {"fields": list(form.fields)})]
    return helpers.AdminForm(form, fieldsets, {}, model_admin=model_admin)
