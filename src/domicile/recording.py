"""Which routes the statements of a request took: for whoever develops a project.

A recorder listens to the connections of its thread by Django's execute wrappers. It costs a little
with each statement, so nothing listens unless it was asked to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models import Model

from domicile.explain import USING, rule_of
from domicile.placement import is_tenant_alias
from domicile.residence import Residence, residence_of
from domicile.routing import database_of, lodging_of
from domicile.statements import is_write, put_first

#: The first table that a statement names, without its schema.
_TABLE = re.compile(
    r"\b(?:FROM|INTO|UPDATE)\s+(?:ONLY\s+)?(?:[\"`]?\w+[\"`]?\.)?(?:\"([^\"]+)\"|`([^`]+)`|(\w+))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Taken:
    """Statements that took the same route."""

    #: "app.Model", by the first table that they name; empty: by none that a model has.
    model: str
    is_write: bool
    alias: str
    #: As `Route.rule` tells it.
    rule: str
    count: int
    milliseconds: float

    @property
    def operation(self) -> str:
        return "write" if self.is_write else "read"

    def __str__(self) -> str:
        rule = f" ({self.rule})" if self.rule else ""
        return f"{self.model or 'SQL'} {self.operation} {self.alias}{rule} x{self.count}"


class Recorder:
    """Listens from `start()` to `stop()`; each may be called more than once."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, bool, str], tuple[int, float]] = {}
        #: The lists of wrappers that it is in.
        self._places: list[list[Any]] = []

    def start(self) -> None:
        """Listen to what this thread has open, and to what it opens."""
        if self in _listening.get():
            return
        _listening.set((*_listening.get(), self))
        for connection in connections.all(initialized_only=True):
            self.attend(connection)

    def stop(self) -> None:
        _listening.set(tuple(each for each in _listening.get() if each is not self))
        for wrappers in self._places:
            wrappers[:] = [wrapper for wrapper in wrappers if wrapper is not self]
        self._places.clear()

    def attend(self, connection: Any) -> None:
        """Listen to a connection."""
        if put_first(connection, self):
            self._places.append(connection.execute_wrappers)

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        began = perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            key = (_table_of(sql), is_write(sql), context["connection"].alias)
            count, seconds = self._heard.get(key, (0, 0.0))
            self._heard[key] = (count + 1, seconds + perf_counter() - began)

    def taken(self) -> list[Taken]:
        """Return what was heard, in the order in which it came first."""
        return list(self._taken())

    def _taken(self) -> Iterator[Taken]:
        for (table, writes, alias), (count, seconds) in self._heard.items():
            model = _models().get(table)
            label = "" if model is None else model._meta.label
            rule = "" if model is None else _rule(model, alias)
            yield Taken(label, writes, alias, rule, count, seconds * 1000)


#: Who listens in this context.
_listening: ContextVar[tuple[Recorder, ...]] = ContextVar("domicile_recorders", default=())


def _opened(connection: Any, **_: Any) -> None:
    for recorder in _listening.get():
        recorder.attend(connection)


connection_created.connect(_opened, dispatch_uid="domicile.recording")


def _table_of(sql: Any) -> str:
    found = _TABLE.search(str(sql))
    return next(filter(None, found.groups()), "") if found else ""


@cache
def _models() -> dict[str, type[Model]]:
    models = apps.get_models(include_auto_created=True)
    return {model._meta.db_table: model for model in models if not model._meta.proxy}


def _rule(model: type[Model], alias: str) -> str:
    """Return what decided, as far as one can see from where it went."""
    return rule_of(model, alias) if _is_at_home(model, alias) else USING


def _is_at_home(model: type[Model], alias: str) -> bool:
    lodging, database = lodging_of(model), database_of(alias)
    if is_tenant_alias(database):
        if residence_of(model) is Residence.TENANT and lodging is not None:
            return lodging.is_at(database)
        return residence_of(model) is not Residence.SHARED
    if residence_of(model) is Residence.TENANT:
        return False
    if lodging is not None:
        return lodging.is_at(database)
    return database == database_of("default")


def _reset(*, setting: str, **_: Any) -> None:
    if setting == "INSTALLED_APPS":
        _models.cache_clear()


setting_changed.connect(_reset, dispatch_uid="domicile.recording")
