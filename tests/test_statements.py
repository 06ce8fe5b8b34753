"""Which statements write."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.statements import is_write


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO x VALUES (1)",
        "  update x SET a = 1",
        "/* by */ DELETE FROM x",
        "-- by\nMERGE INTO x USING y ON true WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone",
        "SELECT 1 INTO TEMP b",
        "SELECT 1; DELETE FROM x",
        "SET x = 1; TRUNCATE y",
        "EXPLAIN ANALYZE DELETE FROM a",
        "CREATE TABLE a ()",
        "CALL f()",
        "COPY a FROM STDIN",
        "SOMETHING NEW",
        b"DROP TABLE a",
        "INSERT INTO a VALUES (1)",
        "  \n update a SET b = 1",
        "-- a comment\nDELETE FROM a",
        "/* two */ /* of them */ DROP TABLE a",
        "(DELETE FROM a)",
        "WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x",
        b"TRUNCATE a",
    ],
)
def test_writes(sql: Any) -> None:
    assert is_write(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 1;",
        " (SELECT 1) UNION (SELECT 2)",
        'SELECT "a"."update" FROM "delete"',
        "SELECT `update` FROM `delete`",
        "SELECT * FROM a FOR UPDATE",
        "SELECT * FROM a FOR NO KEY UPDATE OF a",
        "SELECT 'insert; delete' FROM a",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "-- update\nSELECT 1",
        "SET x = 1",
        "SAVEPOINT a",
        "COPY a TO STDOUT",
        "",
        "SELECT 'delete from a'",
        "WITH x AS (SELECT updated FROM a) SELECT * FROM x",
        "SHOW TABLES",
        "SET search_path = a",
    ],
)
def test_writes_nothing(sql: str) -> None:
    assert not is_write(sql)


def test_a_write_in_the_drivers_own_form() -> None:
    sql = pytest.importorskip("psycopg.sql")
    assert is_write(sql.SQL("DELETE FROM {}").format(sql.Identifier("a")))
