"""PostgreSQL: many statements travel in one message."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import ProgrammingError
from psycopg import errors, sql

from domicile.backends.postgresql.inlining import keys_inside
from domicile.backends.postgresql.looking import Comparison
from domicile.backends.replay import Comparing, Replay, Statement

#: After these the session may stand elsewhere; the next statement is to be sent home first.
_UNSETTLING = re.compile(
    r"search_path|set_config|\b(?:ROLE|RESET|DISCARD|DO|CALL|AUTHORIZATION)\b", re.I
)
_CONCURRENT_INDEX = re.compile(r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b", re.I)
_INVALID_INDEXES = """
    SELECT index.relname
    FROM pg_catalog.pg_index
    JOIN pg_catalog.pg_class AS index ON index.oid = indexrelid
    WHERE NOT indisvalid AND index.relnamespace = pg_catalog.to_regnamespace(
        pg_catalog.quote_ident(pg_catalog.current_schema()))
"""


class PostgresReplay(Replay):
    has_values = True
    #: The column has a time zone, whatever USE_TZ says.
    now = "CURRENT_TIMESTAMP"

    def packed(self, statements: Iterable[Statement]) -> list[Statement]:
        """Put them in as few messages as can be."""
        return [Statement(message) for message in self._messages(statements)]

    def _messages(self, statements: Iterable[Statement]) -> Iterator[str]:
        texts: list[str] = []
        for text in keys_inside(map(self._text, statements)):
            texts.append(text)
            if _UNSETTLING.search(text):
                yield _joined(texts)
                texts = []
        if texts:
            yield _joined(texts)

    def _text(self, statement: Statement) -> str:
        if statement.params is None:
            return statement.sql
        text: str = self.connection.ops.compose_sql(statement.sql, statement.params)
        return text

    def compared(
        self, messages: Sequence[Statement], relations: Collection[str] | None, fingerprint: str
    ) -> Comparing | None:
        is_scope = relations is None or bool(relations)
        if self.connection.schema is None or len(messages) != 1 or not is_scope:
            return None
        return OneMessage(messages[0].sql, Comparison(self.connection, relations, fingerprint))

    @contextmanager
    def waiting(self, seconds: float | None) -> Iterator[None]:
        if seconds is None:
            yield
            return
        with self.connection.cursor() as cursor:
            cursor.execute(
                _limit("LOCAL" if self.connection.in_atomic_block else "SESSION", seconds)
            )
        try:
            yield
        finally:
            self._reset_limit()

    def _reset_limit(self) -> None:
        """A transaction resets it by itself."""
        connection = self.connection
        if connection.in_atomic_block or connection.connection is None:
            return
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")

    def settle(self) -> Sequence[Statement]:
        """Tables with pending checks of rows cannot be altered. Django commits in between."""
        return (
            Statement("SET CONSTRAINTS ALL IMMEDIATE"),
            Statement("SET CONSTRAINTS ALL DEFERRED"),
        )

    def clear_unfinished(self, sql_text: str) -> None:
        """An index whose making was cut off is there, and invalid
        (https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY).
        """
        if not _CONCURRENT_INDEX.match(sql_text):
            return
        with self.connection.cursor() as cursor:
            cursor.execute(_INVALID_INDEXES)
            for (name,) in cursor.fetchall():
                if name in sql_text:
                    cursor.execute(
                        sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(name))
                    )

    def was_busy(self, error: BaseException) -> bool:
        return isinstance(error.__cause__, errors.LockNotAvailable)

    def was_lost(self, error: BaseException) -> bool:
        driver = self.connection.connection
        return driver is None or bool(driver.closed)


class OneMessage:
    """All of a replay in one message, which is one transaction of the server
    (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT).
    """

    def __init__(self, text: str, comparison: Comparison) -> None:
        self._text, self._comparison = text.encode(), comparison

    def __call__(self, connection: Any, lock_timeout: float | None) -> None:
        try:
            self._send(connection, lock_timeout)
        except ProgrammingError as error:
            connection.raise_if_missing(error.__cause__)
            if not self._comparison.was_discarded(error, connection.owner):
                raise
            self._send(connection, lock_timeout)

    def _send(self, connection: Any, lock_timeout: float | None) -> None:
        owner = connection.owner
        with owner.cursor() as cursor:
            self._comparison.prepare(owner, cursor)
            # What goes home by itself must not be sent there first.
            cursor.cursor.wrapper = None
            try:
                with owner.wrap_database_errors:
                    cursor.cursor.execute(self._message(connection, lock_timeout), prepare=False)
            finally:
                owner.session.forget()

    def _message(self, connection: Any, lock_timeout: float | None) -> bytes:
        limit = b"" if lock_timeout is None else _limit("LOCAL", lock_timeout).as_bytes(None) + b";"
        compared = self._comparison.statements(connection.schema)
        home, nowhere = connection.way.looking_switch.prefix, connection.owner.way.switch.prefix
        return b"".join((limit, home, self._text, b"\n;\n", nowhere, compared))


def _limit(scope: str, seconds: float) -> sql.Composable:
    milliseconds = sql.Literal(max(1, round(seconds * 1000)))
    return sql.SQL("SET {scope} lock_timeout TO {milliseconds}").format(
        scope=sql.SQL(scope), milliseconds=milliseconds
    )


def _joined(texts: list[str]) -> str:
    # A line of its own, in case the statement before ends in a comment.
    return "\n;\n".join(texts)
