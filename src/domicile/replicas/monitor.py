"""Asks servers how they are, from threads of its own over connections of its own.

One thread for each server, so that one that hangs delays no other. They begin when the first read
wants a replica; a forked child begins again by itself.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.utils import load_backend

from domicile.backends.replication import Position, State, replication_of
from domicile.exceptions import first_line
from domicile.replicas.discovery import Finder

if TYPE_CHECKING:
    from domicile.replicas.sets import ReplicaSet

logger = logging.getLogger("domicile.replicas")

#: Looks of processes that began together drift apart by this part of the time between two.
_JITTER = 0.2
#: Positions of the primary that are remembered.
_TRAIL = 300


class Trail:
    """Where the primary was, and when this process saw it there: tells the age of what a replica
    has by one clock, while the clocks of the servers may differ.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Position]] = deque(maxlen=_TRAIL)

    @property
    def last(self) -> Position | None:
        return self._seen[-1][1] if self._seen else None

    def note(self, position: Position, at: float) -> None:
        if not self._seen or position.cluster != self._seen[-1][1].cluster:
            self._seen.clear()
        self._seen.append((at, position))

    def lag(self, position: Position, now: float) -> float | None:
        """Return how many seconds ago the primary was there, at most; None: longer than this goes
        back.
        """
        seen = list(self._seen)
        if seen and position.reaches(seen[-1][1]):
            return 0.0
        return next((now - at for at, place in reversed(seen) if position.reaches(place)), None)

    def aged(self, state: State, now: float) -> State:
        """Return what a replica said with its lag by this trail, where that goes back so far."""
        if state.position is None or not self._seen:
            return state
        lag = self.lag(state.position, now)
        if lag is None:
            lag = max(now - self._seen[0][0], state.lag_seconds or 0.0)
        return replace(state, lag_seconds=lag)


class Repeating(threading.Thread):
    """Does something again and again until it is stopped, and then something else once."""

    def __init__(
        self,
        name: str,
        every: float,
        action: Callable[[], None],
        last: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=f"domicile-{name}", daemon=True)
        self._action, self._last = action, last
        self._every = every
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            self._action()
            self._ending.wait(self._every * random.uniform(1 - _JITTER, 1 + _JITTER))
        self._last()

    @property
    def is_ending(self) -> bool:
        return self._ending.is_set()

    def stop(self) -> None:
        self._ending.set()


class Watcher:
    """Asks one server."""

    def __init__(self, alias: str, monitor: Monitor) -> None:
        self.alias = alias
        self._monitor = monitor
        self._settings: Any = None
        self._connection: Any = None
        self.thread = Repeating(f"monitor-{alias}", monitor.every, self.look, self._drop)

    def look(self) -> None:
        """Ask once, and report."""
        self._monitor.await_primary(self.alias)
        asked_at = monotonic()
        try:
            replication = replication_of(self._connected())
            state = replication.state(self._monitor.trail.last)
            if self._monitor.counts_running:
                state = replace(state, running=replication.running())
        except Exception as error:  # Whatever it is, it must not end the thread.
            self._drop()
            state = State(alive=False, trouble=f"it does not answer: {first_line(error)}")
        if not self.thread.is_ending:
            self._monitor.report(self.alias, state, asked_at)

    def _connected(self) -> Any:
        settings = connections[self.alias].settings_dict
        if self._connection is None or settings != self._settings:
            self._drop()
            self._settings = dict(settings)
            self._connection = _wrapper(self.alias, settings, self._monitor.connect_seconds)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:  # It is of no use any more, whatever it says.
                logger.debug("Closing the connection to %r failed", self.alias, exc_info=True)


def _wrapper(alias: str, settings: Any, seconds: float) -> Any:
    """Return a wrapper that belongs to this thread alone, and does not hang on a dead server."""
    options = {name: value for name, value in settings["OPTIONS"].items() if name != "pool"}
    own = {**settings, "OPTIONS": options, "AUTOCOMMIT": True, "CONN_MAX_AGE": None}
    wrapper = load_backend(settings["ENGINE"]).DatabaseWrapper(own, alias)
    own["OPTIONS"] = replication_of(wrapper).bounded(options, seconds)
    return wrapper


class Monitor:
    """The watchers of one set of replicas."""

    def __init__(self, replicas: ReplicaSet) -> None:
        rule = replicas.rule
        self.every, self.connect_seconds = rule.every, rule.connect_seconds
        self.counts_running = replicas.policy.counts_running
        self._replicas = replicas
        self._inherited: list[Watcher] = []
        self._closed = False
        self._watchers: dict[str, Watcher] = {}
        self.renew()

    def renew(self) -> None:
        """Begin anew, as in a forked child: threads and locks are not there any more. Connections
        are the parent's to close.
        """
        self._inherited += self._watchers.values()
        self.trail = Trail()
        #: Every server was asked once; and the primary was.
        self.asked, self._primary_asked = threading.Event(), threading.Event()
        self._unasked: set[str] = set()
        #: It asks.
        self.is_started = False
        self._starting = threading.RLock()
        self._watchers = {}
        self._finder: Repeating | None = None

    def start(self) -> None:
        """Begin to ask, unless that was done."""
        if self.is_started or self._closed:
            return
        with self._starting:
            if not self.is_started:
                self.watch(self._replicas.primary, *self._replicas.table.members)
                self._find()
                self.is_started = True

    def watch(self, *aliases: str) -> None:
        """Ask these too."""
        with self._starting:
            if self._closed:  # While a finder was in the midst of a look-up.
                return
            new = set(aliases) - self._watchers.keys()
            self._unasked |= new  # All, before the first can report that nobody is left to ask.
            for alias in new:
                if alias != self._replicas.primary:
                    _bound(alias, self.connect_seconds)
                watcher = self._watchers[alias] = Watcher(alias, self)
                watcher.thread.start()

    def forget(self, alias: str) -> None:
        """Do not ask this one any more."""
        watcher = self._watchers.pop(alias, None)
        if watcher is not None:
            watcher.thread.stop()

    def await_primary(self, alias: str) -> None:
        """Wait for the primary's first answer: what a replica says is compared with it."""
        if alias != self._replicas.primary:
            self._primary_asked.wait(self.connect_seconds)

    def report(self, alias: str, state: State, asked_at: float) -> None:
        """Take in what a server said."""
        if alias != self._replicas.primary:
            state = self.trail.aged(state, monotonic())
        elif state.position is not None:
            self.trail.note(state.position, asked_at)
        self._replicas.report(alias, state, asked_at)
        if alias == self._replicas.primary:
            self._primary_asked.set()
        self._unasked.discard(alias)
        if not self._unasked:
            self.asked.set()

    def close(self) -> None:
        """Stop asking."""
        self._closed = True
        with self._starting:
            for watcher in self._watchers.values():
                watcher.thread.stop()
            if self._finder is not None:
                self._finder.stop()

    def _find(self) -> None:
        discovery = self._replicas.rule.discovery
        if discovery is not None:
            look = Finder(self._replicas, discovery).look
            self._finder = Repeating(f"finder-{discovery.name}", discovery.every, look)
            self._finder.start()


def _bound(alias: str, seconds: float) -> None:
    """Have no connection to a replica hang for longer, whoever opens it."""
    wrapper = connections[alias]
    settings = wrapper.settings_dict
    settings["OPTIONS"] = replication_of(wrapper).bounded(settings["OPTIONS"], seconds)
