"""Locks by name, which the server releases when their holder's session ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import InterfaceError, OperationalError


@contextmanager
def named_lock(connection: Any, key: str) -> Iterator[bool]:
    """Hold an advisory lock of this session, or of its transaction to the end of that."""
    with named_locks(connection, [key]) as held:
        yield bool(held)


@contextmanager
def named_locks(connection: Any, keys: Iterable[str]) -> Iterator[set[str]]:
    """Hold those that are free, by one statement
    (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
    """
    numbers = {_number(key): key for key in keys}
    # A transaction that failed could not unlock; one that holds the lock itself need not.
    scope = "_xact" if connection.in_atomic_block else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT number FROM unnest(%s::bigint[]) AS number"
            f" WHERE pg_try_advisory{scope}_lock(number)",
            [list(numbers)],
        )
        held = [number for (number,) in cursor.fetchall()]
    try:
        yield {numbers[number] for number in held}
    finally:
        # Where the session was lost the locks are gone with it.
        if held and not scope and connection.connection is not None:
            with suppress(OperationalError, InterfaceError), connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_advisory_unlock(number) FROM unnest(%s::bigint[]) AS number", [held]
                )


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], signed=True)
