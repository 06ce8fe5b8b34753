"""Cursors that see to it that every statement meets its alias's home.

The switch travels in front of the statement that needs it, in the same message. Where the two
cannot be one message:

- the statement is bound on the server, or sent many times: both go in one pipeline;
- COPY, `stream()`, server-side cursors, and, outside a transaction, what PostgreSQL refuses inside
  one (VACUUM, CREATE DATABASE): the switch goes before, in a message of its own, since a message
  of two statements is a transaction
  (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT).

Where the session stands is known in two ways. PostgreSQL 18 reports `search_path` by itself after
every change, rollbacks included. The rest (an older server's path, the role) is tracked: whatever
may have changed it makes it unknown, and the next statement sets it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from psycopg import ClientCursor, ServerCursor, sql
from psycopg.client_cursor import ClientCursorMixin
from psycopg.generators import execute as received
from psycopg.pq import TransactionStatus

from domicile.backends.postgresql.switch import Switch

if TYPE_CHECKING:
    from domicile.backends.postgresql.base import DatabaseWrapper

    class DriverCursor(ClientCursor[Any]): ...

else:
    DriverCursor = object

#: Outside a transaction only these may share a message, and so a transaction, with the switch.
_COMBINABLE = re.compile(r"[\s(]*(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|VALUES|TABLE)\b", re.I)
#: How nearly all of these begin.
_USUAL = frozenset({"SELECT ", "INSERT ", "UPDATE ", "DELETE "})
#: Command tags of what may change the path or the role.
_UNSETTLING_TAGS = frozenset({b"SET", b"RESET", b"DISCARD ALL", b"DO", b"CALL", b"ROLLBACK"})
#: What may do so and has another tag, or a tag that several statements in one string hide.
_UNSETTLING = re.compile(r"set_config|\b(?:EXECUTE|FETCH)\b", re.I)
_UNSETTLING_AMONG_MANY = re.compile(
    r"set_config|\b(?:EXECUTE|FETCH|SET|RESET|DISCARD|DO|CALL|ROLLBACK|ABORT|COMMIT|END)\b", re.I
)
#: Refused after any query of its transaction, and so after a switch.
_BEFORE_ANY_QUERY = re.compile(r"\s*SET\s+TRANSACTION\b[^;]*;?\s*", re.I)


class SwitchingCursor(DriverCursor):
    """Mixed into the driver's cursor classes by `switching()`."""

    #: Whose home it keeps to; None: the driver's own user, who is on their own.
    wrapper: DatabaseWrapper | None = None
    #: Whether the driver merges the parameters into the statement.
    binds_here = False
    #: Whether it sends a DECLARE around the query.
    declares = False
    #: The switch that goes ahead of the statement, in its message.
    _ahead: Switch | None = None

    def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
        wrapper = self.wrapper
        if wrapper is None:
            return super().execute(query, params, **kwargs)
        try:
            switch = wrapper.pending_switch(self._pgconn)
            if switch is not None:
                execute = super().execute
                if kwargs:
                    execute = partial(execute, **kwargs)
                switch = self._execute_behind(switch, query, params, execute)
            elif kwargs:
                super().execute(query, params, **kwargs)
            else:  # What nearly all are; Python calls faster what it need not unpack.
                super().execute(query, params)
        except BaseException as error:
            self._failed(error)
            raise
        conn: Any = self._conn
        if wrapper.way.roles or not conn.reports_path or conn._pipeline is not None:
            self._sent(query, switch)
        elif switch is not None:
            wrapper.arrived(switch)
        return self

    def _execute_behind(
        self, switch: Switch, query: Any, params: Any, execute: Callable[[Any, Any], Any]
    ) -> Switch | None:
        """Execute `query`, by the driver's `execute`, behind a switch; return the one that was sent
        with it, if any was.
        """
        wrapper: Any = self.wrapper
        joins = not self.declares and _is_combinable(query)
        if not joins or (switch is not wrapper.way.switch and wrapper.is_stranger):
            if not self._takes(switch, query, joins=joins):
                execute(query, params)
                return None
            joins = joins or self._joins_transaction()
        if joins and self.binds_here and self._conn._pipeline is None:
            self._ahead = switch
            try:
                execute(query, params)
            finally:
                self._ahead = None
        elif not joins or self._is_many(query, params):
            switch.send(self.connection)
            execute(query, params)
        else:
            with self.connection.pipeline():
                switch.send(self.connection)
                execute(query, params)
        return switch

    def _maybe_prepare_gen(self, pgq: Any, *, prepare: Any = None, binary: Any = None) -> Any:
        """Send a statement into which the parameters are merged, behind the switch in one message,
        and keep the results that are its own.

        The driver has no public hook between merging and sending. In front of the query itself the
        switch would cost a parse for each tenant: the driver remembers the queries it has parsed.
        """
        if not self.binds_here or self.format or binary or self._conn._pipeline is not None:
            yield from super()._maybe_prepare_gen(pgq, prepare=prepare, binary=binary)
            return
        prepared, switch, key = self._conn._prepared, self._ahead, None
        if prepared.prepare_threshold is not None:  # Others of this session may be prepared.
            how = self._get_prepared(pgq, prepare)
            key = prepared.maybe_add_to_cache(pgq, *how)
        self._query = pgq
        self._pgconn.send_query(pgq.query if switch is None else switch.prefix + pgq.query)
        results = yield from received(self._pgconn)
        if key is not None:
            prepared.validate(key, *how, results)
        self._check_results(results)
        self._set_results(results if switch is None else results[len(switch.statements) :])

    def executemany(self, query: Any, params_seq: Any, **kwargs: Any) -> None:
        switch = self._pending_switch(query)
        with (
            self._minding(query, switch),
            nullcontext() if switch is None else self.connection.pipeline(),
        ):
            if switch is not None:
                switch.send(self.connection)
            super().executemany(query, params_seq, **kwargs)

    @contextmanager
    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with self._arrived(statement), super().copy(statement, *args, **kwargs) as copy:
            yield copy

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with self._arrived(query):
            yield from super().stream(query, *args, **kwargs)

    @contextmanager
    def _arrived(self, query: Any) -> Iterator[None]:
        """Send the switch by itself, where one is needed, and mind what `query` may change."""
        switch = self._pending_switch(query)
        if switch is not None:
            with self._minding(b"", switch):
                switch.send(self.connection)
        try:
            yield
        finally:
            if self.wrapper is not None and _UNSETTLING.search(_text(query)):
                self.wrapper.session.forget()

    def _pending_switch(self, query: Any) -> Switch | None:
        """Return what has to be sent before `query`, None where that is nothing."""
        wrapper = self.wrapper
        switch = None if wrapper is None else wrapper.pending_switch(self._pgconn)
        return switch if switch is not None and self._takes(switch, query) else None

    def _takes(self, switch: Switch, query: Any, *, joins: bool = False) -> bool:
        """Whether `switch` is to be sent before `query`; `joins`: one may, whatever `query` is."""
        wrapper: Any = self.wrapper
        if not joins and (
            # Only ROLLBACK is accepted now, and it needs no home.
            self._pgconn.transaction_status == TransactionStatus.INERROR
            or _BEFORE_ANY_QUERY.fullmatch(_text(query))
        ):
            return False
        if wrapper.is_stranger and self._conn._pipeline is None:
            wrapper.introduce(self.connection)
            return False
        return True

    @contextmanager
    def _minding(self, query: Any, switch: Switch | None) -> Iterator[None]:
        """Take down how it ended; `execute()`, which is called most, does so by itself."""
        try:
            yield
        except BaseException as error:
            self._failed(error)
            raise
        self._sent(query, switch)

    def _failed(self, error: BaseException) -> None:
        if self.wrapper is not None:
            self.wrapper.session.forget()
            self.wrapper.raise_if_missing(error)

    def _sent(self, query: Any, switch: Switch | None) -> None:
        """Take down where the session stands after `query`."""
        wrapper = self.wrapper
        if wrapper is None:
            return
        conn: Any = self._conn
        is_tracked = wrapper.way.roles or not conn.reports_path
        if conn._pipeline is not None or (is_tracked and self._unsettled(query)):
            wrapper.session.forget()
        elif switch is not None:
            wrapper.arrived(switch)

    def _unsettled(self, query: Any) -> bool:
        """Whether the statements just sent may have changed the path or the role."""
        tag = None if self.pgresult is None else self.pgresult.command_status
        if tag in _UNSETTLING_TAGS:
            return True
        text = _text(query)
        many = tag is None or ";" in text
        return bool((_UNSETTLING_AMONG_MANY if many else _UNSETTLING).search(text))

    def _joins_transaction(self) -> bool:
        """Whether any query can share a message with the switch: the two are no transaction of
        their own.
        """
        return not self.declares and (
            not self.connection.autocommit
            or self._pgconn.transaction_status != TransactionStatus.IDLE
        )

    def _is_many(self, query: Any, params: Any) -> bool:
        """Whether it may be several statements, which the server takes in no pipeline."""
        return not self.binds_here and not params and ";" in _text(query)


