"""A session: one physical connection of one thread, and where it stands."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from domicile.context import Frame, innermost

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from domicile.backends.limits import OpenConnections

#: Where a session stands that is set as its database's settings say.
STATIC = "static"


class Session:
    """One physical connection of one thread, and the home it is set to; the rest Django keeps on
    the wrapper that owns it.
    """

    #: When it was opened last (`time.monotonic()`).
    opened_at: float | None = None
    #: Who counts this session, where it belongs to one tenant alone.
    limits: OpenConnections | None = None

    #: Where the server was set to last; None: not known.
    place: object = None
    #: The activation in which it arrived there.
    frame: Frame | None = None

    def __init__(self, owner: BaseDatabaseWrapper) -> None:
        self.owner: Any = owner
        self.lock = threading.RLock()
        #: None: none was tracked yet.
        self._open_cursors: WeakSet[Any] | None = None

    def forget(self) -> None:
        """The server's state is not known any more: the next statement sets it."""
        self.place = self.frame = None

    def arrived(self, place: object) -> None:
        """The server was set to `place`, and nothing since can have changed that."""
        self.place = place
        self.frame = innermost.get()

    def track(self, cursor: Any) -> Any:
        """Count a cursor as in use until it is closed, or nobody holds it any more."""
        if self._open_cursors is None:
            self._open_cursors = WeakSet()
        driver_cursor, open_cursors = cursor.cursor, self._open_cursors

        def close() -> None:
            open_cursors.discard(driver_cursor)
            driver_cursor.close()

        open_cursors.add(driver_cursor)
        cursor.close = close
        return cursor

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self.owner.connection is not None

    @property
    def is_busy(self) -> bool:
        """Whether it is in a transaction or, where cursors are counted, one is open."""
        owner = self.owner
        return owner.in_atomic_block or not owner.autocommit or bool(self._open_cursors)

    def close_if_idle(self) -> bool:
        """Close the connection unless it is in use; tell whether it is closed now.

        Any thread may call this: the owner starts nothing without the lock.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if not self.is_open:
                return True
            if self.is_busy:
                return False
            connection, self.owner.connection = self.owner.connection, None
            self.forget()
            connection.close()
            return True
        finally:
            self.lock.release()
