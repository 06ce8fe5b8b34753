"""Instances are written at home."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import Model

from domicile.router import EXPLICIT_HINT, refuse_copy, refuse_value


def saving_at_home(original: Any) -> Any:
    def save_base(
        self: Any,
        raw: bool = False,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Any = None,
    ) -> None:
        using = _using_for(self, using)
        original(self, raw, force_insert, force_update, using, update_fields)

    return save_base


def deleting_at_home(original: Any) -> Any:
    def delete(self: Any, using: str | None = None, keep_parents: bool = False) -> Any:
        return original(self, _using_for(self, using), keep_parents)

    return delete


def _using_for(instance: Any, using: str | None) -> str:
    """Return the alias to write an instance to; refuse one that is not its home."""
    if using is None or using == DEFAULT_DB_ALIAS:
        hints = {} if using is None else {EXPLICIT_HINT: True}
        return router.db_for_write(type(instance), instance=instance, **hints)
    refuse_copy(instance, using)
    return using


def refusing_strangers(original: Any) -> Any:
    def bulk(self: Any, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        objs = list(objs)
        if any(obj._state.db is not None for obj in objs):
            self._for_write = True
            for obj in objs:
                refuse_copy(obj, self.db)
        return original(self, objs, *args, **kwargs)

    return bulk


def refusing_strange_values(original: Any) -> Any:
    def update(self: Any, **kwargs: Any) -> int:
        instances = [value for value in kwargs.values() if isinstance(value, Model)]
        if instances:
            self._for_write = True
            for instance in instances:
                refuse_value(instance, self.db)
        return original(self, **kwargs)

    return update
