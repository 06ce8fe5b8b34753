from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import DisallowedHost, PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.test import RequestFactory, override_settings

from domicile.exceptions import UnknownTenant, UntrustedHeader
from domicile.models import RegistryVersion
from domicile.registry import registry
from domicile.resolvers import (
    DomainResolver,
    Found,
    HeaderResolver,
    PathResolver,
    Resolver,
    SessionResolver,
    SubdomainResolver,
    UserResolver,
    by_host_alone,
    host_of,
    resolved,
)
from tests.tenants import domicile_settings, row

HOST = "uni.example"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def tenants(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two rows, which the registry has looked at last: a look in a test's midst finds no change."""
    registry.clear()
    row("acme", domains=("uni.example", "münchen.example"))
    row("beta", domains=("beta.example",))
    monkeypatch.setattr(registry, "_next_look", 0.0)
    registry.by_slug("nobody")
    yield
    registry.clear()


def request(
    path: str = "/", *, host: str = "localhost", peer: str = "", **meta: Any
) -> HttpRequest:
    return RequestFactory().get(path, HTTP_HOST=host, REMOTE_ADDR=peer, **meta)


def slug(found: Found | None) -> str | None:
    return None if found is None else found.entry.home.slug


# Hosts -------------------------------------------------------------------------------------------

SUBDOMAINS = {
    "acme.localhost": "acme",
    "ACME.LocalHost": "acme",
    "acme.localhost:8000": "acme",
    "acme.localhost.": "acme",
    "acme.localhost.:8000": "acme",
    "acme.campus.example": "acme",
    "beta.localhost": "beta",
    "localhost": None,
    "campus.example": None,
    "missing.localhost": None,
    "www.acme.localhost": None,
    "xn--acme-9k6d.localhost": None,
    "acmelocalhost": None,
    "acme.localhost.evil.example": None,
    "uni.example": None,
    "127.0.0.1": None,
    "[::1]:8000": None,
}


@pytest.mark.parametrize(("host", "expected"), SUBDOMAINS.items())
@override_settings(DOMICILE=domicile_settings(BASE_DOMAINS=["localhost", "Campus.Example"]))
def test_subdomain(host: str, expected: str | None) -> None:
    assert slug(SubdomainResolver().resolve(request(host=host))) == expected


DOMAINS = {
    "uni.example": "acme",
    "UNI.Example": "acme",
    "uni.example:443": "acme",
    "uni.example.": "acme",
    "xn--mnchen-3ya.example": "acme",
    "XN--MNCHEN-3YA.example": "acme",
    "beta.example": "beta",
    "sub.uni.example": None,
    "ni.example": None,
    "example": None,
    "localhost": None,
    "acme.localhost": None,
    "127.0.0.1": None,
    "[::1]": None,
    "[::1]:8000": None,
}


@pytest.mark.parametrize(("host", "expected"), DOMAINS.items())
def test_domain(host: str, expected: str | None) -> None:
    assert slug(DomainResolver().resolve(request(host=host))) == expected


@pytest.mark.parametrize("resolver", [SubdomainResolver, DomainResolver])
@pytest.mark.parametrize(
    "host", ["", " ", "acme.localhost/..", "a@b", "[::1", "ac\0me.localhost", "acme.localhost\n"]
)
def test_hosts_that_are_none(resolver: type[Resolver], host: str) -> None:
    with pytest.raises(DisallowedHost):
        resolver().resolve(request(host=host))


@pytest.mark.parametrize("resolver", [SubdomainResolver, DomainResolver])
@pytest.mark.parametrize(
    "host", [f"{'x' * 64}.localhost", "acme..localhost", ".localhost", "xn--uni-.a"]
)
def test_hosts_that_nobody_can_have(resolver: type[Resolver], host: str) -> None:
    with pytest.raises(UnknownTenant, match="is not a host name"):
        resolver().resolve(request(host=host))


def test_a_host_that_is_not_allowed() -> None:
    with override_settings(ALLOWED_HOSTS=[".campus.example"]), pytest.raises(DisallowedHost):
        DomainResolver().resolve(request(host="uni.example"))


def test_forwarded_host_only_where_the_project_says_so() -> None:
    visit = request(host="localhost", HTTP_X_FORWARDED_HOST="uni.example")
    assert DomainResolver().resolve(visit) is None
    with override_settings(USE_X_FORWARDED_HOST=True):
        assert slug(DomainResolver().resolve(visit)) == "acme"


# Header ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.1.2.3"])
def test_header_of_a_trusted_peer(peer: str) -> None:
    networks = ["127.0.0.1/32", "10.0.0.1/8", "::1"]
    with override_settings(DOMICILE=domicile_settings(TRUSTED_PROXIES=networks)):
        found = HeaderResolver().resolve(request(peer=peer, HTTP_X_TENANT="acme"))
    assert slug(found) == "acme"
    assert found is not None
    assert found.vary == ("X-Tenant",)


@pytest.mark.parametrize(
    "peer", ["192.0.2.1", "127.0.0.2", "::2", "", "unix:", "127.0.0.1, 10.0.0.1"]
)
@pytest.mark.parametrize("value", ["acme", "missing", ""])
def test_header_of_an_untrusted_peer(peer: str, value: str) -> None:
    with (
        override_settings(DOMICILE=domicile_settings(TRUSTED_PROXIES=["127.0.0.1/32"])),
        pytest.raises(UntrustedHeader, match="X-Tenant") as raised,
    ):
        HeaderResolver().resolve(
            request(peer=peer, HTTP_X_TENANT=value, HTTP_X_FORWARDED_FOR="127.0.0.1")
        )
    assert isinstance(raised.value, PermissionDenied)


def test_nobody_is_trusted_by_default() -> None:
    with pytest.raises(UntrustedHeader):
        HeaderResolver().resolve(request(peer="127.0.0.1", HTTP_X_TENANT="acme"))
    assert HeaderResolver().resolve(request(peer="127.0.0.1")) is None


@pytest.mark.parametrize(
    "value", ["missing", "", "ACME", "acme ", "acme,beta", "../acme", "a\0b", "é"]
)
def test_header_that_names_nobody(value: str) -> None:
    with (
        override_settings(DOMICILE=domicile_settings(TRUSTED_PROXIES=["127.0.0.1"])),
        pytest.raises(UnknownTenant),
    ):
        HeaderResolver().resolve(request(peer="127.0.0.1", HTTP_X_TENANT=value))


def test_header_of_another_name() -> None:
    changes = {"HEADER": "X-University", "TRUSTED_PROXIES": ["127.0.0.1"]}
    with override_settings(DOMICILE=domicile_settings(**changes)):
        resolver = HeaderResolver()
        assert resolver.resolve(request(peer="127.0.0.1", HTTP_X_TENANT="acme")) is None
        visit = request(peer="127.0.0.1", HTTP_X_UNIVERSITY="beta")
        assert slug(resolver.resolve(visit)) == "beta"


# Path --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/t/acme/", ("acme", "/t/acme")),
        ("/t/acme/students/?page=2", ("acme", "/t/acme")),
        ("/t/%61cme/students/", ("acme", "/t/acme")),
        ("/t/acme//", ("acme", "/t/acme")),
        ("/", None),
        ("/t", None),
        ("/t/", None),
        ("/t/acme", None),
        ("/T/acme/", None),
        ("//t/acme/", None),
        ("/students/t/acme/", None),
    ],
)
def test_path(path: str, expected: tuple[str, str] | None) -> None:
    found = PathResolver().resolve(request(path))
    assert (found and (slug(found), found.prefix)) == expected


