"""Sensor readings in a home for each month, on each kind of placement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connections

from domicile.periods.homes import PeriodHomes, homes_of
from domicile.rules import Periods
from tests import servers
from tests.databases import databases, make_database
from tests.testproject.sensors.models import Reading

#: How the homes of months are kept: the layout, and the server behind it.
KINDS = {
    "schemas": "default",
    "databases": "default",
    "files": "sqlite",
    "mariadb": "mariadb",
}


def placement_of(kind: str) -> dict[str, Any]:
    return {
        "schemas": {"DATABASE": "timeseries", "SCHEMA": "readings_{period}"},
        "databases": {"DATABASE": "timeseries", "NAME": "readings_{period}"},
        "mariadb": {"DATABASE": "timeseries", "NAME": "readings_{period}"},
        "files": {
            "ENGINE": "domicile.backends.sqlite3",
            "NAME": str(servers.folder() / "readings_{period}.sqlite3"),
        },
    }[kind]


@contextmanager
def monthly(
    kind: str = "schemas", *, more: Iterable[Any] = (), **changes: Any
) -> Iterator[PeriodHomes]:
    """The readings under a rule `Periods`, and `more` rules; yields their homes. `changes` are of
    the rule or, in capitals, of `DOMICILE`.
    """
    others = {name: changes.pop(name) for name in list(changes) if name.isupper()}
    options = {"field": "taken_at", "every": "month", "unbounded": "fan_out", "ahead": 600}
    rule = Periods("sensors.Reading", placement="months", **{**options, **changes})
    placements = {**settings.DOMICILE["PLACEMENTS"], "months": placement_of(kind)}
    added = {"timeseries": make_database(KINDS[kind], "timeseries")}
    with databases(added, rules=[rule, *more], PLACEMENTS=placements, **others):
        try:
            yield homes_of("months")
        finally:
            _drop_all(homes_of("months"))


def _drop_all(homes: PeriodHomes) -> None:
    for located in homes.store.names():
        homes.store.drop(located)
    wrappers = connections._wrappers()
    for alias in [*wrappers.views, *wrappers.own]:
        if alias.startswith("period:"):
            connections.forget(alias)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def readings(first: str, count: int, *, hours: int = 24, **fields: Any) -> list[Reading]:
    """New rows, not saved: one every so many hours, whose values count up."""
    start = at(first)
    return [
        Reading(taken_at=start + timedelta(hours=hours * number), value=number, **fields)
        for number in range(count)
    ]
