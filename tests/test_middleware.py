"""The middleware under WSGI and ASGI, by Django's own handlers; tests of streams use them bare."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
)
from django.test import Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import get_script_prefix, path

from domicile import current_tenant
from domicile.exceptions import UnknownTenant
from domicile.middleware import TenantMiddleware
from domicile.models import Status
from domicile.registry import registry
from domicile.resolvers import Found, Resolver
from tests.tenants import domicile_settings, row, tenant
from tests.testproject.students.models import Student
from tests.visits import AsgiServer, active

pytestmark = pytest.mark.django_db(transaction=True)

MIDDLEWARE = ["domicile.middleware.TenantMiddleware"]


# Views -------------------------------------------------------------------------------------------

#: What views and streams saw, in order.
seen: list[Any] = []


def who(request: HttpRequest) -> HttpResponse:
    assert request.tenant == current_tenant()  # type: ignore[attr-defined]
    return HttpResponse(f"{active()} {connection.alias}")


async def awho(request: HttpRequest) -> HttpResponse:
    return who(request)


def boom(request: HttpRequest) -> HttpResponse:
    seen.append(active())
    raise ZeroDivisionError


async def enroll(request: HttpRequest) -> HttpResponse:
    """Django's asynchronous ORM, and its synchronous one in a thread."""
    await Student.objects.acreate(registration="1", name="Ama", home=active())
    count = await sync_to_async(Student.objects.filter(home=active()).count)()
    return HttpResponse(f"{active()} {count}")


def commit(request: HttpRequest) -> HttpResponse:
    seen.append(connection.in_atomic_block)
    Student.objects.create(registration="1", name="Ama", home=active())
    transaction.on_commit(lambda: seen.append((active(), Student.objects.count())))
    if "fail" in request.GET:
        raise ZeroDivisionError
    return HttpResponse(str(connections["shared"].in_atomic_block))


urlpatterns = [
    path("", who),
    path("who/", who),
    path("awho/", awho),
    path("boom/", boom),
    path("enroll/", enroll),
    path("commit/", commit),
]


class Public:
    """A URLconf of its own for public hosts."""

    urlpatterns = [path("", lambda request: HttpResponse(f"public {active()} {request.tenant}"))]


# Middleware --------------------------------------------------------------------------------------


def raising(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Inside of `TenantMiddleware`; raises on the way out."""

    def middleware(request: HttpRequest) -> Any:
        get_response(request)
        seen.append(active())
        raise ZeroDivisionError

    return middleware


class OwnAnswers(TenantMiddleware):
    def unknown_tenant(self, request: HttpRequest, error: UnknownTenant) -> HttpResponseBase:
        return HttpResponse(f"unknown: {error}", status=404)

    def suspended(self, request: HttpRequest, tenant: Any) -> HttpResponseBase:
        return HttpResponse(f"{tenant} owes us {active()}", status=402)

    def under_maintenance(self, request: HttpRequest, tenant: Any) -> HttpResponseBase:
        return HttpResponse(f"{tenant} sleeps", status=503)


class QueryResolver(Resolver):
    """A resolver of the project's own."""

    def resolve(self, request: HttpRequest) -> Found | None:
        slug = request.GET.get("tenant")
        entry = registry.by_slug(slug) if slug else None
        return Found(entry) if entry else None


# Servers -----------------------------------------------------------------------------------------

Get = Callable[..., HttpResponse]


@pytest.fixture(params=["wsgi", "asgi"])
def get(request: pytest.FixtureRequest) -> Get:
    """A function that sends a request to the handler; the test runs once for each."""

    def get(path: str = "/", host: str = "acme.localhost", **headers: str) -> Any:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if request.param == "asgi":
            return async_to_sync(AsgiServer(path, host, headers).run)()
        client = Client(raise_request_exception=False)
        return client.get(path, headers={"host": host, **headers})

    return get


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    seen.clear()
    registry.clear()
    settings = domicile_settings(SHARED_URLCONF=Public)
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE, DOMICILE=settings):
        yield
    registry.clear()
    assert active() is None
    assert get_script_prefix() == "/"


def text(response: Any) -> str:
    return response.content.decode()


