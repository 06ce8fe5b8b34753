"""What Domicile takes for granted in Django and the drivers: a version that differs fails here."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap

import psycopg
import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.mysql.base import CursorWrapper
from django.db.backends.mysql.base import DatabaseWrapper as MySQL
from django.db.backends.postgresql import base as postgresql
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLite
from django.db.backends.utils import CursorWrapper as DjangoCursor
from django.db.utils import ConnectionHandler, DatabaseErrorWrapper
from django.http import HttpResponse
from django.test.testcases import SimpleTestCase, _DatabaseFailure
from django.utils.connection import BaseConnectionHandler
from django.utils.functional import LazyObject, SimpleLazyObject
from psycopg.client_cursor import ClientCursorMixin

from domicile.backends import sharing
from domicile.backends.postgresql.base import DatabaseWrapper as HomedPostgreSQL
from domicile.backends.postgresql.cursors import SwitchingCursor, switching_class
from domicile.backends.views import SESSION_ATTRIBUTES, view_class
from domicile.connections import HomeConnectionHandler
from tests.internals import assigned_attributes

#: What belongs to an alias: `SharedSession.view()` sets these.
ALIAS_ATTRIBUTES = {
    *("alias", "settings_dict", "features", "client", "creation", "introspection", "ops"),
    "validation",
}
#: What an engine sets while it connects, on the owner of the session, where alone it is read.
OWNER_ATTRIBUTES = {"init_commands"}
ENGINES = {
    "base": BaseDatabaseWrapper,
    "postgresql": postgresql.DatabaseWrapper,
    "mysql": MySQL,
    "sqlite3": SQLite,
}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_attribute_of_a_wrapper_has_its_place(engine: str):
    known = {*SESSION_ATTRIBUTES, *ALIAS_ATTRIBUTES, *OWNER_ATTRIBUTES}
    assert assigned_attributes(ENGINES[engine]) - known == set()


def test_session_attributes_are_still_djangos():
    assigned = set().union(*map(assigned_attributes, ENGINES.values()))
    assert set(SESSION_ATTRIBUTES) <= assigned
    for name in SESSION_ATTRIBUTES:
        assert isinstance(vars(view_class(HomedPostgreSQL))[name], property)


def test_engines_add_no_attribute_when_they_are_made():
    for name in ("mysql", "sqlite3", "postgresql"):
        assert "__init__" not in vars(ENGINES[name])


#: What Domicile does in a shorter way, with the digest of the code that was read for that. Where
#: Django's or the driver's has changed, compare the two anew.
SHORTENED = {
    BaseDatabaseWrapper.validate_thread_sharing: "79b76ad5eac2",
    BaseDatabaseWrapper.close_if_health_check_failed: "481301c2feb1",
    postgresql.DatabaseWrapper.close_if_health_check_failed: "15df18073649",
    BaseDatabaseWrapper.close_if_unusable_or_obsolete: "d0aac086e03e",
    BaseDatabaseWrapper.make_cursor: "4891ff67b292",
    BaseDatabaseWrapper._cursor: "0b228e5fdb96",
    DatabaseErrorWrapper.__exit__: "945f3056c34f",
    DjangoCursor.execute: "a26d4078b466",
    DjangoCursor._execute_with_wrappers: "2bfc42253c15",
    DjangoCursor._execute: "8ae6cb2bb87a",
    DjangoCursor.__getattr__: "f26d25a312f1",
    LazyObject.__init__: "d38935301c0e",
    SimpleLazyObject.__init__: "6936a946b1c6",
    psycopg.Cursor._maybe_prepare_gen: "a2c8ef149720",
    ClientCursorMixin._execute_send: "0d843a5ec72d",
    ClientCursorMixin._get_prepared: "32538851cb1a",
}


@pytest.mark.parametrize("function", SHORTENED, ids=lambda function: function.__qualname__)
def test_what_is_done_in_a_shorter_way_is_still_done_so(function):
    code = ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    assert hashlib.sha256(code.encode()).hexdigest()[:12] == SHORTENED[function]


def test_what_takes_the_place_of_djangos_methods_is_told_from_them():
    assert sharing._EXECUTE is DjangoCursor.execute
    # pytest-django has put its own there, and puts back what was there before.
    assert sharing._ENSURE_CONNECTION is not BaseDatabaseWrapper.ensure_connection
    assert sharing._own(BaseDatabaseWrapper.ensure_connection, sharing.base) is None
    assert sharing._ENSURE_CONNECTION.__name__ == "ensure_connection"


class Slotted(psycopg.ClientCursor):
    __slots__ = ()


@pytest.mark.parametrize(
    "driver_class",
    [
        *(postgresql.Cursor, postgresql.ServerBindingCursor, postgresql.ServerSideCursor),
        *(psycopg.Cursor, psycopg.ClientCursor, psycopg.ServerCursor, psycopg.RawCursor, Slotted),
    ],
)
def test_drivers_cursors_can_be_mixed_with_ours(driver_class: type):
    mixed = switching_class(driver_class)
    assert issubclass(mixed, SwitchingCursor)
    assert issubclass(mixed, driver_class)
    for method in ("execute", "executemany", "copy", "stream"):
        assert callable(getattr(driver_class, method))


def test_cursors_named_by_django_change_their_class():
    for cursor_class in (
        *(postgresql.Cursor, postgresql.ServerBindingCursor, postgresql.ServerSideCursor),
    ):
        assert cursor_class.__dictoffset__
        assert cursor_class.__basicsize__ == switching_class(cursor_class).__basicsize__


def test_mysql_cursors_pass_unknown_methods_on():
    # Each public one that sends SQL must be one of ours.
    sending = {"execute", "executemany", "callproc"}
    assert {name for name in vars(CursorWrapper) if not name.startswith("_")} <= {
        *sending,
        "codes_for_integrityerror",
    }


def test_responses_are_closed_by_what_they_hold():
    assert HttpResponse()._resource_closers == []


def test_simple_test_case_leaves_stand_ins():
    assert vars(_DatabaseFailure(print, "message"))["wrapped"] is print
    assert hasattr(SimpleTestCase, "_add_databases_failures")


def test_handler_keeps_connections_for_each_thread():
    assert ConnectionHandler.thread_critical
    # All that reads what Django keeps them in: each is one of ours.
    readers = {
        name
        for name, method in vars(BaseConnectionHandler).items()
        if inspect.isfunction(method) and "self._connections" in inspect.getsource(method)
    }
    assert readers == {"__init__", "__getitem__", "__setitem__", "__delitem__", "all"}
    assert readers - {"__init__"} <= set(vars(HomeConnectionHandler))
