"""SQLite: tenants in a file each."""

from __future__ import annotations

import os
import sqlite3
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from django.db.utils import DatabaseErrorWrapper

from domicile.backends.base_engine import base_engine
from domicile.backends.homes import HomeStore
from domicile.backends.schema import homed_schema_editor
from domicile.backends.sharing import SharedSession
from domicile.backends.sqlite3.catalog import SQLiteCatalog
from domicile.backends.sqlite3.homes import FileStore, named_lock
from domicile.backends.sqlite3.replay import SQLiteReplay
from domicile.backends.sqlite3.transfer import SQLiteEnd
from domicile.backends.transfer import MOVED_AWAY
from domicile.conf import Layout
from domicile.exceptions import HomeMissing, HomeMoved

base = base_engine("sqlite3")


class NoticingMoves(DatabaseErrorWrapper):
    """Raises `HomeMoved` for what the triggers of a retired file say."""

    wrapper: Any

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, sqlite3.IntegrityError) and str(error).endswith(MOVED_AWAY):
            raise HomeMoved(
                f"{self.wrapper.alias!r} was moved to another home while this was at work. Activate"
                " it again."
            ) from error
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(SharedSession, base.DatabaseWrapper):  # type: ignore[name-defined]
    #: What the open file was when it was opened.
    opened: os.stat_result
    name_of_none = ":memory:"
    home_stores: ClassVar[dict[Layout, type[HomeStore]]] = {"database": FileStore}
    catalog_class = SQLiteCatalog
    replay_class = SQLiteReplay
    end_class = SQLiteEnd
    named_lock = named_lock
    SchemaEditorClass = homed_schema_editor(base.DatabaseWrapper.SchemaEditorClass)

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if self.home is not None:
            # SQLite makes a file that is not there; a home is only made by its store. Mode `rw`
            # says so (https://www.sqlite.org/uri.html), and `as_uri()` quotes what a URI must.
            params |= {"database": Path(params["database"]).as_uri() + "?mode=rw", "uri": True}
        return params

    @cached_property
    def wrap_database_errors(self) -> Any:
        return NoticingMoves(self)

    def _cursor(self, name: str | None = None) -> Any:
        if self.home is not None and self.connection is not None and not self._is_at_path():
            self.close()
        return super()._cursor(name)

    def _is_at_path(self) -> bool:
        """Tell whether the open file is the one that is there now: one that was removed can still
        be read, and what is written to it is lost.
        """
        try:
            return os.path.samestat(os.stat(self.settings_dict["NAME"]), self.opened)
        except FileNotFoundError:
            return False

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if self.home is None:
            return super().get_new_connection(conn_params)
        try:
            self.opened = os.stat(self.settings_dict["NAME"])
        except FileNotFoundError as error:
            raise HomeMissing(
                f"The file {self.settings_dict['NAME']} of {self.alias!r} is gone. {self.home.cure}"
            ) from error
        connection = super().get_new_connection(conn_params)
        connection.set_authorizer(_authorize)
        return connection


def _authorize(action: int, name: str | None, *_: Any) -> int:
    """A tenant's SQL must not open another tenant's file. VACUUM attaches one without a name
    (https://www.sqlite.org/c3ref/c_alter_table.html); a name in a parameter is not known here.
    """
    refused = action == sqlite3.SQLITE_ATTACH and name != ""
    return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK
