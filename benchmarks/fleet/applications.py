"""Are the homes of real applications the same, whichever way they were made?"""

import time
from collections.abc import Iterator
from typing import Any

from databases import Database
from psycopg import sql
from reference import Facts, migrated

from benchmarks.report import Figure, say

# The first of those that are alike is migrated by Django, while its statements are captured.
MIGRATED, CAPTURED, REPLAYED, CLONED = HOMES = ("migrated", "captured", "replayed", "cloned")


def application_figures(application: str, database: Database) -> Iterator[Figure]:
    say(f"{application}: migrating by Django alone")
    database.create()
    begin = time.perf_counter()
    migrated(database, application, MIGRATED)
    yield Figure(f"{application}.migrated", time.perf_counter() - begin, note="s, start included")
    with database.connect() as connection:
        for home in (CAPTURED, REPLAYED):
            connection.execute(f"CREATE SCHEMA {home}")
    with database.worker(application) as worker:
        worker.call("seed", slugs=[MIGRATED, CAPTURED, REPLAYED])
        say(f"{application}: migrating, replaying and cloning")
        answer = worker.call("run", management=["tenants", "migrate"])
        if answer["error"]:
            raise RuntimeError(answer["error"])
        worker.call("create", slug="first")  # and what the next one is cloned from
        cloned = worker.call("create", slug=CLONED)
        fingerprints = worker.call("fingerprints", slugs=HOMES)
    yield Figure(f"{application}.cloned", cloned["seconds"], note="s")
    yield Figure(f"{application}.not-cloned", "clone" not in cloned["steps"], 0)
    yield Figure(f"{application}.fingerprints.unequal", unequal(fingerprints), 0, "homes")
    seen = {home: (restored(database, home), counts(database, home)) for home in HOMES}
    yield Figure(f"{application}.dumps.unequal", unequal(seen), 0, "homes, by pg_dump and rows")
    others = [how for how in ways(database) if how not in {"captured", "replayed", "nothing"}]
    yield Figure(
        f"{application}.not-replayed", len(others), 0, "homes that Django migrated one by one"
    )
    database.drop()


def unequal(seen: dict[str, Any]) -> int:
    """Homes that are not as the one that Django migrated."""
    return sum(seen.get(home) != seen[MIGRATED] for home in HOMES)


def restored(database: Database, home: str) -> Facts:
    """What a home is once its dump was restored. PostgreSQL writes some expressions otherwise when
    it has read what it wrote, such as `IN` over a varchar, and a clone is made of what it wrote.
    """
    definition = database.dump(home, "--schema-only")
    with database.connect() as connection:
        connection.execute(f"ALTER SCHEMA {home} RENAME TO kept")
    with database.connect() as connection:
        connection.execute(definition)
    definition = database.dump(home, "--schema-only")
    with database.connect() as connection:
        connection.execute(f"DROP SCHEMA {home} CASCADE; ALTER SCHEMA kept RENAME TO {home}")
    return Facts.of(database, home, definition)


def counts(database: Database, home: str) -> dict[str, int]:
    """Rows by table."""
    with database.connect() as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [home]
        ).fetchall()
        count = sql.SQL("SELECT count(*) FROM {}")
        return {
            name: connection.execute(count.format(sql.Identifier(home, name))).fetchone()[0]
            for (name,) in tables
        }


def ways(database: Database) -> list[str]:
    """How Domicile's run went about each home, as its record says."""
    with database.connect() as connection:
        rows = connection.execute("SELECT how FROM public.domicile_migrationrunhome")
        return [how for (how,) in rows]
