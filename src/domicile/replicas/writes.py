"""Writes as they are sent: noticed, tried again after a fail-over, or refused.

All of it is at the cursor, so that raw SQL, a GET that writes and a library's own ways count as
well as `save()`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.core.signals import setting_changed
from django.db import DatabaseError, connections
from django.db.backends.signals import connection_created

from domicile.backends.replication import replication_of
from domicile.exceptions import WriteRefused
from domicile.patches import reads
from domicile.patches.cursors import guard_cursors
from domicile.replicas.reading import Entering, Reading, current_reading, innermost
from domicile.routing import readers_of, replicated
from domicile.statements import is_write, put_first


def primary_alias(connection: Any) -> str:
    """Return the alias of `DATABASES` whose server a connection writes to."""
    owner = getattr(connection, "owner", connection)
    alias: str = getattr(owner, "host", owner).alias
    return alias


def note_write(alias: str) -> None:
    """Tell that this unit of work has written to a database, where nobody could see it: by a
    function that a SELECT calls, or by other means than Django's.
    """
    current_reading().wrote.add(alias)


def attend(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Wrap what a primary executes: take down that it was written to."""
    if not is_write(sql):
        return execute(sql, params, many, context)
    connection = context["connection"]
    current_reading().wrote.add(primary_alias(connection))
    replication = replication_of(connection)
    is_alone = connection.autocommit and not connection.in_atomic_block
    if is_alone and replication.is_cut_off():
        _reconnect(context)
    try:
        return execute(sql, params, many, context)
    except DatabaseError as error:
        if not replication.is_read_only_error(error):
            raise
        if not is_alone:
            connection.close_at = 0.0  # The next request connects anew, to the new primary.
            raise
    _reconnect(context)
    return execute(sql, params, many, context)


def _reconnect(context: dict[str, Any]) -> None:
    """Connect anew, under a cursor that is in use: to whichever server takes writes now."""
    connection, cursor = context["connection"], context["cursor"]
    with suppress(Exception):  # What was behind it may be gone.
        cursor.cursor.close()
    connection.close()
    cursor.cursor = connection.cursor().cursor


def install() -> None:
    """Attend to the primaries that the rules name: those that are open, and those that will be."""
    setting_changed.connect(_reset, dispatch_uid="domicile.replicas.writes")
    _attend_to_all()


def _attend_to_all() -> None:
    if replicated().readers:  # Who has no replicas pays for no connection.
        reads.install()
        connection_created.connect(_opened, dispatch_uid="domicile.replicas.writes")
    for connection in connections.all(initialized_only=True):
        _opened(connection)


def _opened(connection: Any, **_: Any) -> None:
    wrappers = connection.execute_wrappers
    if bool(replicated().readers) and readers_of(primary_alias(connection)) is not None:
        put_first(connection, attend)
    elif attend in wrappers:
        wrappers.remove(attend)


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "DATABASES"):
        _attend_to_all()


def writes_prevented(reason: str = "") -> Entering:
    """Return what refuses every write to every database, before it is sent: `with`, `async with` or
    a decorator.

    :param reason: what the error is to say.
    """
    refusal = reason or "It is inside `writes_prevented()`."

    def make() -> Reading:
        guard_cursors(guard)
        outer = current_reading()
        block = outer.block(outer.level, outer.milliseconds)
        block.chosen, block.refusal = outer.chosen, refusal
        return block

    return Entering(make)


def guard(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Wrap what is executed while writes are refused."""
    reading = innermost.get()
    if reading is None or reading.refusal is None:
        context["connection"].execute_wrappers.remove(guard)
    elif is_write(sql):
        raise WriteRefused(
            f"A write to {context['connection'].alias!r} was refused: {reading.refusal}"
            f" The statement, which was not sent: {str(sql)[:200]}"
        )
    return execute(sql, params, many, context)