# Who is asked for --------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["/who/", "/awho/"])
def test_a_view_runs_in_the_tenant(get: Get, view: str) -> None:
    row("acme", domains=("uni.example",))
    row("beta")
    assert text(get(view)) == "acme tenant:acme"
    assert text(get(view, host="beta.localhost:8000")) == "beta tenant:beta"
    assert text(get(view, host="UNI.example.")) == "acme tenant:acme"


@pytest.mark.parametrize("host", ["localhost", "testserver", "127.0.0.1:8000"])
def test_public_hosts(get: Get, host: str) -> None:
    assert text(get(host=host)) == "public None None"
    assert get("/who/", host=host).status_code == 404


def test_public_hosts_without_a_urlconf_of_their_own(get: Get) -> None:
    with override_settings(DOMICILE=domicile_settings(SHARED_URLCONF=None)):
        assert text(get("/who/", host="localhost")) == "None default"


@pytest.mark.parametrize(
    "host", ["missing.localhost", "a.acme.localhost", "unknown.example", "[::1]:8000", "10.0.0.1"]
)
def test_unknown_hosts(get: Get, host: str) -> None:
    row("acme")
    assert get(host=host).status_code == 404


@pytest.mark.parametrize("host", ["ac me.localhost", "acme.localhost/", "a'b", 'a"b', "a;b", "a_b"])
def test_hosts_that_are_none(get: Get, host: str) -> None:
    assert get(host=host).status_code == 400


def test_a_host_that_is_not_allowed(get: Get) -> None:
    row("acme", domains=("uni.example",))
    with override_settings(ALLOWED_HOSTS=[".localhost"]):
        assert get(host="uni.example").status_code == 400
        assert get(host="acme.localhost").status_code == 200
        assert text(get(x_forwarded_host="uni.example")) == "acme tenant:acme"


@pytest.mark.parametrize("status", [Status.CREATING, Status.DROPPING])
def test_tenants_that_are_not_complete_are_unknown(get: Get, status: str) -> None:
    row("acme", status)
    assert get().status_code == 404


def test_a_tenant_that_another_process_dropped_is_unknown(get: Get) -> None:
    row("acme")
    assert get("/who/").status_code == 200
    with connection.cursor() as cursor:  # Which this process is not told of.
        cursor.execute("DELETE FROM universities_university")
    assert get("/commit/").status_code == 404


def test_a_home_that_is_gone_is_an_error(get: Get) -> None:
    row("acme")
    assert get("/commit/").status_code == 500


@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.MAINTENANCE])
def test_tenants_that_are_not_served(get: Get, status: str) -> None:
    row("acme", status)
    response = get("/boom/")
    assert response.status_code == 503
    assert response["Retry-After"] == "120"
    assert status in text(response).replace("under maintenance", "maintenance")
    assert not seen
    with override_settings(DOMICILE=domicile_settings(RETRY_AFTER=7)):
        assert get()["Retry-After"] == "7"


@override_settings(MIDDLEWARE=[f"{__name__}.OwnAnswers"])
def test_answers_of_ones_own(get: Get) -> None:
    row("acme", Status.SUSPENDED)
    row("beta", Status.MAINTENANCE)
    assert (get().status_code, text(get())) == (402, "Acme owes us None")
    assert text(get(host="beta.localhost")) == "Beta sleeps"
    assert text(get(host="gamma.localhost")) == "unknown: No tenant is at 'gamma.localhost'."


RESOLVERS = {
    name: f"domicile.resolvers.{name}Resolver" for name in ("Subdomain", "Domain", "Header", "Path")
}


def test_resolvers_are_asked_in_the_order_of_the_settings(get: Get) -> None:
    row("acme")
    row("beta")
    both = {"x_tenant": "beta"}
    for first, second, expected in [
        ("Subdomain", "Header", "acme"),
        ("Header", "Subdomain", "beta"),
    ]:
        resolvers = [RESOLVERS[first], RESOLVERS[second]]
        settings = domicile_settings(RESOLVERS=resolvers, TRUSTED_PROXIES=["127.0.0.1"])
        with override_settings(DOMICILE=settings):
            assert text(get("/who/", **both)) == f"{expected} tenant:{expected}"


