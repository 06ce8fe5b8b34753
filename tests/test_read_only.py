"""A read-only site, by Django's own handlers: whoever would write gets a 503."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import sync_and_async_middleware, sync_only_middleware

import domicile
from domicile.replicas.middleware import ReadYourWritesMiddleware
from tests.tenants import domicile_settings
from tests.testproject.people.models import Person
from tests.visits import AsgiServer, wsgi

pytestmark = pytest.mark.django_db(transaction=True)

OURS = "domicile.replicas.middleware.ReadYourWritesMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


def write() -> None:
    Person.objects.create(name="Ama")


# Views and middlewares ---------------------------------------------------------------------------


def reads(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{Person.objects.count()}")


def writes(request: HttpRequest) -> HttpResponse:
    write()
    return HttpResponse()


async def awrites(request: HttpRequest) -> HttpResponse:
    await Person.objects.acreate(name="Ama")
    return HttpResponse()


def logs_in(request: HttpRequest) -> HttpResponse:
    """The session is saved by its middleware, when the view is done."""
    request.session["user"] = 1
    return HttpResponse()


def fails(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


def is_refused(request: HttpRequest) -> HttpResponse:
    with domicile.writes_prevented("Not here."):
        write()
    return HttpResponse()


urlpatterns = [
    path("reads/", reads),
    path("writes/", writes),
    path("awrites/", awrites),
    path("logs-in/", logs_in),
    path("fails/", fails),
    path("is-refused/", is_refused),
]


@sync_only_middleware
def writes_before(get_response: Callable[[HttpRequest], Any]) -> Any:
    def middleware(request: HttpRequest) -> Any:
        write()
        return get_response(request)

    return middleware


@sync_and_async_middleware
def writes_after(get_response: Any) -> Any:
    if not asyncio.iscoroutinefunction(get_response):

        def middleware(request: HttpRequest) -> Any:
            response = get_response(request)
            write()
            return response

        return middleware

    async def amiddleware(request: HttpRequest) -> Any:
        response = await get_response(request)
        await Person.objects.acreate(name="Ama")
        return response

    return amiddleware


class WritesForTheView:
    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_view(self, *args: Any) -> None:
        write()


class Plain(ReadYourWritesMiddleware):
    """Says it its own way."""

    def read_only(self, request: HttpRequest, refusal: str) -> HttpResponse:
        return HttpResponse(refusal.encode(), status=503, headers={"Retry-After": "7"})


# Tests -------------------------------------------------------------------------------------------


@pytest.fixture(params=["wsgi", "asgi"])
def get(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    async def aget(url: str) -> Any:
        try:
            return await AsgiServer(url).run()
        finally:
            await sync_to_async(connections.close_all)()

    return wsgi if request.param == "wsgi" else lambda url: asyncio.run(aget(url))


@pytest.fixture
def site(settings: Any, caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.CRITICAL, "django.request")
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [OURS]
    settings.DOMICILE = domicile_settings(READ_ONLY=True)
    return settings


def of_ours(name: str) -> str:
    return f"{__name__}.{name}"


@pytest.mark.parametrize(
    ("url", "middleware"),
    [
        ("/writes/", []),
        ("/awrites/", []),
        ("/reads/", [of_ours("writes_before")]),
        ("/reads/", [of_ours("writes_after")]),
        ("/reads/", [of_ours("WritesForTheView")]),
        ("/reads/", ["django.middleware.common.CommonMiddleware", of_ours("writes_after")]),
        ("/reads/", ["domicile.middleware.TenantMiddleware", of_ours("writes_before")]),
        ("/logs-in/", [SESSIONS]),
    ],
)
def test_whoever_would_write_is_told_to_come_back(
    site: Any, get: Callable[[str], Any], url: str, middleware: list[str]
) -> None:
    site.MIDDLEWARE = [OURS, *middleware]
    site.DOMICILE = {
        **site.DOMICILE,
        "SHARED_URLCONF": __name__,
        "PUBLIC_HOSTS": ["acme.localhost"],
    }
    response = get(url)
    assert (response.status_code, response["Retry-After"]) == (503, "120")
    assert b"".join(response) == b"The site is read-only for a while. Please come back later.\n"
    assert not Person.objects.exists()


def test_debugging_shows_no_other_page(site: Any) -> None:
    site.DEBUG = True
    site.MIDDLEWARE = [OURS, of_ours("writes_after")]
    assert wsgi("/reads/").status_code == 503


def test_whoever_reads_is_served(site: Any, get: Callable[[str], Any]) -> None:
    site.MIDDLEWARE = [OURS, SESSIONS]
    assert b"".join(get("/reads/")) == b"0"


def test_subclass_answers_for_middlewares_too(site: Any, get: Callable[[str], Any]) -> None:
    site.MIDDLEWARE = [of_ours("Plain"), of_ours("writes_after")]
    assert get("/reads/")["Retry-After"] == "7"


def test_other_errors_stay_what_they_are(site: Any, get: Callable[[str], Any]) -> None:
    assert get("/fails/").status_code == 500
    with override_settings(DOMICILE=domicile_settings(READ_ONLY=False)):
        assert get("/is-refused/").status_code == 500
        assert get("/writes/").status_code == 200
