"""Help for a project's own tests."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.test import override_settings

from domicile.backends.sharing import SharedSession
from domicile.conf import conf
from domicile.exceptions import NotSupported, WriteRefused
from domicile.placement import AT_REPLICA
from domicile.replicas.positions import physical
from domicile.replicas.reading import Level, current_reading
from domicile.rules.base import Readers, Rule
from domicile.statements import is_write

_SUFFIX = "_simulated"
_SAVEPOINT = re.compile(r"(ROLLBACK TO )?SAVEPOINT (\S+)")


@dataclass(frozen=True)
class Shadow:
    """A table as it was before a write: a temporary table with its rows."""

    home: str
    table: str
    name: str
    at: float


class SimulatedReplica:
    """A replica over the connection of its primary, that shows its rows as they were `lag` seconds
    ago. `lag` may be set at any time.
    """

    is_simulated = True

    def __init__(self, primary: str, lag: float) -> None:
        self.primary = primary
        self.alias = f"{primary}{_SUFFIX}"
        self.lag = lag
        #: What was done in the transaction: shadows, and names of savepoints.
        self._done: list[Shadow | str] = []
        self._number = 0

    @property
    def aliases(self) -> tuple[str, ...]:
        return (self.alias,)

    def catch_up(self) -> None:
        """Show all that was written until now."""
        self._done = [entry for entry in self._done if isinstance(entry, str)]

    def choose(self) -> str:
        """Return where a read goes now, as the replicas of a rule do."""
        reading = current_reading()
        mark = reading.positions.get(self.primary)
        told = mark is not None and mark.is_recent(time.time())
        if (
            reading.wants_primary(self.primary)
            or (reading.level is Level.READ_YOUR_WRITES and told)
            or (reading.level is Level.BOUNDED and self.lag * 1000 > (reading.milliseconds or 0.0))
        ):
            return self.primary
        return self.alias

    def attend(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Wrap what the connection executes, for the primary and for the replica."""
        connection = context["connection"]
        home, at, replica = connection.alias.rpartition(AT_REPLICA)
        if replica == self.alias:
            if is_write(sql):
                raise WriteRefused(f"A write to {connection.alias!r}, which is a replica: {sql}")
            sql = self._as_it_was(home if at else self.primary, connection, sql)
        elif isinstance(sql, str):
            self._note(connection, sql)
        return execute(sql, params, many, context)

    def _note(self, connection: Any, sql: str) -> None:
        savepoint = _SAVEPOINT.match(sql)
        if savepoint is not None and savepoint[1] is None:
            self._done.append(savepoint[2])
        elif savepoint is not None and savepoint[2] in self._done:
            # What was made since then is undone, the temporary tables too.
            del self._done[self._done.index(savepoint[2]) + 1 :]
        elif is_write(sql):
            for table in self._named_in(connection, sql):
                self._keep(connection, table)

    def _keep(self, connection: Any, table: str) -> None:
        self._number += 1
        home = connection.alias if connection.home is not None else self.primary
        shadow = Shadow(home, table, f"domicile_shadow_{self._number}", time.monotonic())
        quoted = map(connection.ops.quote_name, (shadow.name, table))
        with connection.cursor() as cursor:  # The driver's, which nobody attends to.
            cursor.cursor.execute("CREATE TEMPORARY TABLE {} AS SELECT * FROM {}".format(*quoted))
        self._done.append(shadow)

    def _as_it_was(self, home: str, connection: Any, sql: Any) -> Any:
        seen: set[str] = set()
        for shadow in self._done:
            if (
                isinstance(sql, str)
                and isinstance(shadow, Shadow)
                and (shadow.home, time.monotonic() - shadow.at < self.lag) == (home, True)
                and shadow.table not in seen
            ):
                seen.add(shadow.table)
                sql = _name(shadow.table).sub(shadow.name, sql)
        return sql

    def _named_in(self, connection: Any, sql: str) -> list[str]:
        return [table for table in self._tables if table in sql and _name(table).search(sql)]

    @cached_property
    def _tables(self) -> set[str]:
        models = apps.get_models(include_auto_created=True)
        return {model._meta.db_table for model in models if model._meta.managed}


def _name(table: str) -> re.Pattern[str]:
    """Return what finds a table's name in a statement, quoted or not, and no part of another."""
    return re.compile(rf"(?<![\w.]){re.escape(table)}(?!\w)")


@dataclass(frozen=True)
class _Simulated(Rule):
    replica: SimulatedReplica

    def readers(self, alias: str) -> Readers | None:
        return self.replica if alias == self.replica.primary else None


@contextmanager
def simulated_replica(alias: str = "default", *, lag: float = inf) -> Iterator[SimulatedReplica]:
    """Give a database a replica inside `TestCase`: reads outside `atomic()` go there, as they would
    with a rule, and show the rows as they were `lag` seconds ago. So a test sees what a visitor
    would who meets a replica that is behind.

        with simulated_replica("users", lag=5) as replica:
            ...                  # a view that reads what it should not from a replica fails
            replica.catch_up()   # now the replica has it

    There is one connection, and the shadows of tables that are written to are temporary tables in
    its transaction. It is for tests of one thread.

    :param lag: seconds; by default the replica shows nothing new until `catch_up()`.
    :raises NotSupported: the database's engine is none of `domicile.backends`.
    """
    primary = physical(alias)
    if not isinstance(primary, SharedSession):
        raise NotSupported(
            f"The engine of {alias!r} is {primary.settings_dict['ENGINE']!r}: a simulated replica"
            " needs one of domicile.backends."
        )
    replica = SimulatedReplica(alias, lag)
    rules = [_Simulated(replica), *conf().rules]
    connections[replica.alias] = primary.view(replica.alias, None)
    primary.execute_wrappers.append(replica.attend)
    try:
        with override_settings(DOMICILE={**settings.DOMICILE, "RULES": rules}):
            yield replica
    finally:
        primary.execute_wrappers.remove(replica.attend)
        del connections[replica.alias]
