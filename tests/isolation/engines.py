"""Other settings for a static database, and what travels to its server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from django.db import connections

from tests.isolation.campus import in_thread


def with_settings(alias: str, work: Callable[[], Any], **changes: Any) -> Any:
    """Run `work` in a thread that reaches the database `alias` by changed settings."""

    def run() -> Any:
        stock = connections.static(alias)
        options = {**stock.settings_dict["OPTIONS"], **changes.pop("OPTIONS", {})}
        wrapper = type(stock)({**stock.settings_dict, **changes, "OPTIONS": options}, alias)
        connections[alias] = wrapper
        try:
            return work()
        finally:
            connections.close_all()
            if wrapper.vendor == "postgresql":
                wrapper.close_pool()

    return in_thread(run)


def messages(connection: Any, work: Callable[[], Any]) -> list[str]:
    """Return the simple queries that libpq sends while `work` runs."""
    connection.ensure_connection()
    pgconn = connection.connection.pgconn
    with tempfile.TemporaryFile("w+") as file:
        pgconn.trace(file.fileno())
        try:
            work()
        finally:
            pgconn.untrace()
        file.seek(0)
        sent = [line.split("\t", 4) for line in file.read().splitlines() if line.count("\t") > 3]
    return [text for _, side, _, kind, text in sent if side == "F" and kind in ("Query", "Parse")]
