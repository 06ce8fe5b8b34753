"""Suspending, resuming and maintaining tenants: buttons on a tenant's page, actions of the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.translation import gettext_lazy as _

from domicile.admin.base import TenantPages
from domicile.exceptions import DomicileError
from domicile.fleet import lifecycle
from domicile.models import Status


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of status that a button and an action make."""

    key: str
    label: Any
    #: What the log says of it.
    entry: str
    change: Callable[[Any], Any]
    starts: frozenset[Status]

    def is_open_to(self, tenant: Any) -> bool:
        gone = tenant.status == Status.DROPPING and tenant.drop_after is None
        return tenant.status in self.starts and not gone


TRANSITIONS = {
    transition.key: transition
    for transition in (
        Transition(
            "resume",
            _("Resume"),
            "Resumed.",
            lifecycle.resume_tenant,
            frozenset({Status.MAINTENANCE, Status.SUSPENDED, Status.DROPPING}),
        ),
        Transition(
            "maintain",
            _("Maintenance"),
            "Put under maintenance.",
            lifecycle.maintain_tenant,
            frozenset({Status.ACTIVE}),
        ),
        Transition(
            "suspend",
            _("Suspend"),
            "Suspended.",
            lifecycle.suspend_tenant,
            frozenset({Status.ACTIVE, Status.MAINTENANCE}),
        ),
    )
}


class StatusAdmin(TenantPages):
    """Changes the status of tenants."""

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None and self.has_change_permission(request, obj):
            context["transitions"] = [each for each in TRANSITIONS.values() if each.is_open_to(obj)]
            context["status_url"] = self.url("status", obj.pk)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_urls(self) -> list[Any]:
        status = path(
            "<path:object_id>/status/",
            self.admin_site.admin_view(self.status_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_status",
        )
        return [status, *super().get_urls()]

    def status_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Suspend, resume or maintain a tenant: what its page's buttons post to."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        tenant = self.found(request, object_id)
        if not self.has_change_permission(request, tenant):
            raise PermissionDenied
        transition = TRANSITIONS.get(request.POST.get("transition", ""))
        if transition is not None and self._change_status(request, tenant, transition):
            self.message_user(request, f"{tenant}: {transition.entry}", messages.SUCCESS)
        return HttpResponseRedirect(self.url("change", tenant.pk))

    @admin.action(permissions=["change"], description=_("Resume selected %(verbose_name_plural)s"))
    def resume(self, request: HttpRequest, queryset: Any) -> None:
        self._change_all(request, queryset, TRANSITIONS["resume"])

    @admin.action(
        permissions=["change"],
        description=_("Put selected %(verbose_name_plural)s under maintenance"),
    )
    def maintain(self, request: HttpRequest, queryset: Any) -> None:
        self._change_all(request, queryset, TRANSITIONS["maintain"])

    @admin.action(permissions=["change"], description=_("Suspend selected %(verbose_name_plural)s"))
    def suspend(self, request: HttpRequest, queryset: Any) -> None:
        self._change_all(request, queryset, TRANSITIONS["suspend"])

    def _change_all(self, request: HttpRequest, queryset: Any, transition: Transition) -> None:
        changed = [
            str(tenant) for tenant in queryset if self._change_status(request, tenant, transition)
        ]
        if changed:
            self.message_user(
                request, f"{', '.join(changed)}: {transition.entry}", messages.SUCCESS
            )

    def _change_status(self, request: HttpRequest, tenant: Any, transition: Transition) -> bool:
        try:
            transition.change(tenant)
        except DomicileError as error:
            self.message_user(request, str(error), messages.ERROR)
            return False
        self.log_change(request, tenant, transition.entry)
        return True
