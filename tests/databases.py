"""More databases than the test project's, for the length of a test.

with databases({"users": make_database("default", "users")}, rules=[Apps({"people": "users"})]):
    migrate("users")
    ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from asgiref.sync import SyncToAsync
from django.conf import settings
from django.core.management import call_command
from django.db import ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from domicile import routing
from tests import servers
from tests.tenants import domicile_settings

ENGINES = {"postgresql": "domicile.backends.postgresql", "mysql": "domicile.backends.mysql"}
SQLITE = "domicile.backends.sqlite3"


@contextmanager
def databases(
    added: Mapping[str, Mapping[str, Any]], rules: Iterable[Any] = (), **changes: Any
) -> Iterator[None]:
    """Add aliases to `DATABASES`, and change `DOMICILE`: its rules, and other keys by name."""
    before = dict(settings.DATABASES)
    configured = connections.configure_settings(
        {"default": before["default"], **{alias: dict(given) for alias, given in added.items()}}
    )
    for alias in added:
        _add(alias, configured[alias])
    routing.reset()
    try:
        with (
            allowed(added),
            override_settings(DOMICILE=domicile_settings(RULES=list(rules), **changes)),
        ):
            yield
    finally:
        for alias in added:
            _remove(alias, before.get(alias))
        routing.reset()


@contextmanager
def allowed(aliases: Iterable[str]) -> Iterator[None]:
    """Let tests connect to databases that their marks do not name, as they were not there yet."""
    guarded = BaseDatabaseWrapper.ensure_connection
    names = set(aliases)

    def ensure_connection(self: Any) -> None:
        if self.alias not in names:
            guarded(self)
        elif self.connection is None:
            if self.in_atomic_block and self.closed_in_transaction:
                raise ProgrammingError("Cannot open a new connection in an atomic block.")
            with self.wrap_database_errors:
                self.connect()

    with patch.object(BaseDatabaseWrapper, "ensure_connection", ensure_connection):
        yield


def _add(alias: str, configured: dict[str, Any]) -> None:
    _forget(alias)
    for known in (settings.DATABASES, connections.settings):
        known[alias] = configured


def _remove(alias: str, before: dict[str, Any] | None) -> None:
    _forget(alias)
    for known in (settings.DATABASES, connections.settings):
        known.pop(alias, None)
        if before is not None:
            known[alias] = before


def _forget(alias: str) -> None:
    """Here, and in the thread where async code does what blocks."""
    _forget_here(alias)
    SyncToAsync.single_thread_executor.submit(_forget_here, alias).result()


def _forget_here(alias: str) -> None:
    wrapper = connections._wrappers().static.get(alias)
    if wrapper is not None:
        wrapper.close()
        del connections[alias]
        if hasattr(wrapper, "close_pool"):
            wrapper.close_pool()


def make_database(server: servers.Server | str, name: str) -> dict[str, Any]:
    """The settings of a new, empty database, which is dropped in the end.

    `server` is one of tests/servers.py, its alias there, or "sqlite".
    """
    if server == "sqlite":
        # Not beside tenants' files: there it would be an orphan.
        path = servers.folder() / "databases" / f"{name}.sqlite3"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        return {"ENGINE": SQLITE, "NAME": str(path)}
    if isinstance(server, str):
        server = servers.require(server)
    _execute(server, *_statements_of_drop(server, name), f"CREATE DATABASE {name}")
    if server.named_url:  # The others are discarded whole.
        servers.at_exit(_execute, server, *_statements_of_drop(server, name))
    return {"ENGINE": ENGINES[server.scheme], "NAME": name, **server.django_settings()}


def _statements_of_drop(server: servers.Server, name: str) -> list[str]:
    force = " WITH (FORCE)" if server.scheme == "postgresql" else ""
    return [f"DROP DATABASE IF EXISTS {name}{force}"]


def _execute(server: servers.Server, *statements: str) -> None:
    if server.scheme == "postgresql":
        import psycopg

        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
        return
    import MySQLdb

    account = server.django_settings()
    connection = MySQLdb.connect(
        host=account["HOST"],
        port=account["PORT"],
        user=account["USER"],
        password=account["PASSWORD"] or "",
    )
    try:
        for statement in statements:
            connection.query(statement)
    finally:
        connection.close()


def migrate(*aliases: str) -> None:
    """Migrate databases as `manage.py migrate --database` does."""
    for alias in aliases:
        call_command("migrate", database=alias, verbosity=0, interactive=False)
