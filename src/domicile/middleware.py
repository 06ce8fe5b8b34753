"""Finds the tenant of a request and keeps it active until the response is closed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import get_resolver, get_script_prefix, set_script_prefix
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject, empty
from django.utils.module_loading import import_string

from domicile.conf import conf
from domicile.context import Activation, Stepwise, active_home, astepwise
from domicile.exceptions import HomeMissing, HomeMoved, UnknownTenant, WriteRefused
from domicile.models import Status
from domicile.naming import is_public
from domicile.placement import Home
from domicile.registry import registry
from domicile.resolvers import Found, Resolver, host_of, resolved

#: The attribute of a request in which an error is that another middleware raised.
_RAISED = "_domicile_raised"


class TenantMiddleware:
    """First in `MIDDLEWARE`; or, with resolvers that look at the session or the user, right after
    those. Sets `request.tenant`: an instance of the tenant model, or None on public hosts.

    What a visitor sees where there is no tenant to serve is decided by the methods
    `unknown_tenant`, `suspended`, `under_maintenance` and `moved`, for a subclass to override.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.resolvers: list[Resolver] = [import_string(path)() for path in conf().resolvers]
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        _load_while_no_tenant_is_active()

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.__acall__(request)
        visit = self.receive(request)
        if not isinstance(visit, Visit):
            return visit
        with visit:
            response = self.get_response(request)
            if missed := raised_behind(request):
                response = self.process_exception(request, missed) or response
            if visit.keeps_all or response.streaming:
                response = visit.kept_by(response)
            return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            visit = self.receive(request)
        except SynchronousOnlyOperation:
            # Not in memory: ask the database, as Django demands, in a thread that may block.
            visit = await sync_to_async(self.receive)(request)
        if not isinstance(visit, Visit):
            return visit
        with visit:
            response = await self.get_response(request)
            if missed := raised_behind(request):
                answer = sync_to_async(self.process_exception)
                response = await answer(request, missed) or response
            if visit.keeps_all or response.streaming:
                response = visit.kept_by(response)
            return response

    def receive(self, request: HttpRequest) -> Visit | HttpResponseBase:
        """Return the visit that a request is, or the response that turns it away."""
        try:
            found = self.find(request)
        except UnknownTenant as error:
            return self.unknown_tenant(request, error)
        if found is None:
            return _public_visit(request)
        tenant = LazyTenant(found.entry.tenant)
        request.tenant = tenant  # type: ignore[attr-defined]
        if found.entry.status != Status.ACTIVE:
            refuse = {
                Status.SUSPENDED: self.suspended,
                Status.MAINTENANCE: self.under_maintenance,
            }[Status(found.entry.status)]
            return refuse(request, tenant)
        if found.prefix:
            prefix = _enter_prefix(request, found.prefix)
            return PathVisit(found.entry.home, tenant, found.vary, prefix)
        return Visit(found.entry.home, tenant, found.vary)

    def find(self, request: HttpRequest) -> Found | None:
        """Return the tenant of a request, None for the project's public pages; `UnknownTenant`
        where the request is for neither.
        """
        found = resolved(self.resolvers, request)
        if found is not None:
            return found
        host = host_of(request)
        if not is_public(host):
            raise UnknownTenant(f"No tenant is at {host!r}.")
        return None

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        """Turn a missing home into 404 where its tenant was dropped by another process, into 503
        where it was moved, and this one had not seen that yet.
        """
        tenant, home = getattr(request, "tenant", None), active_home()
        if tenant is None or not isinstance(exception, HomeMissing):
            return None
        registry.clear()
        entry = registry.by_slug(tenant.slug)
        if entry is None:
            raise Http404(f"Tenant {tenant.slug!r} was dropped.") from exception
        if isinstance(exception, HomeMoved) or entry.home != home:
            return self.moved(request, tenant)
        return None

    def unknown_tenant(self, request: HttpRequest, error: UnknownTenant) -> HttpResponseBase:
        """Answer a request for a tenant that there is not: 404."""
        _public_visit(request)
        raise Http404(str(error)) from error

    def suspended(self, request: HttpRequest, tenant: Any) -> HttpResponseBase:
        """Answer a request for a suspended tenant: 503 with `Retry-After`."""
        return self._unavailable(f"{tenant} is suspended.")

    def under_maintenance(self, request: HttpRequest, tenant: Any) -> HttpResponseBase:
        """Answer a request for a tenant under maintenance: 503 with `Retry-After`."""
        return self._unavailable(f"{tenant} is under maintenance.")

    def moved(self, request: HttpRequest, tenant: Any) -> HttpResponseBase:
        """Answer a request under which its tenant has moved: 503, and it may come again at once."""
        return self._unavailable(f"{tenant} has just moved.", retry_after=1)

    def _unavailable(self, message: str, retry_after: int | None = None) -> HttpResponseBase:
        return HttpResponse(
            f"{message} Please come back later.\n",
            status=503,
            content_type="text/plain; charset=utf-8",
            headers={"Retry-After": str(retry_after or conf().retry_after)},
        )


