"""A session: one physical connection of one thread, with its transaction."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from domicile.context import Frame, innermost

if TYPE_CHECKING:
    from domicile.backends.limits import OpenConnections

#: What `BaseDatabaseWrapper.__init__` and the engines keep on a wrapper that belongs to the
#: physical connection, not to the alias. `tests/test_django_internals.py` fails when Django adds
#: to it.
SESSION_ATTRIBUTES = (
    "connection",
    "queries_log",
    "force_debug_cursor",
    "autocommit",
    "in_atomic_block",
    "savepoint_state",
    "savepoint_ids",
    "atomic_blocks",
    "commit_on_exit",
    "needs_rollback",
    "rollback_exc",
    "close_at",
    "closed_in_transaction",
    "errors_occurred",
    "health_check_enabled",
    "health_check_done",
    "_thread_sharing_lock",
    "_thread_sharing_count",
    "_thread_ident",
    "run_on_commit",
    "run_commit_hooks_on_set_autocommit_on",
    "execute_wrappers",
    "_named_cursor_idx",
    "isolation_level",
    "transaction_mode",
)


#: Where a session stands that is set as its database's settings say.
STATIC = "static"


class Session:
    """One physical connection of one thread, with its transaction, and the home it is set to."""

    _named_cursor_idx = 0
    connection: Any = None
    autocommit: bool
    in_atomic_block: bool
    needs_rollback: bool
    errors_occurred: bool
    health_check_enabled: bool
    health_check_done: bool
    close_at: float | None
    execute_wrappers: list[Any]
    _thread_ident: int
    #: When it was opened last (`time.monotonic()`).
    opened_at: float | None = None
    #: Who counts this session, where it belongs to one tenant alone.
    limits: OpenConnections | None = None

    #: Where the server was set to last; None: not known.
    place: object = None
    #: The activation in which it arrived there.
    frame: Frame | None = None

    def __init__(self) -> None:
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
    def is_busy(self) -> bool:
        """Whether it is in a transaction or, where cursors are counted, one is open."""
        return self.in_atomic_block or not self.autocommit or bool(self._open_cursors)

    def close_if_idle(self) -> bool:
        """Close the connection unless it is in use; tell whether it is closed now.

        Any thread may call this: the owner starts nothing without the lock.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self.connection is None:
                return True
            if self.is_busy:
                return False
            connection, self.connection = self.connection, None
            self.forget()
            connection.close()
            return True
        finally:
            self.lock.release()


def session_attribute(name: str) -> property:
    """Return the property by which wrappers have an attribute of their session.

    Its functions name the attribute in their code: Python then inlines them where they are used,
    which is a dozen times a query.
    """
    functions: dict[str, Any] = {}
    exec(_ACCESS.format(name=name), functions)
    return property(functions["getter"], functions["setter"])


_ACCESS = """
def getter(wrapper):
    return wrapper.session.{name}

def setter(wrapper, value):
    wrapper.session.{name} = value
"""
