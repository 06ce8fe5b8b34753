from __future__ import annotations

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from domicile.exceptions import DomicileError, InvalidHost, InvalidName, InvalidSlug
from domicile.naming import (
    host_validator,
    is_public,
    is_slug,
    normalize_host,
    slug_validator,
    usable_domain,
    validate_slug,
)
from tests.tenants import domicile_settings

GOOD_SLUGS = ["a", "acme", "a1", "uni-2", "x" * 63, "tenant", "pg", "pgx-1", "a--b"]
BAD_SLUGS = {
    "empty": "",
    "64 bytes": "x" * 64,
    "63 characters of two bytes": "é" * 63,
    "capital": "Acme",
    "capital dotted I": "acmeİ",
    "digit first": "1acme",
    "hyphen first": "-acme",
    "hyphen last": "acme-",
    "quote": 'a"b',
    "apostrophe": "a'b",
    "semicolon": "a;b",
    "SQL": "a;drop schema public cascade",
    "comment": "a--b/*",
    "NUL": "acme\0",
    "e acute": "acmé",
    "Cyrillic a": "\u0430cme",
    "full-width a": "\uff41cme",
    "Arabic digit": "acme\u0661",
    "lone surrogate": "acme\ud800",
    "soft hyphen": "ac\u00adme",
    "trailing newline": "acme\n",
    "leading newline": "\nacme",
    "trailing space": "acme ",
    "space": "a b",
    "tab": "a\tb",
    "path upwards": "../../etc",
    "dots": "..",
    "dot": "a.b",
    "slash": "a/b",
    "backslash": "a\\b",
    "percent": "%2e%2e",
    "question mark": "a?mode=memory",
    "hash": "a#b",
    "colon": "tenant:a",
    "braces": "{slug}",
    "underscore": "a_b",
    "wildcard": "a*",
    "public": "public",
    "information_schema": "information_schema",
    "pg_catalog": "pg_catalog",
    "pg_temp": "pg_temp",
    "pg-catalog": "pg-catalog",
    "shared": "shared",
    "default": "default",
    "punycode": "xn--acme-9k6d",
}


@pytest.mark.parametrize("slug", GOOD_SLUGS)
def test_accepts_a_slug(slug: str) -> None:
    validate_slug(slug)
    slug_validator(slug)
    assert is_slug(slug)


@pytest.mark.parametrize("slug", BAD_SLUGS.values(), ids=BAD_SLUGS.keys())
def test_refuses_a_slug(slug: str) -> None:
    with pytest.raises(InvalidSlug, match="cannot be a tenant's slug"):
        validate_slug(slug)


@pytest.mark.parametrize("slug", [None, 7, b"acme", ["acme"]])
def test_refuses_what_is_no_text(slug: object) -> None:
    with pytest.raises(InvalidSlug):
        validate_slug(slug)  # type: ignore[arg-type]


def test_every_static_alias_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    validate_slug("archive")
    monkeypatch.setitem(settings.DATABASES, "archive", {})
    with pytest.raises(InvalidSlug, match="reserved"):
        validate_slug("archive")


def test_length_is_counted_in_bytes() -> None:
    with pytest.raises(InvalidSlug, match="longer than 63 bytes"):
        validate_slug("é" * 32)
    with pytest.raises(InvalidSlug, match="other than ASCII"):
        validate_slug("é" * 31)


@given(st.text(max_size=70))
def test_what_is_accepted_is_one_plain_label(text: str) -> None:
    if is_slug(text):
        assert normalize_host(f"{text}.example") == f"{text}.example"
        assert text == text.strip().lower()
        assert text.isascii()
        assert len(text) <= 63


def test_validators_speak_to_forms() -> None:
    with pytest.raises(ValidationError, match="capital letters"):
        slug_validator("Acme")
    with pytest.raises(ValidationError, match="not a host name"):
        host_validator("http://uni.example/")
    with pytest.raises(ValidationError, match="the project's own"):
        host_validator("acme.localhost")


def test_errors_of_names_are_value_errors() -> None:
    assert issubclass(InvalidSlug, InvalidName)
    assert issubclass(InvalidHost, InvalidName)
    assert issubclass(InvalidName, ValueError)
    assert issubclass(InvalidName, DomicileError)


