"""Databases that others keep."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domicile.rules.base import Fixed, Rule, label_of

if TYPE_CHECKING:
    from django.db.models import Model


@dataclass(frozen=True)
class Legacy(Rule):
    """A database that is never migrated and, unless `writable`, never written."""

    alias: str
    apps: Collection[str] = ()
    writable: bool = False

    def databases(self) -> Collection[str]:
        return (self.alias,)

    def names(self) -> Collection[str]:
        return self.apps

    def lodging(self, model: type[Model]) -> Fixed | None:
        names = {name.lower() for name in self.apps}
        if names.isdisjoint((model._meta.app_label.lower(), label_of(model))):
            return None
        return Fixed(self, self.alias, is_migrated=False, is_writable=self.writable)

    def app_alias(self, app_label: str) -> str | None:
        return self.alias if app_label in self.apps else None
