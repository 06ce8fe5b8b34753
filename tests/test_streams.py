"""Streaming responses keep their tenant until they are closed, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.signals import request_finished
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from domicile.registry import registry
from tests.tenants import domicile_settings, row
from tests.visits import AsgiServer, active, wsgi

pytestmark = pytest.mark.django_db(transaction=True)

#: What views and streams saw, in order.
seen: list[Any] = []
#: Responses that something else still holds, so that no garbage collector closes their streams.
kept: list[Any] = []


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def content() -> Iterator[bytes]:
        try:
            for _ in range(3):
                seen.append(active())
                yield f"{active()},".encode()
            if "fail" in request.GET:
                raise ZeroDivisionError
        finally:
            seen.append(f"finally {active()}")

    response = Closing(content())
    seen.append(f"view {active()}")
    return response


class Closing(StreamingHttpResponse):
    def close(self) -> None:
        seen.append(f"close {active()}")
        super().close()


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    async def content() -> AsyncIterator[bytes]:
        try:
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(active())
                yield f"{active()},".encode()
            if "fail" in request.GET:
                raise ZeroDivisionError
        finally:
            seen.append(f"finally {active()}")

    response = Closing(content())
    kept.append(response)
    return response


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(b"contents"))


urlpatterns = [path("stream/", stream), path("astream/", astream), path("file/", file)]


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    seen.clear()
    kept.clear()
    registry.clear()
    middleware = ["domicile.middleware.TenantMiddleware"]
    settings = domicile_settings(SHARED_URLCONF=None)
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware, DOMICILE=settings):
        yield
    registry.clear()
    assert active() is None


# Streams under WSGI ------------------------------------------------------------------------------


def test_a_stream_keeps_its_tenant_until_it_is_closed() -> None:
    row("acme")
    response = wsgi("/stream/")
    assert active() is None
    assert list(response) == [b"acme,"] * 3
    assert active() is None
    response.close()
    assert seen == ["view acme", "acme", "acme", "acme", "finally acme", "close acme"]


def test_a_stream_that_is_closed_early() -> None:
    row("acme")
    response = wsgi("/stream/")
    assert next(iter(response)) == b"acme,"
    assert active() is None
    response.close()
    assert seen == ["view acme", "acme", "close acme", "finally acme"]


def test_a_stream_that_fails() -> None:
    row("acme")
    response = wsgi("/stream/?fail")
    with pytest.raises(ZeroDivisionError):
        list(response)
    assert active() is None
    response.close()
    assert seen[-2:] == ["finally acme", "close acme"]


def test_two_streams_in_turns_in_one_thread() -> None:
    row("acme")
    row("beta")
    one, other = wsgi("/stream/"), wsgi("/stream/", "beta.localhost")
    turns = list(zip(one, other, strict=True))
    assert turns == [(b"acme,", b"beta,")] * 3
    other.close()
    one.close()
    assert seen[-2:] == ["close beta", "close acme"]


def test_a_stream_of_the_public_pages_is_left_alone() -> None:
    response = wsgi("/stream/", "localhost")
    assert list(response) == [b"None,"] * 3
    response.close()


def test_a_stream_that_nobody_reads_is_closed_in_the_tenant() -> None:
    row("acme")
    wsgi("/stream/").close()
    assert seen == ["view acme", "close acme"]


def test_the_end_of_a_request_is_told_once() -> None:
    row("acme")
    ends = []

    def ended(**kwargs: Any) -> None:
        ends.append(kwargs)

    request_finished.connect(ended)
    try:
        response = wsgi("/stream/")
        list(response)
        assert not ends
        response.close()
    finally:
        request_finished.disconnect(ended)
    assert len(ends) == 1


def test_a_file_keeps_its_wrapper() -> None:
    row("acme")
    wrapped = []

    def file_wrapper(file: Any, block_size: int) -> Any:
        wrapped.append(file)
        return iter([b"sent by the server"])

    response = wsgi("/file/", **{"wsgi.file_wrapper": file_wrapper})
    assert list(response) == [b"sent by the server"]
    assert wrapped[0].getvalue() == b"contents"
    wrapped[0].close()
    plain = wsgi("/file/")
    assert b"".join(plain) == b"contents"
    plain.close()


# Streams under ASGI ------------------------------------------------------------------------------


def asgi(path: str, leave_after: int | None = None) -> list[bytes]:
    server = AsgiServer(path, leave_after=leave_after)
    async_to_sync(server.run)()
    assert active() is None
    return server.pieces


def test_an_asynchronous_stream_keeps_its_tenant() -> None:
    row("acme")
    assert asgi("/astream/") == [b"acme,"] * 3
    assert seen == ["acme", "acme", "acme", "finally acme", "close acme"]


def test_an_asynchronous_stream_whose_visitor_leaves() -> None:
    row("acme")
    assert asgi("/astream/", leave_after=1) == [b"acme,"]
    assert seen.count("acme") == 1
    assert set(seen[1:]) == {"finally acme", "close acme"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_asynchronous_stream_that_fails() -> None:
    row("acme")
    with pytest.raises(ZeroDivisionError):
        asgi("/astream/?fail")
    kept.clear()
    gc.collect()  # Django leaves the request's body open then.
    assert seen[:4] == ["acme", "acme", "acme", "finally acme"]


def test_asynchronous_streams_in_turns() -> None:
    row("acme")
    row("beta")

    async def serve() -> list[str]:
        servers = [AsgiServer("/astream/", f"{slug}.localhost") for slug in ("acme", "beta")]
        return [
            response.content.decode()
            for response in await asyncio.gather(*(s.run() for s in servers))
        ]

    assert async_to_sync(serve)() == ["acme," * 3, "beta," * 3]
    assert seen.count("finally acme") == seen.count("finally beta") == 1


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_streams_of_the_other_kind() -> None:
    row("acme")
    assert asgi("/stream/") == [b"acme,"] * 3
    response = wsgi("/astream/")
    assert list(response) == [b"acme,"] * 3
    response.close()
    assert seen.count("finally acme") == 2