SAME_HOST = {
    "lower case": ("UNI.Example", "uni.example"),
    "port": ("uni.example:8000", "uni.example"),
    "empty port": ("uni.example:", "uni.example"),
    "trailing dot": ("uni.example.", "uni.example"),
    "trailing dot and port": ("uni.example.:80", "uni.example"),
    "unicode": ("münchen.example", "xn--mnchen-3ya.example"),
    "unicode in capitals": ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
    "decomposed unicode": ("mu\u0308nchen.example", "xn--mnchen-3ya.example"),
    "punycode": ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
    "punycode in capitals": ("XN--MNCHEN-3YA.EXAMPLE", "xn--mnchen-3ya.example"),
    "sharp s": ("straße.example", "xn--strae-oqa.example"),
    "ideographic full stop": ("uni。example", "uni.example"),
    "ideographic trailing stop": ("uni.example。", "uni.example"),
    "full-width letters": ("ｕｎｉ.example", "uni.example"),  # noqa: RUF001
    "underscore": ("my_uni.example", "my_uni.example"),
    "hyphens": ("r3---sn.example", "r3---sn.example"),
    "address": ("127.0.0.1:8000", "127.0.0.1"),
    "address of version 6": ("[::1]:8000", "[::1]"),
    "address of version 6 at length": ("[0:0:0:0:0:0:0:1]", "[::1]"),
    "address of version 6 in capitals": ("[2001:DB8::A]", "[2001:db8::a]"),
}


@pytest.mark.parametrize(("given_host", "normal"), SAME_HOST.values(), ids=SAME_HOST.keys())
def test_normalizes_a_host(given_host: str, normal: str) -> None:
    assert normalize_host(given_host) == normal
    assert normalize_host(normal) == normal


def test_look_alikes_are_other_hosts() -> None:
    assert normalize_host("аcme.example") != "acme.example"  # noqa: RUF001


NO_HOSTS = {
    "empty": "",
    "dot": ".",
    "only a port": ":80",
    "leading dot": ".uni.example",
    "two trailing dots": "uni.example..",
    "empty label": "uni..example",
    "too long a label": f"{'x' * 64}.example",
    "too long": ".".join(["x" * 49] * 6),
    "far too long": "x." * 10_000,
    "scheme": "http://uni.example",
    "path": "uni.example/path",
    "user": "user@uni.example",
    "port that is none": "uni.example:http",
    "two ports": "uni.example:80:80",
    "query": "uni.example?a",
    "fragment": "uni.example#a",
    "percent": "uni%2eexample",
    "quote": 'uni".example',
    "apostrophe": "uni'.example",
    "semicolon": "uni;.example",
    "SQL": "x'; DROP TABLE universities_hostname; --.example",
    "NUL": "uni\0.example",
    "trailing newline": "uni.example\n",
    "trailing space": "uni.example ",
    "leading space": " uni.example",
    "space": "uni example",
    "path upwards": "../../etc",
    "backslash": "uni\\example",
    "hyphen first": "-uni.example",
    "hyphen last in a label": "uni-.example",
    "open bracket": "[::1",
    "after the bracket": "[::1]x",
    "no address in brackets": "[acme]",
    "address of version 6 without brackets": "::1",
    "Kelvin sign and underscore": "_\u212a.example",
    "wildcard": "*.example",
}


@pytest.mark.parametrize("host", NO_HOSTS.values(), ids=NO_HOSTS.keys())
def test_refuses_a_host(host: str) -> None:
    with pytest.raises(InvalidHost, match="is not a host name"):
        normalize_host(host)


@given(st.text(max_size=80))
def test_normal_forms_are_stable(text: str) -> None:
    try:
        normal = normalize_host(text)
    except InvalidHost:
        return
    assert normalize_host(normal) == normal
    assert normal.isascii()
    assert normal == normal.lower()
    assert not set(normal) & set("/\\?#@%;'\" \n\0")


NOT_FOR_TENANTS = {
    "address": "192.0.2.1",
    "address and port": "192.0.2.1:80",
    "address of version 6": "[::1]",
    "short address": "127.1",
    "hexadecimal address": "0x7f.0x1",
    "single label": "uni",
    "base domain": "campus.example",
    "base domain, dressed up": "CAMPUS.example.:8000",
    "sub-domain of a base domain": "acme.campus.example",
    "deep below a base domain": "a.b.campus.example",
    "unicode base domain": "münchen.example",
    "sub-domain of the unicode base domain": "acme.xn--mnchen-3ya.example",
    "public host": "www.shop.example",
}


@pytest.mark.parametrize("host", NOT_FOR_TENANTS.values(), ids=NOT_FOR_TENANTS.keys())
@override_settings(
    DOMICILE=domicile_settings(
        BASE_DOMAINS=["Campus.Example", "MÜNCHEN.example"], PUBLIC_HOSTS=["www.shop.example"]
    )
)
def test_refuses_a_domain(host: str) -> None:
    with pytest.raises(InvalidHost, match="cannot be a tenant's domain"):
        usable_domain(host)


@override_settings(
    DOMICILE=domicile_settings(
        BASE_DOMAINS=["Campus.Example"], PUBLIC_HOSTS=["shop.example", "[0:0::1]", "127.0.0.1"]
    )
)
def test_the_projects_own_hosts_may_be_written_in_any_form() -> None:
    assert is_public("campus.example")
    assert is_public("[::1]")
    assert not is_public("acme.campus.example")
    assert usable_domain("Uni.Shop.Example") == "uni.shop.example"
    assert usable_domain("notcampus.example") == "notcampus.example"
