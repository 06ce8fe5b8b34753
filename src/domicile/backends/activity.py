"""What a server says of its sessions, asked by anybody who may connect to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.db.utils import load_backend

from domicile.backends.replication import replication_of

_BY_VENDOR = {
    "postgresql": "domicile.backends.postgresql.activity",
    "mysql": "domicile.backends.mysql.activity",
}
_AT_A_TIME = 16


@dataclass(frozen=True)
class Activity:
    """The sessions of one database, without the one that asks. None: the engine cannot tell."""

    #: In a transaction, or executing.
    in_use: int | None = None
    idle: int | None = None
    #: Of those in use, how many wait for somebody else's lock.
    waiting: int | None = None
    #: Since the server counts: transactions of the database, or statements of the whole server.
    queries: int | None = None
    #: Seconds since the oldest session connected.
    age: float | None = None
    #: Sessions of all its databases, and how many the server admits.
    server_sessions: int | None = None
    server_limit: int | None = None


@dataclass(frozen=True)
class Examined:
    """A database as it answered."""

    alias: str
    vendor: str
    #: Milliseconds that one question took, once connected; None: it did not answer.
    latency: float | None
    activity: Activity
    #: Why it did not answer.
    error: str = ""

    @property
    def alive(self) -> bool:
        """Whether it answered."""
        return self.latency is not None


def activity_of(connection: Any) -> Activity:
    """Return what the server of a wrapper says, also of Django's own engines."""
    module = _BY_VENDOR.get(connection.vendor)
    if module is None:
        return Activity()
    found: Activity = import_module(module).activity(connection)
    return found


def examine(databases: Mapping[str, Mapping[str, Any]], seconds: float = 3.0) -> list[Examined]:
    """Connect to databases, given as alias → settings, and ask each how it is; in their order.

    :param seconds: for each to connect, where its settings do not say.
    """
    if not databases:
        return []
    with ThreadPoolExecutor(min(_AT_A_TIME, len(databases))) as executor:
        asked = [
            executor.submit(_examine, alias, settings, seconds)
            for alias, settings in databases.items()
        ]
        return [answer.result() for answer in asked]


def _examine(alias: str, settings: Mapping[str, Any], seconds: float) -> Examined:
    wrapper = None
    try:
        wrapper = lone_wrapper(alias, settings, seconds)
        wrapper.ensure_connection()
        started = time.perf_counter()
        activity = activity_of(wrapper)
        if activity == Activity():
            wrapper.is_usable()
        return Examined(alias, wrapper.vendor, 1000 * (time.perf_counter() - started), activity)
    except Exception as error:  # Drivers that are missing, settings that are wrong, servers gone.
        vendor = settings["ENGINE"].rpartition(".")[2] if wrapper is None else wrapper.vendor
        return Examined(alias, vendor, None, Activity(), str(error).strip())
    finally:
        if wrapper is not None:
            wrapper.close()


def lone_wrapper(alias: str, settings: Mapping[str, Any], seconds: float) -> Any:
    """Return a wrapper, without a pool, that gives up connecting after so many seconds."""
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
    wrapper: Any = load_backend(settings["ENGINE"]).DatabaseWrapper(
        {**settings, "OPTIONS": options}, alias
    )
    wrapper.settings_dict["OPTIONS"] = replication_of(wrapper).bounded(options, seconds)
    return wrapper