def raised_behind(request: HttpRequest) -> Exception | None:
    """Return the error of Domicile's by which a middleware failed that stands behind the asker.
    Such reach others as responses with status 500, and no `process_exception`: whoever asks calls
    its own.
    """
    return getattr(request, _RAISED, None)


def _note_error(*, request: HttpRequest | None = None, **_: Any) -> None:
    error = sys.exc_info()[1]
    if request is not None and isinstance(error, HomeMissing | WriteRefused):
        setattr(request, _RAISED, error)


got_request_exception.connect(_note_error, dispatch_uid="domicile.middleware")


class LazyTenant(SimpleLazyObject):
    """A tenant that is made when somebody looks, as Django does for `request.user`: many a request
    never does. Django's own way of making one is felt where nothing else is done.
    """

    _wrapped = empty

    def __init__(self, make: Callable[[], Any]) -> None:
        self.__dict__["_setupfunc"] = make


class Visit(Activation):
    """A request's stay in a home."""

    #: Whether `kept_by()` has something to do for each response, not only for streamed ones.
    keeps_all = False

    def __init__(self, home: Home | None, tenant: Any = None, vary: tuple[str, ...] = ()) -> None:
        self.home = home
        self.tenant = tenant
        self.vary = vary
        if vary:
            self.keeps_all = True

    def again(self) -> Visit:
        """Return the same visit, to be entered once more."""
        return self

    def kept_by(self, response: HttpResponseBase) -> HttpResponseBase:
        """Return the response, which from here on is sent and closed inside this visit."""
        if self.vary:
            patch_vary_headers(response, self.vary)
        if response.streaming:
            keep_stream(response, self.again)
        return response


def keep_stream(response: Any, enter: Callable[[], Any]) -> None:
    """Have each step of a streamed response, and its close, be inside what `enter` returns."""

    def close() -> None:
        del response.close
        with enter():
            response.close()

    response.close = close
    if getattr(response, "file_to_stream", None) is not None:
        return  # For the server's `wsgi.file_wrapper`, which a new content would undo.
    if response.is_async:
        # Nobody closes the stream of a visitor who has left; the garbage collector would, in any
        # order and context.
        stream = astepwise(response._iterator, enter)
        response._resource_closers.append(partial(async_to_sync(_aclose), stream))
    else:
        stream = Stepwise(response.streaming_content, enter)
    response.streaming_content = stream


class PathVisit(Visit):
    """A stay in a home that is found by the path: URLs are made under it."""

    keeps_all = True

    def __init__(
        self, home: Home | None, tenant: Any, vary: tuple[str, ...], script_prefix: str
    ) -> None:
        super().__init__(home, tenant, vary)
        self.script_prefix = script_prefix

    def again(self) -> Visit:
        return PathVisit(self.home, self.tenant, self.vary, self.script_prefix)

    def __enter__(self) -> Any:
        tenant = super().__enter__()
        # These keep the script prefix of their first reader, who must not be in a tenant.
        _ = settings.STATIC_URL, settings.MEDIA_URL
        self._outer_prefix = get_script_prefix()
        set_script_prefix(self.script_prefix)
        return tenant

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        set_script_prefix(self._outer_prefix)
        super().__exit__()

    def kept_by(self, response: HttpResponseBase) -> HttpResponseBase:
        _narrow_cookies(response, self.script_prefix)
        return super().kept_by(response)


async def _aclose(stream: Any) -> None:
    await stream.aclose()


def _public_visit(request: HttpRequest) -> Visit:
    request.tenant = None  # type: ignore[attr-defined]
    if conf().shared_urlconf is not None:
        request.urlconf = conf().shared_urlconf
    return Visit(None)


def _enter_prefix(request: HttpRequest, prefix: str) -> str:
    """Have the URLconf see the rest of the path, as a WSGI server does for `SCRIPT_NAME`; return
    the script prefix that URLs are then made with.
    """
    request.path_info = request.path_info.removeprefix(prefix)
    request.META["SCRIPT_NAME"] = request.META.get("SCRIPT_NAME", "") + prefix
    request.META["PATH_INFO"] = request.path_info
    _prefer_nearest_cookies(request)
    return f"{get_script_prefix().rstrip('/')}{prefix}/"


def _prefer_nearest_cookies(request: HttpRequest) -> None:
    """Of two cookies with one name browsers send that of the longer path first (RFC 6265, section
    5.4), and Django takes the last: here that would be the cookie of the host's public pages.
    """
    header = request.META.get("HTTP_COOKIE", "")
    request.META["HTTP_COOKIE"] = ";".join(reversed(header.split(";")))
    vars(request).pop("COOKIES", None)


def _narrow_cookies(response: HttpResponseBase, script_prefix: str) -> None:
    """Keep session and CSRF cookies of tenants apart that share a host."""
    for morsel in response.cookies.values():
        if script_prefix.startswith(morsel["path"]):
            morsel["path"] = script_prefix


def _load_while_no_tenant_is_active() -> None:
    """Django imports URLconfs at the first request, which would be inside the first visitor's
    tenant, and with them views, whose querysets would be that tenant's.
    """
    for urlconf in {settings.ROOT_URLCONF, conf().shared_urlconf or settings.ROOT_URLCONF}:
        _ = get_resolver(urlconf).url_patterns
