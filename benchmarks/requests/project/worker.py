"""Serves one contender's project on command: `python worker.py wsgi|asgi`.

`Worker` in benchmarks/workers.py is the other end.
"""

import asyncio
import gc
import io
import itertools
import resource
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import django
from answering import answer
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from fleet import host, student


class Driver(Protocol):
    def get(self, host: str, path: str) -> bytes: ...

    def time(self, hosts: Iterator[str], path: str, requests: int) -> float: ...


class Wsgi:
    """Calls the handler as a server does, and closes the response, which ends the request."""

    def __init__(self) -> None:
        self.handler = WSGIHandler()
        self.environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "bench",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }

    def get(self, host: str, path: str) -> bytes:
        environ = {**self.environ, "PATH_INFO": path, "HTTP_HOST": host}
        environ["wsgi.input"] = io.BytesIO()
        response = self.handler(environ, lambda status, headers: None)
        body = b"".join(response)
        response.close()
        if response.status_code != 200:
            raise RuntimeError(f"{host}{path} gave {response.status_code}")
        return body

    def time(self, hosts: Iterator[str], path: str, requests: int) -> float:
        begin = time.perf_counter()
        for _ in range(requests):
            self.get(next(hosts), path)
        return time.perf_counter() - begin


class Asgi:
    """One event loop for all; each request is a task of its own, as under uvicorn."""

    def __init__(self) -> None:
        self.handler = ASGIHandler()
        self.runner = asyncio.Runner()
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "query_string": b"",
            "root_path": "",
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 80),
        }

    def get(self, host: str, path: str) -> bytes:
        return self.runner.run(self.request(host, path))

    def time(self, hosts: Iterator[str], path: str, requests: int) -> float:
        return self.runner.run(self.block(hosts, path, requests))

    async def block(self, hosts: Iterator[str], path: str, requests: int) -> float:
        begin = time.perf_counter()
        for _ in range(requests):
            await asyncio.create_task(self.request(next(hosts), path))
        return time.perf_counter() - begin

    async def request(self, host: str, path: str) -> bytes:
        sent: list[dict[str, Any]] = []
        events = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            if event := next(events, None):
                return event
            return await asyncio.get_running_loop().create_future()  # nobody disconnects

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        headers = [(b"host", host.encode())]
        scope = {**self.scope, "path": path, "raw_path": path.encode(), "headers": headers}
        await self.handler(scope, receive, send)
        if sent[0]["status"] != 200:
            raise RuntimeError(f"{host}{path} gave {sent[0]['status']}")
        return b"".join(message.get("body", b"") for message in sent)


class Commands:
    """Each public method is a command; its result is the answer."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.driver: Driver = Wsgi() if server == "wsgi" else Asgi()
        self.rotate(1)

    def rotate(self, stop: int, start: int = 0, step: int = 1) -> None:
        """From now on serve these tenants in turn."""
        self.hosts = itertools.cycle([host(n) for n in range(start, stop, step)])

    def serve(self, view: str, requests: int, lead: int = 0) -> float:
        """Seconds for so many requests, after a few that warm the processor up."""
        path = f"/{self.server}/{view}/"
        self.driver.time(self.hosts, path, lead)
        return self.driver.time(self.hosts, path, requests)

    def verify(self, contender: str, tenants: int) -> None:
        """Does each tenant get the rows of its own?"""
        for number in range(tenants):
            for view, pks in (("one", [3]), ("ten", range(1, 11))):
                body = self.driver.get(host(number), f"/{self.server}/{view}/").decode()
                expected = ", ".join(student(contender, number, pk) for pk in pks)
                if body != expected:
                    raise RuntimeError(f"{contender} gave {body!r} for {expected!r}")

    def freeze(self) -> None:
        gc.collect()
        gc.freeze()

    def grown(self, start: int, stop: int) -> float:
        """Bytes that Python holds on to for each further tenant whose host it has seen."""
        hosts = [host(n) for n in range(start, stop)]
        tracemalloc.start()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for name in hosts:
            self.driver.get(name, f"/{self.server}/no/")
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return (after - before) / len(hosts)

    def resident(self) -> int:
        """Bytes of this process in the machine's memory."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()


def commands() -> Commands:
    django.setup()
    return Commands(sys.argv[1])


if __name__ == "__main__":
    answer(commands)
