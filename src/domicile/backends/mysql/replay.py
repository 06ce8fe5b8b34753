"""MySQL and MariaDB: each change of the schema is its own commit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from domicile.backends.replay import Replay

_LOCK_WAIT_TIMEOUT = 1205
#: CR.SERVER_GONE_ERROR, CR.SERVER_LOST
_LOST = {2006, 2013}
_LIMITS = ("lock_wait_timeout", "innodb_lock_wait_timeout")


class MySQLReplay(Replay):
    #: Of more, keys are reserved for more than there are
    #: (https://mariadb.com/kb/en/auto_increment-handling-in-innodb/).
    rows_at_a_time = 1

    @contextmanager
    def waiting(self, seconds: float | None) -> Iterator[None]:
        """Whole seconds are what the server knows; less than one is one."""
        if seconds is None:
            yield
            return
        self._limit(str(max(1, math.ceil(seconds))))
        try:
            yield
        finally:
            if self.connection.connection is not None and self.connection.is_usable():
                self._limit("DEFAULT")

    def _limit(self, value: str) -> None:
        changes = ", ".join(f"{name} = {value}" for name in _LIMITS)
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET SESSION {changes}")

    def was_busy(self, error: BaseException) -> bool:
        return bool(error.args) and error.args[0] == _LOCK_WAIT_TIMEOUT

    def was_lost(self, error: BaseException) -> bool:
        return bool(error.args) and error.args[0] in _LOST
