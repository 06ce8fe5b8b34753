"""Rows of databases of MySQL and MariaDB, held and closed by a gate.

`LOCK TABLES` cannot be turned into a refusal without letting go first, and what defines tables is
in no transaction. So triggers look at the one row of a table: who writes shares its lock, who moves
the home has it alone, and the refusal is a value in that row, which a commit sets at one instant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError

from domicile.backends.transfer import MOVED_AWAY, HomeEnd

_GATE = "domicile_gate"
_EVENTS = ("INSERT", "UPDATE", "DELETE")
#: As of a database that is not there, so that it is known for what it means.
_UNKNOWN_DATABASE = 1049
_NO_TABLE = 1146
#: A lock was not to be had in time; a deadlock.
_IN_USE = (1205, 1213)
_TRIGGER_BODY = f"""
    BEGIN
        DECLARE is_closed BOOLEAN DEFAULT FALSE;
        SELECT closed INTO is_closed FROM {_GATE} LOCK IN SHARE MODE;
        IF is_closed THEN
            SIGNAL SQLSTATE '42000'
                SET MYSQL_ERRNO = {_UNKNOWN_DATABASE}, MESSAGE_TEXT = 'the database {MOVED_AWAY}';
        END IF;
    END
"""


class MySQLEnd(HomeEnd):
    """A database."""

    def tables(self) -> list[str]:
        rows = self.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name"
        )
        return [name for (name,) in rows if name != _GATE]

    def prepare(self, patience: float) -> None:
        self.unprepare()
        self.execute(f"CREATE TABLE {_GATE} (closed BOOLEAN NOT NULL) ENGINE = InnoDB")
        self.execute(f"INSERT INTO {_GATE} VALUES (FALSE)")
        self.persist(self._guard_tables, patience)

    def _guard_tables(self) -> bool:
        """Make the triggers that are not there yet. Whoever uses a table keeps them from it, and
        is not to be kept from it for long.
        """
        self.execute("SET lock_wait_timeout = 1")
        quoted = self.connection.ops.quote_name
        try:
            for number, table in enumerate(self.tables()):
                for event in _EVENTS:
                    name = quoted(f"{_GATE}_{number}_{event.lower()}")
                    self.execute(
                        f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {event} ON {quoted(table)}"
                        f" FOR EACH ROW {_TRIGGER_BODY}"
                    )
        except OperationalError as error:
            if error.args[0] in _IN_USE:
                return False
            raise
        return True

    def unprepare(self) -> None:
        self.execute("SET lock_wait_timeout = 30")
        triggers = self.execute(
            "SELECT trigger_name FROM information_schema.triggers"
            " WHERE trigger_schema = DATABASE() AND trigger_name LIKE %s",
            [f"{_GATE}%"],
        )
        for (name,) in triggers:
            self.execute(f"DROP TRIGGER {self.connection.ops.quote_name(name)}")
        self.execute(f"DROP TABLE IF EXISTS {_GATE}")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield
        finally:
            self.release()

    def attempt(self) -> bool:
        """Take the row's lock, for which all who have written and not committed must be done."""
        self.execute("SET innodb_lock_wait_timeout = 1")
        self.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.execute("START TRANSACTION")
        try:
            self.execute(f"SELECT closed FROM {_GATE} FOR UPDATE")
        except OperationalError as error:
            self.release()
            if error.args[0] in _IN_USE:
                return False
            raise
        # Until the end of the transaction no table can be altered or truncated.
        for table in self.tables():
            self.execute(f"SELECT 1 FROM {self.connection.ops.quote_name(table)} LIMIT 0")
        return True

    def release(self) -> None:
        if self.connection.connection is None:
            return
        try:
            self.execute("ROLLBACK")
        except (DatabaseError, InterfaceError):
            self.connection.close()

    def retire(self, number: int) -> None:
        self.execute(f"UPDATE {_GATE} SET closed = TRUE")
        self.execute("COMMIT")

    def is_retired(self, name: str) -> bool:
        try:
            # Waits for who has the gate.
            self.persist(self.attempt, 60)
            return bool(self.execute(f"SELECT 1 FROM {_GATE} WHERE closed"))
        except ProgrammingError as error:
            if error.args[0] == _NO_TABLE:
                return False
            raise
        finally:
            self.release()

    @contextmanager
    def loading(self, keep: frozenset[str] = frozenset()) -> Iterator[None]:
        self.execute("SET foreign_key_checks = 0")
        self.execute("START TRANSACTION")
        try:
            for table in self.tables():
                if table not in keep:
                    self.execute(f"DELETE FROM {self.connection.ops.quote_name(table)}")
            yield
            self.connection.check_constraints()
            self.execute("COMMIT")
        finally:
            self.release()
