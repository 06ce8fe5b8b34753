"""Threads for the workers of a run, which get ready while it is still found out what is to be done.

To connect, and to have the server plan what it will be asked in each home, takes a session longer
than many a home. All of that is waiting, so another thread can plan the migrations meanwhile.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from domicile.fleet.site import handler
from domicile.placement import SHARED_ALIAS

Job = Callable[[], None]


class Hands:
    """Threads that wait for a job each. They close their connections when that is done."""

    def __init__(self, number: int) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._idle = number
        self._threads: list[threading.Thread] = []
        for _ in range(number):
            self._hire()

    def do(self, job: Job) -> None:
        """Have one do a job; another is hired where none is idle."""
        if self._idle:
            self._idle -= 1
        else:
            self._hire()
        self._jobs.put(job)

    def keep(self, number: int) -> None:
        """Let those go home that are idle, and more than so many."""
        for _ in range(number, self._idle):
            self._jobs.put(None)
        self._idle = min(self._idle, number)

    def dismiss(self) -> None:
        """Wait until all have done their jobs; no more are given."""
        self.keep(0)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        try:
            with suppress(Exception):  # Who has a job meets the error again, and tells it.
                shared = handler()[SHARED_ALIAS]
                shared.ensure_connection()
                shared.catalog_class(shared).get_ready()
            job = self._jobs.get()
            if job is not None:
                job()
        finally:
            handler().close_all()


@contextmanager
def hired(number: int) -> Iterator[Hands]:
    """Give so many, who are dismissed in the end."""
    hands = Hands(number)
    try:
        yield hands
    finally:
        hands.dismiss()
