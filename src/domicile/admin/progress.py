"""A page that tells of each step of a creation as it happens.

The work is done in a thread of its own. So its connections are its own, outside of any transaction
of the request, in which a database could not be made; and it goes on, to its end or back to where
it began, when the client goes away.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import translation
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from domicile.exceptions import DomicileError
from domicile.fleet.migrations import Progress, Step

logger = logging.getLogger("domicile.admin")

#: Stands in the page's template.
MARK = "<!-- steps -->"
KINDS = {
    "row": _("Row"),
    "template": _("Template"),
    "clone": _("Clone"),
    "claim": _("Claim"),
    "home": _("Home"),
    "migration": _("Migration"),
    "data": _("Initial data"),
    "complete": _("Complete"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: with a tenant, or with an error and nothing left behind. With both, what the
    admin does with a new tenant failed.
    """

    tenant: Any = None
    error: Exception | None = None

    @property
    def reason(self) -> str:
        """Domicile's own errors say all; others need their name."""
        if isinstance(self.error, DomicileError):
            return str(self.error)
        return f"{type(self.error).__name__}: {self.error}"


Event = Step | Outcome


class Creation:
    """Work that creates a tenant, begun when its first event is asked for."""

    def __init__(self, work: Callable[[Progress], Outcome]) -> None:
        self._work = work
        self._events: SimpleQueue[Event] = SimpleQueue()

    def events(self) -> Iterator[Event]:
        """Give each step, and at last the outcome."""
        self._start()
        event: Event | None = None
        while not isinstance(event, Outcome):
            event = self._events.get()
            yield event

    async def aevents(self) -> AsyncIterator[Event]:
        """The same for an event loop."""
        self._start()
        event: Event | None = None
        while not isinstance(event, Outcome):
            event = await asyncio.to_thread(self._events.get)
            yield event

    def _start(self) -> None:
        # Not a daemon, whatever the server's threads are: a process that ends waits for it.
        threading.Thread(target=self._run, name="domicile-create", daemon=False).start()

    def _run(self) -> None:
        try:
            outcome = self._work(self._events.put)
        except Exception as error:
            logger.exception("Could not create a tenant.")
            outcome = Outcome(error=error)
        finally:
            connections.close_all()
        self._events.put(outcome)


class ProgressPage:
    """A page with `MARK` where the steps are to be, followed by what the outcome is told with.

    All that needs the request is done before the response begins: the rest is written by whatever
    thread, or event loop, sends it.
    """

    def __init__(self, page: str, outcome: Callable[[Outcome], str]) -> None:
        self._head, _mark, self._tail = page.partition(MARK)
        self._outcome = outcome
        self._language = translation.get_language()

    def response(self, request: HttpRequest, creation: Creation) -> StreamingHttpResponse:
        """Return the response that a browser can show before it has ended."""
        by_loop = isinstance(request, ASGIRequest)
        response = StreamingHttpResponse(
            self._achunks(creation) if by_loop else self._chunks(creation)
        )
        # What compresses or buffers a response would keep the steps until the last.
        response["Content-Encoding"] = "identity"
        response["X-Accel-Buffering"] = "no"
        return response

    def _chunks(self, creation: Creation) -> Iterator[str]:
        yield self._head
        for event in creation.events():
            yield self._render(event)
        yield self._tail

    async def _achunks(self, creation: Creation) -> AsyncIterator[str]:
        yield self._head
        async for event in creation.aevents():
            yield self._render(event)
        yield self._tail

    def _render(self, event: Event) -> str:
        with translation.override(self._language):
            if isinstance(event, Outcome):
                return self._outcome(event)
            kind = KINDS.get(event.kind, event.kind)
            return format_html("<li><span>{}</span> <code>{}</code></li>\n", kind, event.detail)