@pytest.mark.parametrize(
    "name",
    ["missing", "..", "%2e%2e", "ACME", "acme%0a", "acme%20", "a%00b", "%D0%B0cme", "", "%ff"],
)
def test_path_that_names_nobody(name: str) -> None:
    with pytest.raises(UnknownTenant):
        PathResolver().resolve(request(f"/t/{name}/students/"))


@pytest.mark.parametrize("prefix", ["universities", "/universities/", "a/b"])
def test_path_prefix(prefix: str) -> None:
    with override_settings(DOMICILE=domicile_settings(PATH_PREFIX=prefix)):
        found = PathResolver().resolve(request(f"/{prefix.strip('/')}/acme/"))
        assert slug(found) == "acme"
        assert PathResolver().resolve(request("/t/acme/")) is None


# Session and user --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ({"tenant": "acme"}, "acme"),
        ({}, None),
        ({"tenant": "missing"}, None),
        ({"tenant": "acme\n"}, None),
        ({"tenant": None}, None),
        ({"tenant": ["acme"]}, None),
        ({"other": "acme"}, None),
    ],
)
def test_session(session: dict[str, Any], expected: str | None) -> None:
    visit = request()
    visit.session = session  # type: ignore[assignment]
    found = SessionResolver().resolve(visit)
    assert slug(found) == expected
    assert found is None or found.vary == ("Cookie",)


