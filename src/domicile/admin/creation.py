"""Creating a tenant, with its progress on the page."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from django.contrib.admin.options import IS_POPUP_VAR, TO_FIELD_VAR
from django.contrib.admin.utils import quote
from django.http import HttpRequest, QueryDict
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from domicile.admin.base import TenantPages
from domicile.admin.forms import AGAIN
from domicile.admin.progress import Creation, Outcome, ProgressPage
from domicile.context import no_tenant
from domicile.fleet import creation
from domicile.fleet.migrations import Progress
from domicile.models import Tenant

logger = logging.getLogger("domicile.admin")

#: Fields that belong to Domicile; all others are the project's.
OWN_FIELDS = frozenset(field.name for field in Tenant._meta.local_fields)


class CreateAdmin(TenantPages):
    """Creates tenants where Django would insert their rows.

    Django saves what a form holds in a transaction, in which a database could not be made. So its
    hooks that save do nothing for a new tenant; the work begins with the response.
    """

    progress_template = "admin/domicile/progress.html"
    outcome_template = "admin/domicile/outcome.html"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            obj.form = form

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        if form.instance.pk is not None:
            super().save_related(request, form, formsets, change)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None if obj.pk is None else super().log_addition(request, obj, message)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> Any:
        @no_tenant()
        def work(progress: Progress) -> Outcome:
            tenant = self.create(obj.form, progress)
            return Outcome(tenant, self._failure_to_record(request, obj.form, tenant))

        return self._progress_page(request, obj).response(request, Creation(work))

    def create(self, form: Any, progress: Progress) -> Any:
        """Create the tenant of a valid form. Called in a thread, in no transaction."""
        return creation.create_tenant(
            form.cleaned_data["slug"],
            name=form.cleaned_data["name"],
            placement=form.cleaned_data["placement"],
            domains=form.cleaned_data["domains"],
            progress=progress,
            **{
                field.attname: getattr(form.instance, field.attname)
                for field in self.project_fields()
            },
        )

    def _failure_to_record(self, request: HttpRequest, form: Any, tenant: Any) -> Exception | None:
        form.instance = tenant
        message = self.construct_change_message(request, form, [], add=True)
        try:
            self.save_related(request, form, [], change=False)
            self.log_addition(request, tenant, message)
        except Exception as error:
            logger.exception("Tenant %s was created, but not recorded.", tenant.slug)
            return error
        return None

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, *args: Any, **kwargs: Any
    ) -> Any:
        if add:
            context.update(show_save_and_add_another=False, show_save_and_continue=False)
        return super().render_change_form(request, context, add, *args, **kwargs)

    def project_fields(self) -> list[Any]:
        """Return the columns that a project added to the tenant model."""
        return [
            field
            for field in self.opts.concrete_fields
            if field.name not in OWN_FIELDS and not field.primary_key
        ]

    def _progress_page(self, request: HttpRequest, tenant: Any) -> ProgressPage:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "add": True,
            # Its script runs when a page is complete.
            "is_nav_sidebar_enabled": False,
            "title": _("Creating %s") % tenant,
            "opts": self.opts,
            "media": self.media,
            "is_popup": IS_POPUP_VAR in request.POST,
            "has_view_permission": self.has_view_permission(request),
        }
        page = render_to_string(self.progress_template, context, request)
        return ProgressPage(page, self._outcome_writer(request))

    def _outcome_writer(self, request: HttpRequest) -> Callable[[Outcome], str]:
        context = {
            "opts": self.opts,
            "is_popup": IS_POPUP_VAR in request.POST,
            "can_change": self.has_view_or_change_permission(request),
            "changelist_url": self.url("changelist"),
            "add_url": request.get_full_path(),
            "csrf_token": get_token(request),
            "values": _values(request.POST),
        }
        change_url, key = self.url("change", "__fk__"), request.POST.get(TO_FIELD_VAR) or "pk"

        def write(outcome: Outcome) -> str:
            tenant, context["outcome"] = outcome.tenant, outcome
            if tenant is not None:
                chosen = {"value": str(tenant.serializable_value(key)), "obj": str(tenant)}
                context["popup_response"] = json.dumps(chosen)
                context["change_url"] = change_url.replace(quote("__fk__"), str(quote(tenant.pk)))
            return render_to_string(self.outcome_template, context)

        return write


def _values(data: QueryDict) -> list[tuple[str, str]]:
    """Return what was sent, to be sent again."""
    own = ("csrfmiddlewaretoken", AGAIN)
    return [(key, str(each)) for key, all_ in data.lists() if key not in own for each in all_]
