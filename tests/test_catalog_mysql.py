"""What databases of MySQL and MariaDB look like."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from domicile.backends.homes import HomeStore
from domicile.conf import conf
from domicile.fleet.survey import drift
from tests import servers
from tests.isolation.campus import Campus, campus  # noqa: F401

NAMES = ("test_a", "test_ab")
SCHOOL = """
    CREATE TABLE course (id bigint AUTO_INCREMENT PRIMARY KEY, name varchar(20) NOT NULL UNIQUE);
    CREATE TABLE student (
        id bigint AUTO_INCREMENT PRIMARY KEY, course_id bigint, age int NOT NULL,
        name varchar(20) NOT NULL DEFAULT '`test_a`.x', twice int AS (age * 2) STORED,
        CONSTRAINT of_course FOREIGN KEY (course_id) REFERENCES course (id),
        CONSTRAINT grown CHECK (age > 17), KEY by_name (name(5), age)
    );
    CREATE VIEW names AS SELECT student.name AS called, 'test_a' AS text FROM student;
    CREATE TRIGGER watch BEFORE UPDATE ON student FOR EACH ROW SET NEW.age = NEW.age + 1;
    CREATE FUNCTION older(age int) RETURNS int DETERMINISTIC RETURN age + 1
"""


@pytest.fixture
def store(campus: Campus) -> Iterator[HomeStore]:  # noqa: F811
    servers.require("mariadb")
    store = connections["mariadb"].store(conf().placement("mariadb"))
    try:
        for name in NAMES:
            store.create(name)
            run(store, name, *SCHOOL.split(";"))
        yield store
    finally:
        for name in NAMES:
            store.drop(name)


def run(store: HomeStore, name: str, *statements: str) -> None:
    with store.connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(f"USE {name}; {statement}")
            while cursor.nextset():
                pass


def test_same_statements_make_databases_that_are_alike(store: HomeStore):
    run(store, "test_a", "INSERT INTO course (name) VALUES ('x')")
    assert drift(store.facts("test_a"), store.facts("test_ab")) == []
    assert len(set(store.fingerprints(NAMES).values())) == 1


CHANGES = {
    "DROP INDEX by_name ON student": "index student.by_name is missing",
    "ALTER TABLE student MODIFY age bigint NOT NULL": (
        "column student.age is bigint(20) NOT NULL, not int(11) NOT NULL"
    ),
    "ALTER TABLE student DROP CONSTRAINT grown": "constraint student.grown is missing",
    "ALTER TABLE student DROP FOREIGN KEY of_course": "constraint student.of_course is missing",
    "ALTER TABLE course ENGINE = MyISAM, COMMENT 'x'": "MyISAM",
    "CREATE OR REPLACE VIEW names AS SELECT name AS called FROM student": "view names is",
    "DROP TRIGGER watch": "trigger student.watch is missing",
    "CREATE OR REPLACE FUNCTION older(age int) RETURNS int DETERMINISTIC RETURN age + 2": "age + 2",
    "CREATE OR REPLACE FUNCTION older(age bigint) RETURNS int DETERMINISTIC RETURN age": "bigint",
    "CREATE TABLE `ex``tra` (`na``me` int)": "table `ex``tra` is not in the others",
    "CREATE SEQUENCE counter": "table counter is not in the others",
    "ALTER DATABASE test_a COLLATE utf8mb4_bin": "database is utf8mb4 utf8mb4_bin",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes(store: HomeStore, change: str):
    if change.startswith("ALTER TABLE course ENGINE"):
        for name in NAMES:
            run(store, name, "ALTER TABLE student DROP FOREIGN KEY of_course")
    run(store, "test_a", change)
    (difference,) = drift(store.facts("test_a"), store.facts("test_ab"))
    assert CHANGES[change] in difference
    assert len(set(store.fingerprints(NAMES).values())) == 2
