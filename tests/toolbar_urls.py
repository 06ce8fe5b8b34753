"""Addresses of a project with the debug toolbar."""

from debug_toolbar.toolbar import debug_toolbar_urls

from tests.test_recording import urlpatterns as pages

urlpatterns = [*pages, *debug_toolbar_urls()]
