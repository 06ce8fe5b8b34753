"""Resolvers: each looks at a request in its own way and names a tenant, or has nothing to say."""

from __future__ import annotations

import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.conf import settings
from django.core.signals import setting_changed

from domicile.conf import conf
from domicile.exceptions import InvalidHost, UnknownTenant, UntrustedHeader
from domicile.naming import base_domains, is_public, normalize_host
from domicile.registry import Entry, registry

if TYPE_CHECKING:
    from django.http import HttpRequest

F = TypeVar("F", bound=Callable[..., Any])


class Found(NamedTuple):
    """A tenant that a resolver found, and what the response must know of how."""

    entry: Entry
    #: The path under which the tenant lives, such as `/t/acme`; empty for most resolvers.
    prefix: str = ""
    #: Request headers that the answer depends on, for `Vary`.
    vary: tuple[str, ...] = ()


class Resolver(ABC):
    """Base class of resolvers; `DOMICILE["RESOLVERS"]` names them in the order of asking."""

    @abstractmethod
    def resolve(self, request: HttpRequest) -> Found | None:
        """Return the tenant of a request, or None to let the next resolver look.

        Raise `UnknownTenant` where the request names a tenant that there is not (404), or
        `PermissionDenied` where it must not name one (403).
        """


def host_of(request: HttpRequest) -> str:
    """Return the request's host, normalised; `DisallowedHost` (400) as Django raises it."""
    try:
        return normalize_host(request.get_host())
    except InvalidHost as error:
        raise UnknownTenant(str(error)) from error


def _reset(*, setting: str, **_: object) -> None:
    if setting in ("ALLOWED_HOSTS", "DEBUG", "USE_X_FORWARDED_HOST"):
        registry.clear()


setting_changed.connect(_reset, dispatch_uid="domicile.resolvers")


def by_host_alone(resolve: F) -> F:
    """Mark a resolver's `resolve()` that looks at the host and at nothing else: what it finds by a
    host is remembered. A method that overrides it has no such mark.
    """
    resolve.by_host_alone = True  # type: ignore[attr-defined]
    return resolve


def resolved(resolvers: list[Resolver], request: HttpRequest) -> Found | None:
    """Return what the first resolver finds that finds anything."""
    sent = request.META.get("HTTP_HOST", "")
    found: Found | None = registry.at_door(sent)
    if found is not None:
        return found
    known, by_host = registry.known, True
    for resolver in resolvers:
        found = resolver.resolve(request)
        by_host = by_host and hasattr(resolver.resolve, "by_host_alone")
        if found is not None:
            if by_host and sent and _decides():
                known.keep_door(sent, found, host_of(request))
            return found
    return None


def _decides() -> bool:
    """Whether what a client sent as host is what Django compares, and with the same each time: a
    list of the project's own class may answer otherwise the next time.
    """
    return not settings.USE_X_FORWARDED_HOST and type(settings.ALLOWED_HOSTS) in (list, tuple)


class SubdomainResolver(Resolver):
    """`acme.example.com`, where `example.com` is one of `BASE_DOMAINS`."""

    @cached_property
    def _suffixes(self) -> tuple[str, ...]:
        return tuple(f".{domain}" for domain in base_domains())

    @by_host_alone
    def resolve(self, request: HttpRequest) -> Found | None:
        host = host_of(request)
        for suffix in self._suffixes:
            if host.endswith(suffix):
                slug = host.removesuffix(suffix)
                entry = registry.by_slug(slug)
                return None if entry is None else Found(entry)
        return None


class DomainResolver(Resolver):
    """A host that is a domain of the tenant's own, to the letter."""

    @by_host_alone
    def resolve(self, request: HttpRequest) -> Found | None:
        host = host_of(request)
        entry = None if is_public(host) else registry.by_host(host)
        return None if entry is None else Found(entry)


class HeaderResolver(Resolver):
    """A header that a trusted proxy sets (`HEADER`, `TRUSTED_PROXIES`). Whoever else sends it is
    refused: it would name any tenant it liked.
    """

    def resolve(self, request: HttpRequest) -> Found | None:
        header = conf().header
        slug = request.headers.get(header)
        if slug is None:
            return None
        if not self._trusts(request.META.get("REMOTE_ADDR", "")):
            raise UntrustedHeader(f"The header {header} is not taken from this peer.")
        return Found(_named(slug), vary=(header,))

    @cached_property
    def _networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        return [ipaddress.ip_network(network, strict=False) for network in conf().trusted_proxies]

    def _trusts(self, address: str) -> bool:
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        # A server that listens for both families shows IPv4 peers so (RFC 4291, section 2.5.5.2).
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)


class PathResolver(Resolver):
    """`/t/acme/…`, where `t` is `PATH_PREFIX`. Inside, URLs are made with the prefix."""

    def resolve(self, request: HttpRequest) -> Found | None:
        start = f"/{conf().path_prefix.strip('/')}/"
        if not request.path_info.startswith(start):
            return None
        slug, slash, _ = request.path_info.removeprefix(start).partition("/")
        if not slash:
            return None
        return Found(_named(slug), prefix=f"{start}{slug}")


class SessionResolver(Resolver):
    """The slug that the project put into the session under `SESSION_KEY`, after it made sure that
    this visitor may go there. The session must live in the shared home.
    """

    def resolve(self, request: HttpRequest) -> Found | None:
        slug = request.session.get(conf().session_key)
        entry = registry.by_slug(slug) if isinstance(slug, str) else None
        return None if entry is None else Found(entry, vary=("Cookie",))


class UserResolver(Resolver):
    """The tenant of the logged-in user: an attribute of it (`USER_ATTRIBUTE`), a tenant or a slug.
    Users must live in the shared home.
    """

    def resolve(self, request: HttpRequest) -> Found | None:
        tenant = getattr(request.user, conf().user_attribute, None)
        slug = getattr(tenant, "slug", tenant)
        entry = registry.by_slug(slug) if isinstance(slug, str) else None
        return None if entry is None else Found(entry, vary=("Cookie",))


def _named(slug: str) -> Entry:
    entry = registry.by_slug(slug)
    if entry is None:
        raise UnknownTenant(f"There is no tenant {slug!r}.")
    return entry
