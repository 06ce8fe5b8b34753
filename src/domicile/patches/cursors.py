"""Every cursor, of every engine, while writes are refused.

`connection.execute_wrappers` belongs to one connection of one thread; a refusal belongs to a
context, which may come to any of them. Applied when writes are refused for the first time.
"""

from __future__ import annotations

import functools
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from domicile.replicas.reading import innermost
from domicile.statements import put_first


def guard_cursors(guard: Any) -> None:
    """Have each cursor that is made in a context that refuses writes execute through `guard`."""
    original = BaseDatabaseWrapper._prepare_cursor  # type: ignore[attr-defined]
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def _prepare_cursor(self: Any, cursor: Any) -> Any:
        reading = innermost.get()
        refuses = reading is not None and reading.refusal is not None
        if refuses:
            put_first(self, guard)
        return original(self, cursor)

    BaseDatabaseWrapper._prepare_cursor = _prepare_cursor  # type: ignore[attr-defined]