class Visitor:
    def __init__(self, tenant: Any) -> None:
        self.tenant = tenant


class Named:
    slug = "beta"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (Visitor("acme"), "acme"),
        (Visitor(Named()), "beta"),
        (Visitor(None), None),
        (Visitor("missing"), None),
        (Visitor(7), None),
        (object(), None),
    ],
)
def test_user(user: Any, expected: str | None) -> None:
    visit = request()
    visit.user = user
    found = UserResolver().resolve(visit)
    assert slug(found) == expected
    assert found is None or found.vary == ("Cookie",)


def test_keys_of_session_and_user() -> None:
    changes = {"SESSION_KEY": "university", "USER_ATTRIBUTE": "university"}
    visit = request()
    visit.session = {"university": "acme"}  # type: ignore[assignment]
    visit.user = type("User", (), {"university": "beta"})()
    with override_settings(DOMICILE=domicile_settings(**changes)):
        assert slug(SessionResolver().resolve(visit)) == "acme"
        assert slug(UserResolver().resolve(visit)) == "beta"


# One's own ---------------------------------------------------------------------------------------


def test_the_base_class_asks_for_resolve() -> None:
    with pytest.raises(TypeError, match="resolve"):
        Resolver()  # type: ignore[abstract]


# What is remembered ------------------------------------------------------------------------------


@pytest.mark.parametrize("resolver", [SubdomainResolver(), DomainResolver()])
def test_a_tenant_found_by_the_host_alone_is_remembered(resolver: Resolver, monkeypatch) -> None:
    visit = request(host="acme.localhost" if isinstance(resolver, SubdomainResolver) else HOST)
    assert resolved([resolver], visit) is resolved([], visit) is not None
    registry.announce()
    assert resolved([], visit) is None


def test_a_host_is_remembered_while_it_is_allowed() -> None:
    visit = request(host=HOST)
    with override_settings(ALLOWED_HOSTS=[HOST]):
        assert resolved([DomainResolver()], visit) is not None
    with override_settings(ALLOWED_HOSTS=["beta.example"]), pytest.raises(DisallowedHost):
        resolved([DomainResolver()], visit)


def test_a_server_that_was_sent_no_host_answers_for_its_own() -> None:
    for server, expected in ((HOST, "acme"), ("beta.example", "beta")):
        visit = RequestFactory().get("/", SERVER_NAME=server)
        assert "HTTP_HOST" not in visit.META
        assert slug(resolved([DomainResolver()], visit)) == expected


def test_forwarded_hosts_are_not_remembered_by_what_was_sent() -> None:
    with override_settings(USE_X_FORWARDED_HOST=True):
        for forwarded, expected in ((HOST, "acme"), ("beta.example", "beta")):
            visit = request(host="front.example", HTTP_X_FORWARDED_HOST=forwarded)
            assert slug(resolved([DomainResolver()], visit)) == expected


