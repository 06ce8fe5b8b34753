"""A home that Django itself made, and the SQL that makes and migrates others like it.

Sending that SQL in a loop is the limit: whoever knows nothing beforehand has to do more.
"""

import re
from dataclasses import dataclass
from typing import Self

import psycopg
from databases import Database
from psycopg import sql

HOME = "reference_home"  # the schema's name, and what stands for a home's in the SQL
DONE = (("contenttypes",), ("auth",), ("sessions",), ("admin",), ("domicile",))  # to the end
OLD = ("school", "0020_lending_rules")
NEW = ("school", "0021_lockers")

ROWS = """
SELECT md5(string_agg(line, E'\n' ORDER BY line COLLATE "C")) FROM (
    SELECT app || '.' || name AS line FROM {home}.django_migrations
    UNION ALL
    SELECT app_label || '.' || model FROM {home}.django_content_type
    UNION ALL
    SELECT app_label || '.' || model || '.' || codename || '.' || name
    FROM {home}.auth_permission JOIN {home}.django_content_type t ON t.id = content_type_id
) lines
"""


@dataclass(frozen=True)
class Facts:
    """What a home has to be: its definition as pg_dump writes it, and a digest of the rows that
    `migrate` writes."""

    definition: str
    rows: str

    @classmethod
    def of(cls, database: Database, home: str, definition: str = "") -> Self:
        definition = definition or database.dump(home, "--schema-only")
        with database.connect() as connection:
            return cls(re.sub(rf"\b{home}\b", HOME, definition), rows(connection, home))


def rows(connection: psycopg.Connection, home: str) -> str:
    row = connection.execute(sql.SQL(ROWS).format(home=sql.Identifier(home))).fetchone()
    assert row
    return str(row[0])


@dataclass(frozen=True)
class Reference:
    old: str  # makes a home as it was before the new migration
    new: str  # and after it: the replay of a dump
    inline: str  # the same with constraints in `CREATE TABLE`
    migration: str  # makes a new one of an old one
    facts: Facts  # of a new one

    @classmethod
    def make(cls, database: Database) -> Self:
        """Lets Django migrate a home, and looks at it before and after the new migration."""
        database.create()
        for target in (*DONE, OLD):
            migrated(database, "domicile", HOME, *target)
        old, before = dumped(database), applied(database)
        printed = database.django(
            "domicile", "sqlmigrate", *NEW, "--skip-checks", BENCH_REFERENCE=HOME
        )
        migrated(database, "domicile", HOME)
        if applied(database) - before != {NEW}:
            raise RuntimeError(f"More than {NEW[1]} is new to an old home: complete DONE.")
        new = dumped(database)
        return cls(old, new, inlined(new), migrating(printed), Facts.of(database, HOME))


def migrated(database: Database, project: str, home: str, *target: str) -> None:
    """Has a home migrated by Django alone: its own engine, and no tenants."""
    with database.connect() as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {home}")
    database.django(project, "migrate", *target, "--skip-checks", BENCH_REFERENCE=home)


def applied(database: Database) -> set[tuple[str, str]]:
    with database.connect() as connection:
        return set(connection.execute(f"SELECT app, name FROM {HOME}.django_migrations"))


def dumped(database: Database) -> str:
    return database.dump(HOME, "--inserts", "--rows-per-insert=500")


def migrating(statements: str) -> str:
    """One transaction in a home: what `sqlmigrate` prints, and the row that says so."""
    app, name = NEW
    begun = statements.replace("BEGIN;", f"BEGIN; SET LOCAL search_path TO {HOME};")
    record = (
        "INSERT INTO django_migrations (app, name, applied)"
        f" VALUES ('{app}', '{name}', statement_timestamp());"
    )
    return begun.replace("COMMIT;", f"{record}\nCOMMIT;")


def inlined(dump: str) -> str:
    """The dump with primary keys, unique constraints and identities inside `CREATE TABLE`."""
    parts: dict[str, list[str]] = {}
    identities: dict[tuple[str, str], str] = {}

    def constraint(match: re.Match[str]) -> str:
        parts.setdefault(match[1], []).append(f"    CONSTRAINT {match[2]}")
        return ""

    def identity(match: re.Match[str]) -> str:
        identities[match[1], match[2]] = match[3]
        return ""

    def column(table: str, line: str) -> str:
        kind = identities.get((table, line.split(maxsplit=1)[0]))
        return f"{line} GENERATED {kind} AS IDENTITY" if kind else line

    def table(match: re.Match[str]) -> str:
        columns = [column(match[1], line) for line in match[2].split(",\n")]
        inside = ",\n".join([*columns, *parts.get(match[1], [])])
        return f"CREATE TABLE {match[1]} (\n{inside}\n);\n"

    keys = r"ALTER TABLE ONLY (\S+)\n    ADD CONSTRAINT (\S+ (?:PRIMARY KEY|UNIQUE) .*);\n"
    counters = (
        r"ALTER TABLE (\S+) ALTER COLUMN (\S+) ADD GENERATED (ALWAYS|BY DEFAULT) AS IDENTITY"
        r" \([^)]*\);\n"
    )
    dump = re.sub(counters, identity, re.sub(keys, constraint, dump))
    return re.sub(r"CREATE TABLE (\S+) \(\n(.*?)\n\);\n", table, dump, flags=re.DOTALL)
