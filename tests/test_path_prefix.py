"""Tenants under a path: what is inside stays inside, and nobody else notices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template import Context, Template
from django.templatetags.static import static
from django.test import override_settings
from django.urls import get_script_prefix, path, reverse, set_script_prefix

from domicile.models import Status
from domicile.registry import registry
from tests.tenants import domicile_settings, row
from tests.visits import AsgiServer, active, wsgi

pytestmark = pytest.mark.django_db(transaction=True)

TEMPLATE = Template("{% load static %}{% url 'page' 7 %} {% static 'a.css' %}")


def page(request: HttpRequest, number: int) -> JsonResponse:
    return JsonResponse(
        {
            "tenant": active(),
            "reverse": reverse("page", args=[number]),
            "template": TEMPLATE.render(Context()),
            "static": static("a.css"),
            "media": settings.MEDIA_URL,
            "path": request.path,
            "path_info": request.path_info,
            "absolute": request.build_absolute_uri(),
            "cookies": request.COOKIES,
        }
    )


def leave(request: HttpRequest) -> HttpResponse:
    return redirect("page", 7)


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse()
    response.set_cookie("all", "1")
    response.set_cookie("narrow", "1", path="/t/acme/students/")
    response.set_cookie("elsewhere", "1", path="/other/")
    response.set_cookie("deployment", "1", path="/campus/")
    response.delete_cookie("old")
    return response


def boom(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


async def apage(request: HttpRequest) -> JsonResponse:
    return page(request, 7)


urlpatterns = [
    path("page/<int:number>/", page, name="page"),
    path("apage/", apage),
    path("leave/", leave),
    path("cookies/", cookies),
    path("boom/", boom),
]


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    registry.clear()
    row("acme")
    row("beta")
    resolvers = [f"domicile.resolvers.{name}Resolver" for name in ("Path", "Subdomain")]
    middleware = [
        "domicile.middleware.TenantMiddleware",
        "django.middleware.common.CommonMiddleware",
    ]
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=middleware,
        DOMICILE=domicile_settings(RESOLVERS=resolvers, SHARED_URLCONF=None),
        STATIC_URL="static/",
        MEDIA_URL="media/",
    ):
        yield
    registry.clear()
    assert get_script_prefix() == "/"
    assert active() is None


Visit = Callable[..., Any]


@pytest.fixture(params=["wsgi", "asgi"])
def visit(request: pytest.FixtureRequest) -> Visit:
    def visit(path: str, cookie: str = "") -> HttpResponse:
        if request.param == "asgi":
            server = AsgiServer(path, "localhost", {"cookie": cookie} if cookie else {})
            return async_to_sync(server.run)()
        response = wsgi(path, "localhost", HTTP_COOKIE=cookie)
        response.close()
        return response

    return visit


def seen(response: Any) -> Any:
    return json.loads(response.content)


def test_urls_stay_inside(visit: Visit) -> None:
    facts = seen(visit("/t/acme/page/7/"))
    assert facts["tenant"] == "acme"
    assert facts["reverse"] == "/t/acme/page/7/"
    assert facts["template"].startswith("/t/acme/page/7/ ")
    assert facts["path"] == "/t/acme/page/7/"
    assert facts["path_info"] == "/page/7/"
    assert facts["absolute"] == "http://localhost/t/acme/page/7/"


def test_asynchronous_views(visit: Visit) -> None:
    assert seen(visit("/t/beta/apage/"))["reverse"] == "/t/beta/page/7/"


@pytest.mark.parametrize("path", ["/t/acme/leave/", "/t/acme/page/7"])
def test_redirects_stay_inside(visit: Visit, path: str) -> None:
    assert visit(path)["Location"] == "/t/acme/page/7/"


def test_static_and_media_urls_are_not_the_tenants(visit: Visit) -> None:
    for prefix in ("/t/acme", "", "/t/beta"):
        facts = seen(visit(f"{prefix}/page/7/"))
        assert facts["static"] == "/static/a.css"
        assert facts["template"].endswith(" /static/a.css")
        assert facts["media"] == "/media/"


def test_the_public_pages_are_outside(visit: Visit) -> None:
    visit("/t/acme/page/7/")
    facts = seen(visit("/page/7/"))
    assert facts["tenant"] is None
    assert facts["reverse"] == "/page/7/"


def test_the_prefix_is_restored_after_errors(visit: Visit) -> None:
    assert visit("/t/acme/boom/").status_code == 500
    assert get_script_prefix() == "/"
    assert visit("/t/acme/missing/").status_code == 404
    assert seen(visit("/page/7/"))["reverse"] == "/page/7/"


def test_unknown_and_suspended_tenants(visit: Visit) -> None:
    row("gamma", Status.SUSPENDED)
    assert visit("/t/gamma/page/7/").status_code == 503
    assert visit("/t/missing/page/7/").status_code == 404
    assert visit("/t/../page/7/").status_code == 404
    assert get_script_prefix() == "/"


def test_cookies_are_narrowed(visit: Visit) -> None:
    assert paths_of_cookies(visit("/t/acme/cookies/")) == {
        "all": "/t/acme/",
        "old": "/t/acme/",
        "narrow": "/t/acme/students/",
        "elsewhere": "/other/",
        "deployment": "/campus/",
    }
    paths = paths_of_cookies(visit("/cookies/"))
    assert paths["all"] == paths["old"] == "/"


def paths_of_cookies(response: Any) -> dict[str, str]:
    return {name: morsel["path"] for name, morsel in response.cookies.items()}


def test_of_two_cookies_the_tenants_counts(visit: Visit) -> None:
    """A browser sends the one of the longer path first."""
    both = "sessionid=tenants; theme=dark; sessionid=public"
    expected = {"sessionid": "tenants", "theme": "dark"}
    assert seen(visit("/t/acme/page/7/", cookie=both))["cookies"] == expected
    assert seen(visit("/page/7/", cookie=both))["cookies"]["sessionid"] == "public"


# A deployment under a path of its own ------------------------------------------------------------


def below_campus(path: str) -> Any:
    response = wsgi(path, "localhost", SCRIPT_NAME="/campus")
    response.close()
    # Django leaves the prefix of the last request to the thread.
    assert get_script_prefix() == "/campus/"
    set_script_prefix("/")
    return response


def test_script_name_is_kept() -> None:
    facts = seen(below_campus("/t/acme/page/7/"))
    assert facts["tenant"] == "acme"
    assert facts["reverse"] == "/campus/t/acme/page/7/"
    assert facts["path"] == "/campus/t/acme/page/7/"
    assert facts["path_info"] == "/page/7/"
    assert facts["static"] == "/campus/static/a.css"
    assert facts["media"] == "/campus/media/"
    assert below_campus("/t/acme/leave/")["Location"] == "/campus/t/acme/page/7/"
    facts = seen(below_campus("/page/7/"))
    assert facts["reverse"] == "/campus/page/7/"
    assert facts["static"] == "/campus/static/a.css"


def test_cookies_of_a_deployment_are_narrowed() -> None:
    paths = paths_of_cookies(below_campus("/t/acme/cookies/"))
    assert paths["all"] == paths["deployment"] == "/campus/t/acme/"
    assert paths["elsewhere"] == "/other/"


def test_tenants_with_a_host_of_their_own_have_no_prefix() -> None:
    response = wsgi("/page/7/", "beta.localhost")
    response.close()
    assert seen(response)["reverse"] == "/page/7/"
