"""What the parts of the tenant admin have in common."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest
from django.urls import reverse


class TenantPages(admin.ModelAdmin):
    """Finds tenants and the addresses of their pages."""

    def found(self, request: HttpRequest, object_id: str) -> Any:
        """Return the tenant that an address names; 404 where there is none."""
        tenant = self.get_object(request, unquote(object_id))
        if tenant is None:
            raise Http404(f"There is no {self.opts.verbose_name} {unquote(object_id)!r}.")
        return tenant

    def url(self, page: str, pk: Any = None) -> str:
        """Return the address of a page, of the tenant of that key if it is one of a tenant."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"
        args = [] if pk is None else [quote(pk)]
        return reverse(name, args=args, current_app=self.admin_site.name)
