"""Visitors of a site, each in a thread and with cookies of their own, who write and read what they
have written, until they are told to stop.

    with visiting(4) as crowd:
        crowd.pass_by(20)       # until each has come so many times more
    assert not crowd.missed
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from itertools import count
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from domicile.replicas.middleware import ReadYourWritesMiddleware
from tests.processes import eventually
from tests.testproject.people.models import Person

_names = count()


class Visitor:
    """Comes again and again with the cookies that it was given."""

    def __init__(self) -> None:
        self.cookies: SimpleCookie = SimpleCookie()

    def visit(self, view: Callable[[HttpRequest], Any], **headers: str) -> Any:
        """Make a request; return what the view returned."""
        answers = []

        def get_response(request: HttpRequest) -> HttpResponse:
            answers.append(view(request))
            return HttpResponse()

        request = RequestFactory().get("/", headers=headers)
        request.COOKIES.update({name: morsel.value for name, morsel in self.cookies.items()})
        self.response = ReadYourWritesMiddleware(get_response)(request)
        for name, morsel in self.response.cookies.items():
            if morsel["max-age"] == 0:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return answers[0]


def write(name: str, *, atomically: bool = False) -> int:
    if not atomically:
        return Person.objects.create(name=name).pk
    with transaction.atomic(using="users"):
        return Person.objects.create(name=name).pk


class Crowd:
    def __init__(self) -> None:
        #: Rows that their own writer did not see.
        self.missed: list[str] = []
        #: Errors of requests, with when they came (`time.monotonic()`).
        self.failed_reads: list[tuple[float, Exception]] = []
        self.failed_writes: list[tuple[float, Exception]] = []
        #: Where reads were answered.
        self.served: list[str] = []
        self.rounds = [0]
        self._ending = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._resting = 0

    def come(self, number: int, *, persistent: bool) -> None:
        """Write, and read it twice, again and again."""
        visitor, atomically = Visitor(), bool(number % 2)
        while not self._ending.is_set():
            self._rest()
            if not self._write_and_read(visitor, atomically):
                time.sleep(0.01)
            if not persistent:
                connections.close_all()
            else:
                for connection in connections.all(initialized_only=True):
                    connection.close_if_unusable_or_obsolete()
            self.rounds[number] += 1
        connections.close_all()

    def _rest(self) -> None:
        if not self._open.is_set():
            self._resting += 1
            self._open.wait()

    def _write_and_read(self, visitor: Visitor, atomically: bool) -> bool:
        name = f"visitor {next(_names)}"
        try:
            pk = visitor.visit(lambda _: write(name, atomically=atomically))
        except (DatabaseError, InterfaceError) as error:
            self.failed_writes.append((time.monotonic(), error))
            return False
        for _ in range(2):
            try:
                if not visitor.visit(lambda _, pk=pk: self._sees(pk)):
                    self.missed.append(f"{name}: {self.served[-1]}")
            except Exception as error:  # Whatever it is, a test has to hear of it.
                self.failed_reads.append((time.monotonic(), error))
        return True

    def _sees(self, pk: int) -> bool:
        people = Person.objects.filter(pk=pk)
        found = list(people)
        self.served.append(people.db)
        return bool(found)

    def pass_by(self, rounds: int) -> None:
        """Wait until each of them has come so many times more."""
        wanted = [done + rounds for done in self.rounds]
        eventually(lambda: all(n >= w for n, w in zip(self.rounds, wanted, strict=True)), 60)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let nobody in, and wait until those who are in are done."""
        self._resting = 0
        self._open.clear()
        eventually(lambda: self._resting == len(self.rounds))
        try:
            yield
        finally:
            self._open.set()

    def end(self) -> None:
        self._ending.set()
        self._open.set()


@contextmanager
def visiting(number: int, *, persistent: bool = True) -> Iterator[Crowd]:
    crowd = Crowd()
    crowd.rounds = [0] * number
    threads = [
        threading.Thread(target=crowd.come, args=(each,), kwargs={"persistent": persistent})
        for each in range(number)
    ]
    for thread in threads:
        thread.start()
    try:
        yield crowd
    finally:
        crowd.end()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
