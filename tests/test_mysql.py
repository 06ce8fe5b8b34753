"""What only MySQL and MariaDB have: databases of one server, chosen by `USE`."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction

import domicile
from domicile.exceptions import HomeMissing
from tests import servers
from tests.isolation.campus import (
    Campus,
    campus,  # noqa: F401
    enrol,
    homes,
    raw_server_connection,
    rolled_back,
)
from tests.isolation.engines import with_settings
from tests.testproject.students.models import Student


@pytest.fixture
def pair(campus: Campus):  # noqa: F811
    servers.require("mariadb")
    a, b = campus.pair("mariadb")
    enrol(a, "1")
    enrol(b, "1")
    return a, b


def status(name: str) -> int:
    """Return a counter that the server keeps for this session."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE %s", [name])
        return int(cursor.fetchone()[1])


def test_a_switch_is_sent_once_and_with_its_statement(pair):
    a, b = pair
    with a.activate():
        before = status("Com_change_db")
        for _ in range(5):
            homes()
        assert status("Com_change_db") == before
        # `select_db()`, the message of its own, is a command of another kind.
        other = status("Com_select")
        for tenant in (b, a, b, a):
            homes(Student.objects.using(tenant.alias))
        assert status("Com_change_db") == before + 4
        assert status("Com_select") == other + 4


def test_one_session_for_all(pair):
    a, b = pair
    with a.activate():
        mine = connection.connection.thread_id()
        assert homes() == [a.slug]
    with b.activate():
        assert connection.connection.thread_id() == mine
        assert homes() == [b.slug]


@pytest.mark.parametrize(
    "wander", ["USE mysql", "SELECT 1; USE mysql", "EXECUTE IMMEDIATE 'SELECT 1'"]
)
def test_application_that_wanders_off(pair, wander: str):
    for tenant in pair:
        with tenant.activate(), connection.cursor() as cursor:
            cursor.execute(wander)
            while cursor.nextset():
                pass
            assert homes() == [tenant.slug]
            with rolled_back():
                cursor.execute("USE mysql")
            assert homes() == [tenant.slug]


def test_procedures_are_the_homes_own(pair):
    a, b = pair
    for tenant in pair:
        with tenant.activate(), connection.cursor() as cursor:
            cursor.execute("DROP PROCEDURE IF EXISTS who")
            cursor.execute(
                f"CREATE PROCEDURE who() SELECT '{tenant.slug}', home FROM students_student"
            )
    for tenant in (a, b, a):
        other = b if tenant is a else a
        with tenant.activate(), connection.cursor() as cursor:
            homes(Student.objects.using(other.alias))
            cursor.callproc("who")
            assert list(cursor.fetchall()) == [(tenant.slug, tenant.slug)]
            while cursor.nextset():
                pass


def test_integrity_errors_of_a_joined_statement(pair):
    a, b = pair
    with a.activate(), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE checked (n integer CHECK (n > 0))")
        for statement in (
            "INSERT INTO checked VALUES (0)",
            "INSERT INTO students_student (registration, name, home) VALUES ('1', '', '')",
            "INSERT INTO students_student (registration, name, home) VALUES (NULL, '', '')",
        ):
            homes(Student.objects.using(b.alias))
            with pytest.raises(IntegrityError):
                cursor.execute(statement)
            assert homes() == [a.slug]
        cursor.execute("DROP TABLE checked")


def test_without_statements_in_one_message(pair):
    a, b = pair

    def work():
        for tenant in (a, b, a):
            with tenant.activate():
                assert homes() == [tenant.slug]
                assert not connection.joins_statements
                with transaction.atomic():
                    assert homes() == [tenant.slug]

    with_settings("mariadb", work, OPTIONS={"multi_statements": False})


def test_database_gone_is_home_missing(campus: Campus, pair):  # noqa: F811
    _, b = pair
    (tenant,) = campus("mariadb/doomed")
    with tenant.activate():
        assert homes() == []
    with raw_server_connection("mariadb") as server:
        server.cursor().execute(f"DROP DATABASE `test_{tenant.slug}`")
    for _ in range(2):
        with tenant.activate(), pytest.raises(HomeMissing, match="is gone"):
            homes()
        with b.activate():
            assert homes() == [b.slug]
    campus.tenants.pop("mariadb/doomed")
    domicile.drop_tenant(tenant)


def test_dropped_while_the_session_stands_in_it(campus: Campus):  # noqa: F811
    servers.require("mariadb")
    (tenant,) = campus("mariadb/doomed")
    with tenant.activate(), connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE `test_{tenant.slug}`")
        with pytest.raises(HomeMissing):
            homes()
    campus.tenants.pop("mariadb/doomed")
    domicile.drop_tenant(tenant)


def test_errors_of_the_server_are_not_taken_for_a_missing_home(pair):
    a, _ = pair
    with a.activate(), connection.cursor() as cursor:
        with pytest.raises(OperationalError) as caught:
            cursor.execute("KILL QUERY 0")
        assert not isinstance(caught.value, HomeMissing)
    assert connections[a.alias].is_usable()
