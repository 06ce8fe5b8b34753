"""A cap on the open connections of one process: those of tenants that have a database of their own
and of databases added at run time; with `COUNT_ALL_CONNECTIONS`, those of `DATABASES` too.

Where the cap is reached, the connection used longest ago is closed, whichever thread opened it,
provided that it is idle: no transaction, no open cursor. A lock per session keeps its thread from
starting a statement while another one looks and closes.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from domicile.conf import conf
from domicile.exceptions import ConnectionLimitReached

if TYPE_CHECKING:
    from domicile.backends.session import Session


#: Seconds; a cursor that is closed makes its connection idle, and tells nobody.
_LOOK_EVERY = 0.05


class OpenConnections:
    """The sessions that are open now, in the order of their last use."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sessions: WeakValueDictionary[int, Session] = WeakValueDictionary()
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def used(self, session: Session) -> None:
        """Put an open session at the end of the line."""
        with self._changed:
            if self._sessions.pop(id(session), None) is not None:
                self._sessions[id(session)] = session

    def admit(self, session: Session, alias: str) -> None:
        """Make room for one more; `ConnectionLimitReached` where none is free in time."""
        limit, deadline = conf().max_connections, time.monotonic() + conf().connection_wait
        with self._changed:
            while len(self._sessions) >= limit and not self._close_oldest():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ConnectionLimitReached(
                        f"Cannot connect to {alias!r}: all {limit} connections that"
                        " DOMICILE['MAX_CONNECTIONS'] allows to this process were in use for"
                        f" {conf().connection_wait:g} s. Allow more, or close cursors and"
                        " transactions sooner."
                    )
                self._waiting += 1
                try:
                    self._changed.wait(min(left, _LOOK_EVERY))
                finally:
                    self._waiting -= 1
            self._sessions[id(session)] = session

    def released(self, session: Session) -> None:
        """The session is closed, or may be idle now: somebody may be waiting for it."""
        with self._changed:
            if not session.is_open:
                self._sessions.pop(id(session), None)
            self._changed.notify()

    def _close_oldest(self) -> bool:
        for key, session in list(self._sessions.items()):
            if session.close_if_idle():
                del self._sessions[key]
                return True
        return False

    def stats(self) -> dict[str, Any]:
        """Return how many are open, how many may be, and how many threads wait for one."""
        limit = conf().max_connections
        return {"open": len(self._sessions), "limit": limit, "waiting": self._waiting}


#: This process's.
open_connections = OpenConnections()