def test_resolvers_that_come_first_are_asked_each_time() -> None:
    visit = request(host=HOST, path="/t/beta/")
    resolvers: list[Resolver] = [PathResolver(), DomainResolver()]
    assert slug(resolved(resolvers, request(host=HOST))) == "acme"
    assert slug(resolved(resolvers, visit)) == "beta"


def test_a_resolver_that_looks_at_more_is_asked_each_time() -> None:
    class Pages(DomainResolver):
        def resolve(self, request: HttpRequest) -> Found | None:
            return super().resolve(request) if request.path == "/" else None

    assert slug(resolved([Pages()], request(host=HOST))) == "acme"
    assert resolved([Pages()], request("/about/", host=HOST)) is None


def test_what_an_open_transaction_sees_is_not_remembered() -> None:
    visit = request(host="late.example")
    with transaction.atomic():
        row("late", domains=("late.example",))
        assert slug(resolved([DomainResolver()], visit)) == "late"
        transaction.set_rollback(True)
    assert resolved([DomainResolver()], visit) is None


def test_a_change_that_is_announced_meanwhile_is_not_missed() -> None:
    class Slow(DomainResolver):
        pass

    @by_host_alone
    def resolve(self: Any, request: HttpRequest) -> Found | None:
        found = DomainResolver.resolve(self, request)
        registry.announce()
        return found

    Slow.resolve = resolve  # type: ignore[method-assign]
    visit = request(host=HOST)
    assert resolved([Slow()], visit) is not None
    assert resolved([], visit) is None


def test_what_is_remembered_is_as_true_as_what_is_known(monkeypatch) -> None:
    visit = request(host=HOST)
    monkeypatch.setattr(registry, "_next_look", float("inf"))
    assert resolved([DomainResolver()], visit) is resolved([], visit) is not None
    RegistryVersion.bump()  # As another process does.
    assert resolved([], visit) is not None
    monkeypatch.setattr(registry, "_next_look", 0.0)
    assert resolved([], visit) is None


def test_no_more_hosts_are_remembered_than_tenants() -> None:
    with override_settings(DOMICILE=domicile_settings(REGISTRY_SIZE=1)):
        for host in (HOST, "beta.example"):
            assert resolved([DomainResolver()], request(host=host)) is not None
        assert list(registry.known.doors) == ["beta.example"]


def test_a_host_once_let_in_is_let_in_only_as_long_as_the_settings_say(rf):
    request = rf.get("/", headers={"host": "Uni.Example:8000"})
    with override_settings(ALLOWED_HOSTS=[".uni.example"]):
        assert [host_of(request), host_of(request)] == ["uni.example", "uni.example"]
    with override_settings(ALLOWED_HOSTS=[".other.example"]), pytest.raises(DisallowedHost):
        host_of(request)


def test_a_list_of_hosts_of_the_projects_own_class_is_asked_each_time(rf):
    class Hosts(list):
        """Lets each host in as often as it has it."""

        def __iter__(self):
            if self:
                yield self.pop()

    with override_settings(ALLOWED_HOSTS=Hosts([HOST, HOST])):
        request = rf.get("/", headers={"host": HOST})
        for _ in range(2):
            assert slug(resolved([DomainResolver()], request)) == "acme"
        with pytest.raises(DisallowedHost):
            resolved([DomainResolver()], request)


def test_forwarded_hosts_are_not_mistaken_for_those_let_in(rf):
    request = rf.get("/", headers={"host": "front.example"})
    assert host_of(request) == "front.example"
    request = rf.get("/", headers={"host": "front.example", "x-forwarded-host": "uni.example"})
    with override_settings(USE_X_FORWARDED_HOST=True):
        assert host_of(request) == "uni.example"
        assert host_of(request) == "uni.example"
    assert host_of(request) == "front.example"
