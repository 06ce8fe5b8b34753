"""What is read of homes: what they have applied, whether they are alike, how they differ."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, transaction

from domicile.backends.homes import HomeStore
from domicile.backends.mysql.applied import DatabasesApplied
from domicile.backends.postgresql.applied import SchemasApplied
from domicile.conf import conf
from domicile.exceptions import HomeMissing, NotSupported
from domicile.fleet.survey import applied_in, differences, fingerprints_of
from domicile.placement import Home, Placement
from tests.isolation.campus import Campus, campus, in_thread  # noqa: F401

READERS = {"schema": SchemasApplied, "mariadb": DatabasesApplied}


def home(tenant: Any) -> Home:
    return Home(tenant.alias, tenant.placement)


def nobody(placement: str) -> Home:
    return Home("tenant:nobody", Placement(placement, "nobody"))


def run(tenant: Any, *statements: str) -> None:
    with connections[tenant.alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def pair(campus: Campus, placement: str):  # noqa: F811
    return campus.pair(placement)


def test_homes_made_alike_are_alike(pair):
    a, b = map(home, pair)
    found = fingerprints_of([a, b])
    assert found[a] == found[b]
    assert len(found[a]) == 32
    assert differences(a, b) == []
    facts = connections[a.alias].catalog_facts()
    assert facts == connections[b.alias].catalog_facts()
    assert connections[a.alias].catalog_fingerprint() == found[a]
    texts = [text for fact in facts.items() for text in fact]
    assert "column students_student.registration" in texts
    assert not any(tenant.slug in text for tenant in pair for text in texts)


def test_what_is_applied(pair):
    a, b = map(home, pair)
    found = applied_in([a, b])
    assert found[a] == found[b]
    assert ("students", "0001_initial") in found[a]
    run(pair[0], "DELETE FROM django_migrations WHERE app = 'sites'")
    try:
        found = applied_in([b, a])
        assert found[b] - found[a] == {key for key in found[b] if key[0] == "sites"}
    finally:
        rows = ", ".join(f"('sites', '{name}', '2020-01-01')" for _, name in found[b] - found[a])
        run(pair[0], f"INSERT INTO django_migrations (app, name, applied) VALUES {rows}")
    assert applied_in([a])[a] == found[b]


def test_home_that_has_applied_nothing(pair):
    a, b = map(home, pair)
    run(pair[0], "ALTER TABLE django_migrations RENAME TO put_away")
    try:
        found = applied_in([a, b])
        assert found[a] == frozenset()
        assert found[b]
        assert "table django_migrations is missing" in differences(a, b)
        assert "table put_away is not in the others" in differences(a, b)
    finally:
        run(pair[0], "ALTER TABLE put_away RENAME TO django_migrations")


def test_homes_that_are_not_there(pair, placement: str):
    a = home(pair[0])
    missing = nobody(placement)
    assert applied_in([missing, a]).keys() == {a}
    assert fingerprints_of([missing, a]).keys() == {a}
    assert applied_in([missing]) == fingerprints_of([missing]) == applied_in([]) == {}
    with pytest.raises(HomeMissing):
        differences(missing, a)
    with pytest.raises(HomeMissing):
        differences(a, missing)


def test_homes_of_other_engines_are_not_compared(campus: Campus):  # noqa: F811
    schema, file = campus("schema/a", "file/a")
    with pytest.raises(NotSupported, match="cannot be compared"):
        differences(home(schema), home(file))
    assert fingerprints_of([home(schema), home(file)]).keys() == {home(schema), home(file)}


DRIFT = {
    "extra table": (
        "CREATE TABLE extra (id integer NOT NULL PRIMARY KEY, name varchar(5) NOT NULL)",
        "DROP TABLE extra",
        {"table extra is not in the others"},
    ),
    "column": (
        "ALTER TABLE students_club ADD COLUMN extra varchar(20) NULL",
        "ALTER TABLE students_club DROP COLUMN extra",
        {"column students_club.extra is not in the others"},
    ),
    "index": (
        "CREATE INDEX extra ON students_club (name, id)",
        "DROP INDEX extra {on}",
        {"index students_club.extra is not in the others"},
    ),
    "view": (
        "CREATE VIEW extra AS SELECT name FROM students_club",
        "DROP VIEW extra",
        {"view extra is not in the others"},
    ),
}


@pytest.mark.parametrize("drift", DRIFT)
def test_drift_is_named(pair, placement: str, drift: str):
    statement, undo, expected = DRIFT[drift]
    a, b = map(home, pair)
    run(pair[0], statement)
    try:
        assert set(differences(a, b)) == expected
        found = fingerprints_of([a, b])
        assert found[a] != found[b]
        turned = {text.replace("is not in the others", "is missing") for text in expected}
        assert set(differences(b, a)) == turned
    finally:
        run(pair[0], undo.format(on="ON students_club" if placement == "mariadb" else ""))
    found = fingerprints_of([a, b])
    assert found[a] == found[b]


def test_order_of_columns_is_no_difference(pair):
    a, b = pair
    add = "ALTER TABLE students_club ADD COLUMN {} varchar(20) NULL"
    try:
        run(a, add.format("one"), add.format("two"))
        run(b, add.format("two"), add.format("one"))
        assert differences(home(a), home(b)) == []
    finally:
        for tenant in pair:
            run(
                tenant,
                *(f"ALTER TABLE students_club DROP COLUMN {name}" for name in ("one", "two")),
            )
    assert differences(home(a), home(b)) == []


def test_changes_of_this_transaction_are_seen(pair, placement: str):
    a = pair[0]
    if placement == "mariadb":
        pytest.skip("DDL commits here")
    before = connections[a.alias].catalog_fingerprint()
    with transaction.atomic(a.alias):
        run(a, "CREATE TABLE passing (id integer)")
        assert connections[a.alias].catalog_fingerprint() != before
        run(a, "INSERT INTO passing VALUES (1)")
        transaction.set_rollback(True, a.alias)
    assert connections[a.alias].catalog_fingerprint() == before


def test_session_stays_at_home(pair):
    """Reading the catalog goes by other paths; what follows is sent to the alias's own home."""
    a, b = pair
    for tenant in pair:
        run(
            tenant,
            "CREATE TABLE whose (slug varchar(63))",
            f"INSERT INTO whose VALUES ('{tenant.slug}')",
        )
    try:
        for tenant in (a, b, a):
            connections[b.alias].catalog_fingerprint()
            fingerprints_of(map(home, pair))
            with connections[tenant.alias].cursor() as cursor:
                connections[b.alias].catalog_facts()
                cursor.execute("SELECT slug FROM whose")
                assert cursor.fetchone() == (tenant.slug,)
    finally:
        for tenant in pair:
            run(tenant, "DROP TABLE whose")


@pytest.mark.parametrize("placement", ["schema", "mariadb"], indirect=True)
def test_home_that_is_dropped_meanwhile(pair, placement: str, monkeypatch: pytest.MonkeyPatch):
    """Between the list of homes and the reading of their tables."""
    a, there = home(pair[0]), Home("tenant:doomed", Placement(placement, "doomed"))
    template = conf().placement(placement)
    doomed = template.locate("doomed")

    def store() -> HomeStore:
        return connections.host(template).store(template)

    store().create(doomed)
    quoted = connections[a.alias].ops.quote_name(doomed)
    run(pair[0], f"CREATE TABLE {quoted}.django_migrations (app varchar(9), name varchar(9))")
    digests = READERS[placement].digests

    def late(reader: Any, cursor: Any, names: Any) -> Any:
        in_thread(lambda: store().drop(doomed))
        return digests(reader, cursor, names)

    monkeypatch.setattr(READERS[placement], "digests", late)
    with transaction.atomic(a.alias):
        assert applied_in([a, there]).keys() == {a}
        monkeypatch.undo()
        assert applied_in([a])[a]
