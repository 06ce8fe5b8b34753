"""The sessions that this process has, of all its threads, by alias."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet


@dataclass(frozen=True)
class ConnectionStats:
    """One alias's connections in this process."""

    alias: str
    vendor: str
    #: Open now, by all threads.
    open: int
    #: Of these, in a transaction or, where `MAX_CONNECTIONS` counts them, with an open cursor.
    in_use: int
    #: Seconds since the oldest was opened; None: none is open, or another engine than ours.
    age: float | None
    #: What psycopg's pool says of itself, such as `pool_max`, `requests_waiting` and
    #: `requests_wait_ms` (https://www.psycopg.org/psycopg3/docs/advanced/pool.html#pool-stats).
    pool: Mapping[str, int] | None = None

    @property
    def idle(self) -> int:
        """How many are open and not in use."""
        return self.open - self.in_use


class Census:
    """Every wrapper with a session of its own, for as long as somebody holds it."""

    def __init__(self) -> None:
        self._wrappers: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()

    def note(self, wrapper: Any) -> None:
        """Count a wrapper from now on."""
        if getattr(wrapper, "owner", wrapper) is wrapper:
            with self._lock:
                self._wrappers.add(wrapper)

    def retire(self, wrapper: Any) -> None:
        """Count a closed wrapper no more, and close its pool where it was the last to use it."""
        with self._lock:
            self._wrappers.discard(wrapper)
        _close_pool(wrapper, self.wrappers())

    def expire(self, alias: str) -> None:
        """Have what an alias has open closed: each connection, before the next request, by its own
        thread, as old ones are; and its pools, where no other alias uses them.
        """
        wrappers = self.wrappers(alias)
        for wrapper in wrappers:
            wrapper.close_at = 0.0
        others = [wrapper for wrapper in self.wrappers() if wrapper.alias != alias]
        for wrapper in {_pool_key(wrapper): wrapper for wrapper in wrappers}.values():
            _close_pool(wrapper, others)

    def wrappers(self, alias: str | None = None) -> list[Any]:
        """Return those of an alias, or all."""
        with self._lock:
            known = list(self._wrappers)
        return [wrapper for wrapper in known if alias in (None, wrapper.alias)]

    def in_use(self, alias: str) -> int:
        """Return how many connections of an alias are in use."""
        return sum(map(_is_in_use, self.wrappers(alias)))

    def stats(self) -> list[ConnectionStats]:
        """Return what every alias has open or pooled."""
        aliases: dict[str, list[Any]] = {}
        for wrapper in self.wrappers():
            aliases.setdefault(wrapper.alias, []).append(wrapper)
        found = [_stats(alias, wrappers) for alias, wrappers in sorted(aliases.items())]
        return [stats for stats in found if stats.open or stats.pool]


def _stats(alias: str, wrappers: list[Any]) -> ConnectionStats:
    opened = [wrapper for wrapper in wrappers if wrapper.connection is not None]
    sessions = (getattr(wrapper, "session", None) for wrapper in opened)
    times = [session.opened_at for session in sessions if session and session.opened_at]
    one = (opened or wrappers)[0]
    pool = None if _pool_key(one) is None else one.pool
    return ConnectionStats(
        alias=alias,
        vendor=one.vendor,
        open=len(opened),
        in_use=sum(map(_is_in_use, wrappers)),
        age=time.monotonic() - min(times) if times else None,
        pool=None if pool is None else pool.get_stats(),
    )


def _is_in_use(wrapper: Any) -> bool:
    if wrapper.connection is None:
        return False
    session = getattr(wrapper, "session", None)
    return bool(wrapper.in_atomic_block if session is None else session.is_busy)


def _close_pool(wrapper: Any, others: list[Any]) -> None:
    """Close the pool of a wrapper unless one of others uses it."""
    key = _pool_key(wrapper)
    if key is not None and all(_pool_key(other) != key for other in others):
        wrapper.close_pool()


def _pool_key(wrapper: Any) -> Any:
    """What tells the pool of a wrapper from others; None where it has none."""
    if not wrapper.settings_dict["OPTIONS"].get("pool"):
        return None
    return getattr(wrapper, "pool_key", wrapper.alias)


#: This process's.
census = Census()


def connection_stats() -> list[ConnectionStats]:
    """Return the connections of this process, by alias: those of tenants that share one session
    with their database are counted there.
    """
    return census.stats()
