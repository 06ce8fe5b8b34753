"""Tenants for tests that mix them, and what is really stored, seen past Django.

A test module that uses them imports the fixture: `from tests.isolation.campus import campus`. Such
a module has no `django_db` marks, whose tests end with a flush of the shared tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.test.utils import setup_databases, teardown_databases

import domicile
from tests import servers
from tests.conftest import PLACEMENT_DATABASES
from tests.testproject.students.models import Club, Course, Student

POSTGRES = ("schema", "schema15")
PLACEMENTS = tuple(PLACEMENT_DATABASES)


class Campus:
    """Makes tenants when they are first asked for, and keeps them for the module or package."""

    def __init__(self) -> None:
        self.tenants: dict[str, Any] = {}

    def __call__(self, *names: str) -> list[Any]:
        """Return empty tenants, named as in `"schema/a"`, with every connection closed."""
        connections.close_all()
        tenants = [self.tenants.get(name) or self._create(name) for name in names]
        for tenant in tenants:
            empty(tenant)
        return tenants

    def pair(self, placement: str) -> list[Any]:
        return self(f"{placement}/a", f"{placement}/b")

    def _create(self, name: str) -> Any:
        placement, _, letter = name.partition("/")
        alias = PLACEMENT_DATABASES[placement]
        if alias is not None:
            servers.require(alias)
        tenant = domicile.create_tenant(f"{placement}-{letter}", placement=placement)
        self.tenants[name] = tenant
        return tenant

    def drop(self) -> None:
        connections.close_all()
        for tenant in self.tenants.values():
            domicile.drop_tenant(tenant)


def empty(tenant: Any) -> None:
    with transaction.atomic(tenant.alias), connections[tenant.alias].cursor() as cursor:
        for model in (Student.clubs.through, Student, Club, Course):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")


@contextmanager
def opened_campus(request: pytest.FixtureRequest) -> Iterator[Campus]:
    request.getfixturevalue("django_db_setup")
    blocker = request.getfixturevalue("django_db_blocker")
    with blocker.unblock():
        _make_missing_databases(request.config, blocker)
        campus = Campus()
        try:
            yield campus
        finally:
            campus.drop()
            connections.close_all()


def _make_missing_databases(config: pytest.Config, blocker: Any) -> None:
    """pytest-django makes those that the marks of the selected tests name."""
    missing = [alias for alias in connections if not _exists(alias)]
    if missing:
        made = setup_databases(verbosity=0, interactive=False, aliases=missing)
        config.add_cleanup(lambda: _remove(made, blocker))


def _exists(alias: str) -> bool:
    try:
        connections[alias].ensure_connection()
    except OperationalError:
        return False
    return True


def _remove(made: Any, blocker: Any) -> None:
    with blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="module")
def campus(request: pytest.FixtureRequest) -> Iterator[Campus]:
    with opened_campus(request) as campus:
        yield campus


def enrol(tenant: Any, *registrations: str, **fields: Any) -> Student:
    """Write rows that name their tenant; return the last."""
    with tenant.activate():
        for registration in registrations:
            student = Student.objects.create(
                registration=registration, name="", home=tenant.slug, **fields
            )
    return student


def homes(queryset: Any = None) -> list[str]:
    """Return what rows say of where they were written, in the tenant active now."""
    queryset = Student.objects.all() if queryset is None else queryset
    return sorted(queryset.values_list("home", flat=True))


def truth(tenant: Any) -> dict[str, str]:
    """Return registration → home of what is committed, read by the driver alone."""
    with closing(raw_connection(tenant)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT registration, home FROM {table_of(tenant)}")
        return dict(cursor.fetchall())


def table_of(tenant: Any, table: str = "students_student") -> str:
    if tenant.placement.template in POSTGRES:
        return f'"{tenant.slug}".{table}'
    return table


def raw_connection(tenant: Any) -> Any:
    """Connect to where a tenant's rows are, without Django and Domicile."""
    template = tenant.placement.template
    if template == "file":
        return sqlite3.connect(connections[tenant.alias].settings_dict["NAME"])
    alias = PLACEMENT_DATABASES[template]
    assert alias is not None
    database = {"schema": "test_domicile", "schema15": "test_domicile"}.get(
        template, f"test_{tenant.slug}"
    )
    return raw_server_connection(alias, database)


def raw_server_connection(alias: str, database: str = "test_domicile") -> Any:
    server = servers.static()[alias]
    if isinstance(server, servers.PostgresServer):
        import psycopg

        return psycopg.connect(server.url(database), autocommit=True)
    import MySQLdb

    settings = server.django_settings()
    return MySQLdb.connect(
        host=settings["HOST"],
        port=settings["PORT"],
        user=settings["USER"],
        password=settings["PASSWORD"],
        database=database,
        autocommit=True,
    )


def raw(placement: str, statement: str) -> None:
    """Do a statement on the PostgreSQL of a placement, without Django and Domicile."""
    alias = PLACEMENT_DATABASES[placement]
    assert alias is not None
    with raw_server_connection(alias) as server:
        server.execute(statement)


class Undo(Exception):
    """Ends a transaction that `rolled_back()` began."""


@contextmanager
def rolled_back(using: str | None = None) -> Iterator[None]:
    """Begin a transaction, or a savepoint, that ends by a rollback."""
    with suppress(Undo), transaction.atomic(using):
        yield
        raise Undo


def in_thread(work: Callable[..., Any], *args: Any) -> Any:
    """Return what `work` returns, or raise what it raises, in a plain thread."""
    (outcome,) = in_threads([lambda: work(*args)])
    return outcome


def in_threads(works: list[Callable[[], Any]]) -> list[Any]:
    """Run functions in a plain thread each, at the same time; return their results in order."""
    outcomes: list[Any] = [None] * len(works)

    def run(number: int) -> None:
        try:
            outcomes[number] = works[number]()
        except BaseException as error:
            outcomes[number] = error
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=[number]) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


def kill(tenant: Any) -> None:
    """End the server's side of this thread's connection to a tenant."""
    connection = connections[tenant.alias]
    connection.ensure_connection()
    with closing(raw_connection(tenant)) as raw, closing(raw.cursor()) as cursor:
        if connection.vendor == "postgresql":
            pid = connection.connection.info.backend_pid
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        else:
            cursor.execute(f"KILL {connection.connection.thread_id()}")
