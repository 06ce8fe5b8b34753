"""Addresses of a project with the debug toolbar."""

from debug_toolbar.toolbar import debug_toolbar_urls

from tests.recorded_urls import urlpatterns as pages

urlpatterns = [*pages, *debug_toolbar_urls()]
