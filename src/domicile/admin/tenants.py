"""Tenants in the admin: each change of one is a call of the function that a program would call."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext_lazy as _

from domicile.admin.creation import CreateAdmin
from domicile.admin.dropping import DropAdmin
from domicile.admin.forms import TenantForm, hosts_of
from domicile.admin.status import StatusAdmin
from domicile.exceptions import DomicileError
from domicile.fleet.lifecycle import rename_tenant

FIRST_FIELDS = ("name", "slug", "state", "placement", "domains")


class TenantAdmin(CreateAdmin, StatusAdmin, DropAdmin):
    """For a project's tenant model. Rows and homes are made, changed and dropped together.

    The form has the project's own fields after Domicile's. A `form` of the project's inherits from
    `TenantForm`; inlines are shown for tenants that exist.
    """

    form = TenantForm
    list_display = ("name", "slug", "state", "placement_template", "domains", "created")
    list_filter = ("status", "placement_template")
    search_fields = ("slug", "name", "domains__host")
    ordering = ("name",)
    actions = ("resume", "maintain", "suspend", "delete_selected")
    change_form_template = "admin/domicile/change_form.html"

    class Media:
        css = {"all": ["domicile/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("domains")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        if self.fields:
            return fields
        first = [name for name in FIRST_FIELDS if name in fields]
        return first + [name for name in fields if name not in first]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if obj is None:
            return fields
        waiting = ["drop_after"] if obj.drop_after else []
        return (*fields, "slug", "state", "placement", "created_at", *waiting)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_prepopulated_fields(request, obj)
        return fields if obj is not None else {"slug": ["name"], **fields}

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is None else super().get_inlines(request, obj)

    @admin.display(description=_("status"), ordering="status")
    def state(self, obj: Any) -> str:
        return format_html(
            '<span class="domicile-status domicile-{}">{}</span>',
            obj.status,
            obj.get_status_display(),
        )

    @admin.display(description=_("placement"))
    def placement(self, obj: Any) -> str:
        return str(obj.placement)

    @admin.display(description=_("domains"))
    def domains(self, obj: Any) -> str:
        return ", ".join(hosts_of(obj))

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, obj: Any) -> str:
        when = localtime(obj.created_at) if is_aware(obj.created_at) else obj.created_at
        return date_format(when, "SHORT_DATE_FORMAT")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        changed = {"name", "domains"} & set(form.changed_data)
        if changed:
            rename_tenant(obj, **{key: form.cleaned_data[key] for key in changed})
        # Not the status, which may have changed since it was read.
        obj.save(update_fields=[field.name for field in self.project_fields()] + ["changed_at"])

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        try:
            return super().change_view(request, object_id, form_url, extra_context)
        except DomicileError as error:
            # Somebody was faster: the form had found nothing wrong.
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
