"""Where a home stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction

from domicile.backends.homes import HomeStore
from domicile.conf import conf
from domicile.connections import HomeConnectionHandler
from domicile.placement import TENANT_PREFIX, Home, Placement


def handler() -> HomeConnectionHandler:
    """Return `django.db.connections` as what `domicile.connections.install()` made of it."""
    return connections  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a home stands: who makes and drops it, and under which name."""

    store: HomeStore
    name: str
    placement: Placement

    @classmethod
    def of(cls, placement: Placement) -> Site:
        template = conf().placement(placement.template)
        store = handler().host(template).store(template)
        return cls(store, template.locate(placement.name), placement)

    def exists(self) -> bool:
        return self.store.exists(self.name)

    def drop(self) -> None:
        self.store.drop(self.name)

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Open a cursor in the home, which need not be a tenant's; close what that opened."""
        home = Home(f"{TENANT_PREFIX}{self.placement.name}", self.placement)
        connection = handler().open(home)
        try:
            with _savepoint(connection), connection.cursor() as cursor:
                yield cursor
        finally:
            if connection.owner is connection:
                connection.close()


@contextmanager
def _savepoint(connection: Any) -> Iterator[None]:
    """An error must not spoil a transaction that others have begun."""
    if not connection.in_atomic_block:
        yield
        return
    with transaction.atomic(using=connection.owner.alias):
        yield
