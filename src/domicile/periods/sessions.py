"""Homes of periods by the session that reaches them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections, transaction


def by_session(aliases: Iterable[str]) -> list[list[str]]:
    """Return aliases in groups: what is in one group can be written in one transaction."""
    groups: dict[int, list[str]] = {}
    for alias in aliases:
        connection: Any = connections[alias]
        groups.setdefault(id(connection.session), []).append(alias)
    return list(groups.values())


@contextmanager
def atomic_at(aliases: Iterable[str]) -> Iterator[None]:
    """Open a transaction at each; homes of one session have one together."""
    with ExitStack() as open_ones:
        for group in by_session(aliases):
            open_ones.enter_context(transaction.atomic(using=group[0]))
        yield
