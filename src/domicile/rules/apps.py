"""App or model → database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domicile.rules.base import Fixed, Rule, label_of

if TYPE_CHECKING:
    from django.db.models import Model


@dataclass(frozen=True)
class Apps(Rule):
    """The databases of apps (`"blog"`) and of single models (`"shop.Invoice"`), which win."""

    places: Mapping[str, str]

    def databases(self) -> Collection[str]:
        return set(self.places.values())

    def names(self) -> Collection[str]:
        return self.places.keys()

    def lodging(self, model: type[Model]) -> Fixed | None:
        alias = self._by_model().get(label_of(model))
        if alias is None:
            alias = self.places.get(model._meta.app_label)
        return None if alias is None else Fixed(self, alias)

    def app_alias(self, app_label: str) -> str | None:
        return self.places.get(app_label)

    def _by_model(self) -> dict[str, str]:
        return {name.lower(): alias for name, alias in self.places.items() if "." in name}
