"""What only SQLite has: files."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import DatabaseError, connection, connections, transaction

import domicile
from domicile.exceptions import HomeMissing
from tests.isolation.campus import Campus, campus, enrol, homes, truth  # noqa: F401


@pytest.fixture
def pair(campus: Campus):  # noqa: F811
    a, b = campus.pair("file")
    enrol(a, "1")
    enrol(b, "1")
    return a, b


def path_of(tenant) -> Path:
    return Path(connections[tenant.alias].settings_dict["NAME"])


def test_sql_of_a_tenant_opens_no_other_file(pair):
    a, b = pair
    with a.activate(), connection.cursor() as cursor:
        for statement, params in (
            ("ATTACH DATABASE %s AS other", [str(path_of(b))]),
            (f"ATTACH DATABASE '{path_of(b)}' AS other", None),
            (f"ATTACH DATABASE '' || '{path_of(b)}' AS other", None),
            (f"VACUUM INTO '{path_of(b)}.copy'", None),
        ):
            with pytest.raises(DatabaseError, match=r"not authorized|denied"):
                cursor.execute(statement, params)
        assert homes() == [a.slug]


def test_vacuum(pair):
    a, _ = pair
    with a.activate(), connection.cursor() as cursor:
        cursor.execute("VACUUM")
        assert homes() == [a.slug]


@pytest.fixture
def doomed(campus: Campus):  # noqa: F811
    (tenant,) = campus("file/doomed")
    yield tenant
    campus.tenants.pop("file/doomed")
    domicile.drop_tenant(tenant)


def test_file_gone_is_home_missing(doomed):
    with doomed.activate():
        assert homes() == []
        path_of(doomed).unlink()
        with pytest.raises(HomeMissing, match="tenants drop"):
            homes()
    connections.close_all()
    with doomed.activate(), pytest.raises(HomeMissing, match="tenants drop"):
        homes()
    assert not path_of(doomed).exists()


def test_file_gone_in_a_transaction(doomed):
    def work():
        with doomed.activate(), transaction.atomic():
            homes()
            path_of(doomed).unlink()
            enrol(doomed, "1")

    with pytest.raises(DatabaseError):
        work()
    assert not path_of(doomed).exists()


def test_file_in_the_place_of_another(doomed, pair):
    a, _ = pair
    with doomed.activate():
        assert homes() == []
        connections[a.alias].close()
        path_of(doomed).write_bytes(b"")
        path_of(doomed).unlink()
        path_of(doomed).write_bytes(path_of(a).read_bytes())
        assert homes() == [a.slug]
    assert truth(a) == {"1": a.slug}