class SwitchingServerCursor(SwitchingCursor):
    """A server-side cursor: functions in its query run when rows are fetched."""

    declares = True

    def fetchone(self) -> Any:
        with self._arrived(self._declared):
            return super().fetchone()

    def fetchmany(self, size: int = 0) -> Any:
        with self._arrived(self._declared):
            return super().fetchmany(size)

    def fetchall(self) -> Any:
        with self._arrived(self._declared):
            return super().fetchall()

    def scroll(self, value: int, mode: str = "relative") -> None:
        with self._arrived(self._declared):
            super().scroll(value, mode)

    itersize: int

    def __iter__(self) -> Any:
        # Before psycopg 3.3 it is a generator that fetches by itself.
        return self if hasattr(ServerCursor, "__next__") else self._by_pages()

    def __next__(self) -> Any:
        with self._arrived(self._declared):
            return super().__next__()

    def _by_pages(self) -> Iterator[Any]:
        while rows := self.fetchmany(self.itersize):
            yield from rows

    @property
    def _declared(self) -> bytes:
        return b"" if self._query is None else self._query.query


@cache
def switching_class(driver_class: Any) -> Any:
    """Return the class that does the same for `driver_class`, whichever it is: client- or
    server-binding, named, or the project's own `cursor_factory`.
    """
    if issubclass(driver_class, SwitchingCursor):
        return driver_class
    mixin = SwitchingServerCursor if issubclass(driver_class, ServerCursor) else SwitchingCursor
    binds_here = issubclass(driver_class, ClientCursorMixin) and mixin is SwitchingCursor
    name = f"Switching{driver_class.__name__}"
    return type(name, (mixin, driver_class), {"binds_here": binds_here})


def _is_combinable(query: Any) -> bool:
    """Whether `query` is of those that may share a message, and so a transaction, with a switch."""
    if isinstance(query, str) and query[:7] in _USUAL:
        return True
    return _COMBINABLE.match(_text(query)) is not None


def _text(query: Any) -> str:
    if isinstance(query, str):
        return query
    text = query.as_bytes(None) if isinstance(query, sql.Composable) else bytes(query)
    return text.decode(errors="replace")