def test_a_resolver_of_ones_own(get: Get) -> None:
    row("acme")
    with override_settings(DOMICILE=domicile_settings(RESOLVERS=[f"{__name__}.QueryResolver"])):
        assert text(get("/who/?tenant=acme", host="localhost")) == "acme tenant:acme"
        assert text(get("/?tenant=beta", host="localhost")) == "public None None"


def test_the_header(get: Get) -> None:
    row("acme")
    resolvers = [RESOLVERS["Header"]]
    with override_settings(DOMICILE=domicile_settings(RESOLVERS=resolvers)):
        response = get(host="localhost", x_tenant="acme")
        assert response.status_code == 403
        assert b"acme" not in response.content
    trusting = domicile_settings(RESOLVERS=resolvers, TRUSTED_PROXIES=["127.0.0.0/8"])
    with override_settings(DOMICILE=trusting):
        response = get(host="localhost", x_tenant="acme")
        assert text(response) == "acme tenant:acme"
        assert response["Vary"] == "X-Tenant"
        assert get(host="localhost", x_tenant="missing").status_code == 404


# What stays --------------------------------------------------------------------------------------


def test_nothing_stays_after_an_exception_in_the_view(get: Get) -> None:
    row("acme")
    assert get("/boom/").status_code == 500
    assert seen == ["acme"]


@override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.raising"])
def test_nothing_stays_after_an_exception_in_middleware(get: Get) -> None:
    row("acme")
    assert get("/who/").status_code == 500
    assert seen == ["acme"]


def test_nothing_stays_after_an_unknown_view(get: Get) -> None:
    row("acme")
    assert get("/missing/").status_code == 404


def test_no_queries_in_the_steady_state(get: Get) -> None:
    row("acme", domains=("uni.example",))
    hosts = ("acme.localhost", "uni.example", "localhost", "missing.example")
    for host in hosts:
        get(host=host)
    with CaptureQueriesContext(connections["shared"]) as captured:
        for host in hosts:
            get(host=host)
    assert not captured


def test_requests_at_once_each_have_their_own_tenant() -> None:
    row("acme")
    row("beta")

    async def visit(slug: str) -> str:
        return text(await AsgiServer("/awho/", f"{slug}.localhost").run())

    async def visit_all() -> list[str]:
        return await asyncio.gather(*(visit(slug) for slug in ["acme", "beta"] * 5))

    assert async_to_sync(visit_all)() == ["acme tenant:acme", "beta tenant:beta"] * 5


# Databases ---------------------------------------------------------------------------------------


def test_the_orm_in_asynchronous_views(get: Get) -> None:
    with tenant("acme"), tenant("beta"):
        assert text(get("/enroll/")) == "acme 1"
        assert text(get("/enroll/", host="beta.localhost")) == "beta 1"
        for slug in ("acme", "beta"):
            assert Student.objects.using(f"tenant:{slug}").get().home == slug


@pytest.mark.parametrize("placement", ["schema", "file"])
def test_atomic_requests(get: Get, placement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    with tenant("acme", placement=placement) as acme:
        assert get("/commit/?fail").status_code == 500
        assert Student.objects.using(acme.alias).count() == 0
        assert seen == [True]
        response = get("/commit/")
        assert Student.objects.using(acme.alias).count() == 1
        assert seen == [True, True, ("acme", 1)]
        # A tenant in a file has a transaction of its own; one in a schema shares the session.
        assert text(response) == str(placement == "schema")


def test_on_commit_runs_in_the_tenant(get: Get) -> None:
    with tenant("acme"):
        assert get("/commit/").status_code == 200
    assert seen == [False, ("acme", 1)]


def test_a_database_that_must_be_asked_is_asked_in_a_thread() -> None:
    row("acme")
    registry.clear()
    assert text(async_to_sync(AsgiServer("/awho/").run)()) == "acme tenant:acme"


def test_404_is_raised_where_others_can_see_it() -> None:
    with pytest.raises(Http404, match=r"missing\.localhost"):
        TenantMiddleware(who)(RequestFactory().get("/", HTTP_HOST="missing.localhost"))
