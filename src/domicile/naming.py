"""Names that come from outside: slugs and hosts, checked where they enter."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import idna
from django.conf import settings
from django.core.exceptions import ValidationError

from domicile.conf import conf
from domicile.exceptions import InvalidHost, InvalidSlug
from domicile.placement import SHARED_ALIAS

#: A slug is one label of a host name (RFC 1035, section 2.3.1) in lower case, so that it can be a
#: sub-domain, a schema, a database, a file and a segment of a path without being changed.
_SLUG = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
SLUG_MAX_LENGTH = 63
HOST_MAX_LENGTH = 253
_HOST_MAX_INPUT = 4 * HOST_MAX_LENGTH
#: A name, or an address in brackets, and perhaps a port.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/\[\]]+)(?::[0-9]*)?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PLAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
#: What ends in a number is an address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_ADDRESS = re.compile(r"\[.*|(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_RESERVED = frozenset({"public", "information-schema", "information_schema", "template0"}) | {
    "template1",
    "postgres",
    "mysql",
    "sys",
    "performance_schema",
    SHARED_ALIAS,
    "default",
    "www",
}


def validate_slug(slug: str) -> None:
    """Raise `InvalidSlug` unless `slug` can name a tenant; the message says what is wrong."""
    reason = _fault_of_slug(slug)
    if reason:
        raise InvalidSlug(
            f"{slug!r} cannot be a tenant's slug: {reason}. Use 1 to {SLUG_MAX_LENGTH} lower-case"
            " letters (a-z), digits and hyphens, beginning with a letter."
        )


def _fault_of_slug(slug: object) -> str | None:
    if not isinstance(slug, str) or not slug:
        return "it is empty"
    if len(slug.encode(errors="surrogatepass")) > SLUG_MAX_LENGTH:
        return f"it is longer than {SLUG_MAX_LENGTH} bytes"
    if not slug.isascii():
        return "it has characters other than ASCII"
    if slug != slug.lower():
        return "it has capital letters, which hosts and file systems do not tell apart"
    if not _SLUG.fullmatch(slug):
        return "it has characters that a host name may not have, or has them at its ends"
    if slug.startswith(("pg-", "xn--")) or slug in _RESERVED or slug in settings.DATABASES:
        return "the name is reserved"
    return None


def slug_validator(slug: str) -> None:
    """The same as a validator of a form or model field."""
    try:
        validate_slug(slug)
    except InvalidSlug as error:
        raise ValidationError(str(error), code="invalid") from error


def is_slug(slug: str) -> bool:
    """Tell whether a tenant could have that slug at all, so that no database needs to be asked."""
    return _SLUG.fullmatch(slug) is not None


def host_validator(host: str) -> None:
    """A validator for tenants' domains."""
    try:
        usable_domain(host)
    except InvalidHost as error:
        raise ValidationError(str(error), code="invalid") from error


@lru_cache(maxsize=4096)
def normalize_host(host: str) -> str:
    """Return a host as it is stored and compared: ASCII (IDNA 2008 with the mapping of UTS 46), in
    lower case, without port and without a dot at its end. Raises `InvalidHost`.
    """
    parts = _HOST.fullmatch(host) if len(host) <= _HOST_MAX_INPUT else None
    name = _normal_name(parts[1]) if parts else ""
    if not name or len(name) > HOST_MAX_LENGTH:
        raise InvalidHost(
            f"{host!r} is not a host name. Give one such as 'uni.example', without scheme or path."
        )
    return name


def usable_domain(host: str) -> str:
    """The same for a domain that is to be a tenant's. Refused are addresses, single labels and
    what is the project's own: `PUBLIC_HOSTS`, `BASE_DOMAINS` and the sub-domains of these, which
    are slugs.
    """
    name = normalize_host(host)
    if "." not in name or _ADDRESS.fullmatch(name):
        raise InvalidHost(f"{host!r} cannot be a tenant's domain: it is not a full domain name.")
    bases = base_domains()
    if is_public(name) or name.endswith(tuple(f".{base}" for base in bases)):
        raise InvalidHost(f"{host!r} cannot be a tenant's domain: it is the project's own.")
    return name


def base_domains() -> list[str]:
    """Return `BASE_DOMAINS`, normalised."""
    return [normalize_host(domain) for domain in conf().base_domains]


def is_public(host: str) -> bool:
    """Tell whether a (normalised) host serves the project itself, with no tenant active."""
    return host in _public_hosts(conf().base_domains, conf().public_hosts)


@lru_cache(maxsize=8)
def _public_hosts(*settings: tuple[str, ...]) -> frozenset[str]:
    return frozenset(normalize_host(host) for hosts in settings for host in hosts)


def _normal_name(name: str) -> str:
    """Return the normal form of a name or address without port, the empty string if it is none."""
    if name.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(name[1:-1]).compressed}]"
        except ValueError:
            return ""
    try:
        return idna.encode(name, uts46=True).decode().removesuffix(".")
    except idna.IDNAError:
        # Names that IDNA refuses and that are in use all the same, such as those with underscores.
        plain = name.lower() if name.isascii() else ""
        return plain.removesuffix(".") if _PLAIN.fullmatch(plain) else ""
