"""What a file of SQLite looks like: texts, taken apart."""

from __future__ import annotations

import pytest
from django.db import connections, transaction

from domicile.fleet.survey import drift
from tests.isolation.campus import Campus, campus  # noqa: F401

ODD = """
    CREATE TABLE "odd, (table)" (  -- with a comment, and (brackets
        "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
        [na me] varchar(5) DEFAULT 'a, b (c' COLLATE NOCASE CHECK ("na me" <> ','),
        `back``tick` numeric(10, 2) GENERATED ALWAYS AS (1 + (2)) STORED,
        plain integer REFERENCES students_club (id) ON DELETE CASCADE,
        CONSTRAINT "no, thing" CHECK (plain > 0), UNIQUE (plain, id)
    ) STRICT
"""
LAX = ODD.replace(" STRICT", "").replace("varchar(5)", "text")


@pytest.fixture
def home(campus: Campus):  # noqa: F811
    """The wrapper of a home, in a transaction that comes to nothing."""
    (tenant,) = campus("file/a")
    with transaction.atomic(tenant.alias):
        yield connections[tenant.alias]
        transaction.set_rollback(True, tenant.alias)


def run(home, statement: str) -> None:
    with home.cursor() as cursor:
        cursor.execute(statement)


def test_parts_of_a_table(home):
    before = home.catalog_facts()
    run(home, LAX)
    found = home.catalog_facts()
    assert {name: found[name] for name in found.keys() - before.keys()} == {
        'table "odd, (table)"': "",
        'column "odd, (table)".id': "integer NOT NULL PRIMARY KEY AUTOINCREMENT",
        'column "odd, (table)"."na me"': (
            """text DEFAULT 'a, b (c' COLLATE NOCASE CHECK ("na me" <> ',')"""
        ),
        'column "odd, (table)"."back`tick"': (
            "numeric(10, 2) GENERATED ALWAYS AS (1 + (2)) STORED"
        ),
        'column "odd, (table)".plain': "integer REFERENCES students_club (id) ON DELETE CASCADE",
        'constraint "odd, (table)"."no, thing"': ('CONSTRAINT "no, thing" CHECK (plain > 0)'),
        'constraint "odd, (table)"."UNIQUE (plain, id)"': "UNIQUE (plain, id)",
    }


CHANGES = {
    "table of strict types": (
        "CREATE TABLE t (a integer)",
        "CREATE TABLE t (a integer) STRICT",
        ["table t is STRICT, not plain"],
    ),
    "type": (
        "CREATE TABLE t (a integer, b text)",
        "CREATE TABLE t (a text, b text)",
        ["column t.a is text, not integer"],
    ),
    "constraint": (
        "CREATE TABLE t (a integer, CONSTRAINT c CHECK (a > 0))",
        "CREATE TABLE t (a integer, CONSTRAINT c CHECK (a > 1))",
        ["constraint t.c is CONSTRAINT c CHECK (a > 1), not CONSTRAINT c CHECK (a > 0)"],
    ),
    "white space": (
        "CREATE TABLE t (a integer, b text)",
        "CREATE TABLE t (\n\tb   text, -- so\n\ta integer\n)",
        [],
    ),
    "trigger": (
        "CREATE TRIGGER t AFTER DELETE ON students_club BEGIN SELECT 1; END",
        "CREATE TRIGGER t AFTER DELETE ON students_club BEGIN SELECT 2; END",
        [
            "trigger students_club.t is"
            " CREATE TRIGGER t AFTER DELETE ON students_club BEGIN SELECT 2; END,"
            " not CREATE TRIGGER t AFTER DELETE ON students_club BEGIN SELECT 1; END"
        ],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes(home, change: str):
    one, other, said = CHANGES[change]
    with transaction.atomic(home.alias):
        run(home, one)
        model, fingerprint = home.catalog_facts(), home.catalog_fingerprint()
        transaction.set_rollback(True, home.alias)
    run(home, other)
    assert drift(home.catalog_facts(), model) == said
    assert (home.catalog_fingerprint() == fingerprint) == (not said)
