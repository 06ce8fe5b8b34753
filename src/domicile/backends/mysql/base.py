"""MySQL and MariaDB: tenants in a database each, on the same server by one session."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, ClassVar

from django.db import IntegrityError
from MySQLdb.constants import CLIENT

from domicile.backends.base_engine import base_engine
from domicile.backends.homes import HomeStore
from domicile.backends.mysql.catalog import MySQLCatalog
from domicile.backends.mysql.homes import DatabaseStore, named_lock
from domicile.backends.mysql.replay import MySQLReplay
from domicile.backends.mysql.replication import MariaDBReplication
from domicile.backends.mysql.transfer import MySQLEnd
from domicile.backends.schema import homed_schema_editor
from domicile.backends.sharing import SharedSession
from domicile.backends.transfer import MOVED_AWAY
from domicile.conf import Layout, conf
from domicile.exceptions import HomeMissing, HomeMoved

base = base_engine("mysql")

#: What may leave the database chosen last. There is no other way than to name it so: `USE` is not
#: allowed in stored programs (https://dev.mysql.com/doc/refman/8.4/en/stored-program-restrictions.html).
_LEAVING = re.compile(rb"\b(?:use|drop|execute)\b", re.I)
_UNKNOWN_DATABASE = 1049
_NO_DATABASE = 1046
_NO_TABLE = 1146


class SwitchingCursor(base.CursorWrapper):  # type: ignore[name-defined]
    """Sends `USE` in the same message as the first statement that needs it.

    The choice of a database is not part of a transaction: a rollback leaves it as it is.
    """

    def __init__(self, cursor: Any, wrapper: DatabaseWrapper) -> None:
        super().__init__(cursor)
        self.wrapper = wrapper

    def execute(self, query: Any, args: Any = None) -> Any:
        wrapper, session = self.wrapper, self.wrapper.session
        if session.place == wrapper.place:
            return self._send(super().execute, query, args)
        if wrapper.joins_statements:
            return self._send(self._execute_after, query, args)
        wrapper.go_home()
        return self._send(super().execute, query, args)

    def _execute_after(self, query: Any, args: Any) -> Any:
        text = query.decode() if isinstance(query, bytes | bytearray) else query
        use = self.wrapper.use_statement
        super().execute((use if args is None else use.replace("%", "%%")) + text, args)
        try:
            self.cursor.nextset()
        except base.Database.OperationalError as error:
            # As in Django's `execute`, which has returned by now.
            if error.args[0] in self.codes_for_integrityerror:
                raise IntegrityError(*error.args) from error
            raise
        return self.cursor.rowcount

    def executemany(self, query: Any, args: Any) -> Any:
        self._go_home()
        return self._send(super().executemany, query, args)

    def callproc(self, name: str, args: Any = ()) -> Any:
        self._go_home()
        return self._send(self.cursor.callproc, name, args)

    def _go_home(self) -> None:
        if self.wrapper.session.place != self.wrapper.place:
            self.wrapper.go_home()

    def _send(self, method: Any, query: Any, args: Any) -> Any:
        session = self.wrapper.session
        session.forget()
        try:
            result = method(query, args)
        except base.Database.OperationalError as error:
            self.wrapper.raise_if_missing(error)
            raise
        except base.Database.ProgrammingError as error:
            if error.args[0] == _NO_TABLE:  # Or no database to have it in.
                self.wrapper.go_home()
            raise
        text = query if isinstance(query, bytes | bytearray) else query.encode()
        if not _LEAVING.search(text):
            session.arrived(self.wrapper.place)
        return result


class DatabaseWrapper(SharedSession, base.DatabaseWrapper):  # type: ignore[name-defined]
    shared_layouts = frozenset({"database"})
    home_stores: ClassVar[dict[Layout, type[HomeStore]]] = {"database": DatabaseStore}
    catalog_class = MySQLCatalog
    replay_class = MySQLReplay
    replication_class = MariaDBReplication
    end_class = MySQLEnd
    named_lock = named_lock
    SchemaEditorClass = homed_schema_editor(base.DatabaseWrapper.SchemaEditorClass)

    @cached_property
    def mysql_server_data(self) -> Any:
        if self.owner is not self:
            return self.owner.mysql_server_data
        return base.DatabaseWrapper.mysql_server_data.func(self)

    @cached_property
    def database(self) -> str:
        """The name of this alias's database."""
        if self.home is None or self.owner is self:
            return str(self.settings_dict["NAME"] or "")
        return conf().placement(self.home.placement.template).locate(self.home.placement.name)

    @cached_property
    def use_statement(self) -> str:
        """`USE`, with its semicolon; nothing where the session is of no database at all."""
        return f"USE {self.ops.quote_name(self.database)}; " if self.database else ""

    @property
    def joins_statements(self) -> bool:
        """Whether the driver sends several statements in one message, as is its default."""
        return bool(self.use_statement and self.connection.client_flag & CLIENT.MULTI_STATEMENTS)

    def go_home(self) -> None:
        """Choose this alias's database by a message of its own."""
        self.session.forget()
        if self.database:
            try:
                self.connection.select_db(self.database)
            except base.Database.OperationalError as error:
                self.raise_if_missing(error)
                raise
        self.session.arrived(self.place)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return super().get_new_connection(conn_params)
        except base.Database.OperationalError as error:
            self.raise_if_missing(error)
            raise

    def raise_if_missing(self, error: Exception) -> None:
        """Raise `HomeMissing` where that is what the server said."""
        if self.home is None or error.args[0] not in (_UNKNOWN_DATABASE, _NO_DATABASE):
            return
        if str(error.args[-1]).endswith(MOVED_AWAY):
            raise HomeMoved(
                f"{self.alias!r} was moved to another home while this was at work. Activate it"
                " again."
            ) from error
        raise HomeMissing(
            f"The database {self.database!r} of {self.alias!r} is gone: it was dropped behind"
            f" Domicile. {self.home.cure}"
        ) from error

    def connect(self) -> None:
        super().connect()
        self.session.arrived(self.owner.place)

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = super().create_cursor(name)
        return SwitchingCursor(cursor.cursor, self)
