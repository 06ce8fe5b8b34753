from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import domicile
from django.db import connections
from django.db.models import QuerySet


@dataclass(frozen=True)
class Found:
    """Rows, the databases that they came from, and why they were looked for there."""

    rows: Sequence[Any]
    aliases: Sequence[str]
    reasons: Sequence[str]

    @classmethod
    def of(cls, queryset: QuerySet[Any]) -> Self:
        route = domicile.explain_route(queryset)
        rows = list(queryset)
        return cls(rows, unique(map(came_from, rows)) or route.aliases, route.reasons)

    @property
    def engine(self) -> str:
        return connections[self.aliases[0]].display_name

    @property
    def place(self) -> str:
        """One alias; or of rows by time the first and the last."""
        return " … ".join(unique([self.aliases[0], self.aliases[-1]]))


def came_from(row: Any) -> str:
    """The database that a row was read from: a replica is not the one that it belongs to."""
    return getattr(row._state, "read_from", row._state.db)


def unique(names: Iterable[str]) -> list[str]:
    return sorted(set(names))
