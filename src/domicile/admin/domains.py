"""Domains in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from domicile.admin.forms import hosts_of
from domicile.fleet.lifecycle import rename_tenant
from domicile.placement import SHARED_ALIAS
from domicile.registry import tenant_model


class DomainAdmin(admin.ModelAdmin):
    """For a project's domain model. Each tenant that has domains has one primary one."""

    list_display = ("host", "tenant", "is_primary")
    list_filter = ("is_primary",)
    list_select_related = ("tenant",)
    ordering = ("host",)
    search_fields = ("host", "tenant__slug", "tenant__name")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if obj is None else (*fields, "tenant")

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        fields = super().get_autocomplete_fields(request)
        return (*fields, "tenant") if self.admin_site.is_registered(tenant_model()) else fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        _settle(obj.tenant, first=obj.host if obj.is_primary else "")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        super().delete_model(request, obj)
        _settle(obj.tenant)

    @transaction.atomic(using=SHARED_ALIAS)
    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        tenants = {domain.tenant for domain in queryset.select_related("tenant")}
        super().delete_queryset(request, queryset)
        for tenant in tenants:
            _settle(tenant)


def _settle(tenant: Any, first: str = "") -> None:
    """Make `first`, or else the one that comes first, the primary domain and no other."""
    hosts = sorted(hosts_of(tenant), key=lambda host: host != first)
    rename_tenant(tenant, domains=hosts)
