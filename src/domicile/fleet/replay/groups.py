"""Homes that are done alike: by what was sent to the first of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from domicile.backends.replay import Comparing
from domicile.fleet.replay.internals import Applied
from domicile.fleet.replay.scope import Scope
from domicile.fleet.replay.script import Message, Script
from domicile.placement import Home


@dataclass(frozen=True)
class Kind:
    """What homes have in common that can be done alike; `before` only where it was asked for."""

    placement: str
    applied: Applied
    before: str = ""


@dataclass
class Group:
    """Homes of one kind: how they are done, once the first of them was."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    script: Script | None = None
    #: The first, what others are compared with it in, and its fingerprint of that when it was done.
    model: Home | None = None
    scope: Scope = None
    after: str = ""
    messages: list[Message] = field(default_factory=list)
    #: What does all of it in one message, where there is such a thing.
    comparing: Comparing | None = None

    @contextmanager
    def held(self, meanwhile: Callable[[], None]) -> Iterator[None]:
        """Hold the lock; where it is not free do something else before waiting for it."""
        if not self.lock.acquire(blocking=False):
            if self.script is None:
                meanwhile()
            self.lock.acquire()
        try:
            yield
        finally:
            self.lock.release()

    @property
    def is_replayable(self) -> bool:
        """Whether others can be done by the script, and compared with the first."""
        return self.script is not None and self.script.is_whole and bool(self.after)
