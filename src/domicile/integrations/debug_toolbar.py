"""A panel for django-debug-toolbar: which routes the request's statements took.

Add `"domicile.integrations.debug_toolbar.RoutesPanel"` to `DEBUG_TOOLBAR_PANELS`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from asgiref.sync import sync_to_async
from debug_toolbar.panels import Panel
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from domicile.recording import Recorder


class RoutesPanel(Panel):
    """Lists them by model: where each went, by which rule, how often, and for how long."""

    is_async = True
    title = _("Databases")
    nav_title = _("Databases")
    template = "domicile/debug_toolbar/routes.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.recorder = Recorder()

    @property
    def nav_subtitle(self) -> str:
        count = len({each["alias"] for each in self.get_stats().get("routes", ())})
        return ngettext("%(count)d database", "%(count)d databases", count) % {"count": count}

    def enable_instrumentation(self) -> None:
        self.recorder.start()

    async def aenable_instrumentation(self) -> None:
        # In the thread that sends the statements of async code.
        await sync_to_async(self.recorder.start)()

    def disable_instrumentation(self) -> None:
        self.recorder.stop()

    def generate_stats(self, request: HttpRequest, response: HttpResponseBase) -> None:
        taken = self.recorder.taken()
        routes = [{**asdict(each), "operation": each.operation} for each in taken]
        self.record_stats({"routes": routes})
