"""What leaks through Django's own caches and stores where tenants are many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client, override_settings
from django.urls import path

import domicile
from domicile.context import Activation
from domicile.integrations.cache import tenant_key
from domicile.placement import Home, Placement
from domicile.registry import registry
from tests.tenants import domicile_settings, row, tenant
from tests.testproject.students.models import Student

pytestmark = pytest.mark.django_db(transaction=True)

User = get_user_model()


# Sessions ----------------------------------------------------------------------------------------


def sign_in(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(username="ama"))
    request.session["basket"] = "a secret"
    return HttpResponse()


def look(request: HttpRequest) -> JsonResponse:
    facts = {"user": request.user.get_username(), "basket": request.session.get("basket")}
    if "write" in request.GET:
        request.session["visits"] = 1
    return JsonResponse(facts)


async def alook(request: HttpRequest) -> JsonResponse:
    user = await request.auser()
    return JsonResponse(
        {"user": user.get_username(), "basket": await request.session.aget("basket")}
    )


urlpatterns = [path("sign-in/", sign_in), path("look/", look), path("alook/", alook)]

ENGINES = ["db", "cached_db", "cache", "signed_cookies", "file"]
KNOWN = {"user": "ama", "basket": "a secret"}
NOBODY = {"user": "", "basket": None}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[str]:
    with override_settings(
        SESSION_ENGINE=f"django.contrib.sessions.backends.{request.param}",
        SESSION_FILE_PATH=str(tmp_path),
        ROOT_URLCONF=__name__,
        DOMICILE=domicile_settings(SHARED_URLCONF=None),
    ):
        registry.clear()
        yield request.param
    caches["default"].clear()


@pytest.fixture
def two_tenants() -> Iterator[None]:
    """With a user of the same key, name and password each: only the home tells them apart."""
    password = "md5$salt$e4f8cb7c3a7b0bbcd8a1bff1fcd6b4c6"
    with tenant("accra"), tenant("kumasi"):
        for slug in ("accra", "kumasi"):
            with domicile.activate(slug):
                User.objects.create(pk=1, username="ama", password=password)
        User.objects.create(pk=1, username="ama", password=password)
        yield


def facts(client: Client, host: str, page: str = "/look/") -> Any:
    return client.get(page, headers={"host": host}).json()


@pytest.mark.usefixtures("two_tenants")
def test_a_session_is_good_at_home_and_nowhere_else(engine: str) -> None:
    accra, kumasi, public = "accra.localhost", "kumasi.localhost", "localhost"
    for home, others in [(accra, (kumasi, public)), (public, (accra, kumasi))]:
        client = Client()
        client.get("/sign-in/", headers={"host": home})
        cookie = client.cookies["sessionid"].value
        assert facts(client, home) == facts(client, home, "/alook/") == KNOWN
        for other in others:
            for page in ("/look/", "/look/?write", "/alook/"):
                client.cookies["sessionid"] = cookie
                assert facts(client, other, page) == NOBODY
            assert client.cookies["sessionid"].value != cookie
        client.cookies["sessionid"] = cookie
        assert facts(client, home) == KNOWN, "it was not its own to spoil"


def test_sessions_are_shared_where_users_are(engine: str) -> None:
    settings = domicile_settings(TENANT_APPS=["students"], SHARED_URLCONF=None)
    with override_settings(DOMICILE=settings):
        User.objects.create(username="ama")
        row("accra")
        row("kumasi")
        client = Client()
        client.get("/sign-in/", headers={"host": "accra.localhost"})
        for host in ("accra.localhost", "kumasi.localhost", "localhost"):
            assert facts(client, host) == facts(client, host, "/alook/") == KNOWN


# Caches ------------------------------------------------------------------------------------------

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "domicile.integrations.cache.tenant_key",
        "KEY_PREFIX": "p",
    }
}


def test_a_cache_is_each_tenants_own() -> None:
    accra, kumasi = row("accra"), row("kumasi")
    with override_settings(CACHES=CACHES):
        cache = caches["default"]
        cache.set("key", "public")
        for tenant in (accra, kumasi):
            with tenant.activate():
                assert cache.get("key") is None
                cache.set("key", tenant.slug)
                cache.set_many({"one": 1})
        with accra.activate():
            assert cache.get("key") == "accra"
            cache.delete("key")
            assert cache.incr("one") == 2
        with kumasi.activate():
            assert cache.get("key") == "kumasi"
            assert cache.get("one") == 1
        assert cache.get("key") == "public"
        assert cache.get("one") is None
        cache.clear()


def key_of(slug: str | None, prefix: str, version: int, key: str) -> str:
    home = None if slug is None else Home(f"tenant:{slug}", Placement("schema", slug))
    with Activation(home):
        return tenant_key(key, prefix, version)


ALIKE = [
    ("a:b", "p", 1, "k"),
    ("a", "b:p", 1, "k"),
    ("a", "b", 1, "p:k"),
    ("a", "b:1", 1, "k"),
    ("a", "b", 1, "1:k"),
    ("a", "b", 11, "k"),
    ("a%3Ab", "p", 1, "k"),
    (None, "a", 1, "k"),
    (None, "a:b:p", 1, "k"),
    (None, "", 1, "a:k"),
    ("a", "", 1, "k"),
    (None, ":a", 1, "k"),
]


def test_no_two_keys_are_one() -> None:
    assert len({key_of(*parts) for parts in ALIKE}) == len(ALIKE)


def test_a_key_can_be_read() -> None:
    assert key_of("accra", "p", 1, "user:7") == "accra:p:1:user:7"
    assert key_of(None, "", 1, "user:7") == "::1:user:7"


# Sites -------------------------------------------------------------------------------------------


@override_settings(SITE_ID=1)
def test_sites() -> None:
    with tenant("accra") as accra, tenant("kumasi") as kumasi:
        Site.objects.update_or_create(pk=1, defaults={"domain": "public", "name": "public"})
        for home in (accra, kumasi):
            with home.activate():
                Site.objects.update_or_create(pk=1, defaults={"domain": home.slug})
                assert Site.objects.get_current().domain == home.slug
        assert Site.objects.get_current().domain == "public"
        with accra.activate():
            assert Site.objects.get_current().domain == "accra"
            site = Site.objects.get()
            site.domain = "accra.example"
            site.save()
            assert Site.objects.get_current().domain == "accra.example"
        with kumasi.activate():
            assert Site.objects.get_current().domain == "kumasi"
        Site.objects.clear_cache()
        with kumasi.activate():
            assert Site.objects.get_current().domain == "kumasi"


# Content types and permissions -------------------------------------------------------------------


def test_content_types_have_the_keys_of_their_home() -> None:
    with tenant("accra") as accra, tenant("kumasi") as kumasi:
        with kumasi.activate():
            old = ContentType.objects.get_for_model(Student)
            Permission.objects.filter(content_type=old).delete()
            ContentType.objects.filter(pk=old.pk).delete()
            ContentType.objects.clear_cache()
            moved = ContentType.objects.create(pk=9999, app_label="students", model="student")
            Permission.objects.create(content_type=moved, codename="rule", name="Rule")
        for home, key in ((accra, None), (kumasi, 9999), (accra, None)):
            with home.activate():
                found = ContentType.objects.get_for_model(Student)
                assert (found.pk == 9999) == (key == 9999)
                assert found._state.db == home.alias
                assert ContentType.objects.get_for_id(found.pk) == found


def test_permissions_are_those_of_the_tenant() -> None:
    with tenant("accra") as accra, tenant("kumasi") as kumasi:
        for home in (accra, kumasi):
            with home.activate():
                User.objects.create(pk=1, username="ama", is_active=True)
        with accra.activate():
            user = User.objects.get()
            user.user_permissions.add(Permission.objects.get(codename="add_student"))
        with kumasi.activate():
            assert not User.objects.get().has_perm("students.add_student")
        with accra.activate():
            assert User.objects.get().has_perm("students.add_student")
