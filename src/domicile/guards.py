"""What is asked of a statement before it is sent: may it write here, and may it now?

A guard is one of Django's execute wrappers. Connections have those that the settings ask for, and
none where they ask for nothing.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.signals import connection_created

from domicile.backends.read_only import make_read_only
from domicile.conf import conf
from domicile.exceptions import WriteOutsideAtomic, WriteRefused
from domicile.routing import database_of, rules
from domicile.rules.legacy import Legacy
from domicile.statements import is_write


def refuse_write(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    """The guard of a database that is never written."""
    if is_write(sql):
        alias = context["connection"].alias
        raise WriteRefused(
            f"The database {alias!r} belongs to others and is never written. If it may be, declare"
            f" Legacy({alias!r}, …, writable=True) in DOMICILE['RULES']."
        )
    return execute(sql, params, many, context)


def compare_atomic(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    """The guard of transactions: a write that another database's rollback would leave behind."""
    if is_write(sql):
        _refuse_outside(context["connection"])
    return execute(sql, params, many, context)


_GUARDS = (refuse_write, compare_atomic)


@cache
def read_only() -> frozenset[str]:
    """Return the databases that are never written."""
    legacy = (rule for rule in rules() if isinstance(rule, Legacy))
    return frozenset(rule.alias for rule in legacy if not rule.writable)


def install() -> None:
    """Guard the connections of this thread, and those that will be opened."""
    setting_changed.connect(_reset, dispatch_uid="domicile.guards")
    _guard_all()


def _opened(connection: Any, **_: Any) -> None:
    if connection.alias in read_only():
        make_read_only(connection)
    _guard(connection)


def _guard_all() -> None:
    if read_only() or _compares_atomic():  # Who has nothing to guard pays for no connection.
        connection_created.connect(_opened, dispatch_uid="domicile.guards")
    for connection in connections.all(initialized_only=True):
        _guard(connection)


def _guard(connection: Any) -> None:
    wanted = []
    if connection.alias in read_only():
        wanted.append(refuse_write)
    if _compares_atomic():
        wanted.append(compare_atomic)
    wrappers = connection.execute_wrappers
    if wanted or wrappers:
        others = [wrapper for wrapper in wrappers if wrapper not in _GUARDS]
        wrappers[:] = [*wanted, *others]  # The last is taken off by whoever put it there.


def _compares_atomic() -> bool:
    return conf().writes_outside_atomic in ("error", "warn")


def refuse_beside_transaction(what: str, *written: Any) -> None:
    """Where writes outside the transaction that is open are errors, raise `WriteOutsideAtomic`
    before the first of many.

    :param what: is to be done, as in "create tenant 'acme'".
    :param written: the connections that it writes to.
    """
    if conf().writes_outside_atomic != "error":
        return
    other = next(filter(None, map(_other_open, written)), None)
    if other is not None:
        raise WriteOutsideAtomic(
            f"Cannot {what} now: a transaction is open in {other!r}, whose rollback would leave"
            f" it behind. Do it after the commit, by transaction.on_commit(…, using={other!r})."
        )


def _refuse_outside(connection: Any) -> None:
    other = _other_open(connection)
    if other is None:
        return
    message = (
        f"A write to {connection.alias!r} outside its atomic(), while that of {other!r} is open: a"
        f" rollback there would leave it behind. Open atomic(using={connection.alias!r}) around it,"
        " or write after the commit, by transaction.on_commit()."
    )
    if conf().writes_outside_atomic == "error":
        raise WriteOutsideAtomic(message)
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _other_open(connection: Any) -> str | None:
    """Return the alias of another database with a transaction, where a connection has none."""
    if _has_transaction(connection):
        return None
    here = database_of(connection.alias)
    for other in connections.all(initialized_only=True):
        if _has_transaction(other) and database_of(other.alias) != here:
            alias: str = other.alias
            return alias
    return None


def _has_transaction(connection: Any) -> bool:
    """Return whether the project has a transaction open there. Those that Django opens for its own
    statements make no savepoints, and those of `TestCase` are nobody's.
    """
    return any(
        block.savepoint and not getattr(block, "_from_testcase", False)
        for block in connection.atomic_blocks
    )


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "DATABASES"):
        read_only.cache_clear()
        _guard_all()
