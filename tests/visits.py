"""As much of a WSGI or ASGI server as a request needs."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse

from domicile import current_tenant


def active() -> str | None:
    tenant = current_tenant()
    return None if tenant is None else tenant.slug


def wsgi(path: str, host: str = "acme.localhost", **environ: Any) -> Any:
    """What a WSGI server gets from the application, before it asks for any of the content."""
    query = path.partition("?")[2]
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path.partition("?")[0],
        "QUERY_STRING": query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "HTTP_HOST": host,
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
        **environ,
    }
    return WSGIHandler()(environ, lambda status, headers: None)


class AsgiServer:
    """As much of an ASGI server as a request needs. `leave_after` pieces the visitor is gone."""

    def __init__(
        self,
        path: str = "/",
        host: str = "acme.localhost",
        headers: dict[str, str] | None = None,
        leave_after: int | None = None,
    ) -> None:
        given = {"host": host, **(headers or {})}
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": path.partition("?")[0],
            "query_string": path.partition("?")[2].encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 50000),
        }
        self.start: dict[str, Any] = {}
        self.pieces: list[bytes] = []
        self.leave_after = leave_after
        self.gone = asyncio.Event()
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        if self._asked:
            await self.gone.wait()
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        elif message.get("body"):
            self.pieces.append(message["body"])
        if self.leave_after is not None and len(self.pieces) >= self.leave_after:
            self.gone.set()
            await asyncio.sleep(3600)

    async def run(self) -> HttpResponse:
        await ASGIHandler()(self.scope, self.receive, self.send)
        response = HttpResponse(b"".join(self.pieces), status=self.start["status"])
        for name, value in self.start["headers"]:
            if name.lower() == b"set-cookie":
                response.cookies.load(value.decode())
            else:
                response[name.decode()] = value.decode()
        return response
