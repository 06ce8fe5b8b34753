"""`databases connections`, and what it asks servers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections, transaction

import domicile
from domicile.backends.activity import Activity, activity_of, examine
from domicile.commands.connections import _lasting, _short
from domicile.connections import configured
from tests.databases import databases, make_database
from tests.isolation.campus import Campus, campus  # noqa: F401
from tests.processes import eventually
from tests.servers import require

STOCK = {"default": "django.db.backends.postgresql", "mariadb": "django.db.backends.mysql"}


@pytest.fixture(autouse=True)
def sites(campus: Campus) -> Iterator[None]:  # noqa: F811
    yield
    for alias in domicile.added_databases():
        domicile.remove_database(alias, force=True)
    connections.close_all()


def shown(*words: str) -> str:
    output = StringIO()
    call_command("databases", "connections", *words, stdout=output)
    return output.getvalue()


def rows() -> dict[str, dict[str, str]]:
    names, *lines = (line.split("\t") for line in shown().splitlines() if "\t" in line)
    return {line[0]: dict(zip(names, line, strict=True)) for line in lines}


def in_json() -> dict[str, dict[str, Any]]:
    return {row["alias"]: row for row in json.loads(shown("--json"))}


@contextmanager
def at_work(alias: str) -> Iterator[threading.Thread]:
    """Another thread's transaction locks the rows, or waits for them; it is on its way to its end
    afterwards, which can take the end of another.
    """
    started, leave = threading.Event(), threading.Event()

    def work() -> None:
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            started.set()
            cursor.execute("SELECT * FROM things FOR UPDATE")
            leave.wait(20)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(20)
    try:
        yield thread
    finally:
        leave.set()


@contextmanager
def things(server: str, engine: str | None = None) -> Iterator[None]:
    made = make_database(server, "asked")
    with databases({"asked": {**made, "ENGINE": engine or made["ENGINE"]}}):
        with connections["asked"].cursor() as cursor:
            cursor.execute("CREATE TABLE things (id int)")
            cursor.execute("INSERT INTO things VALUES (1)")
        connections.close_all()
        yield


@pytest.mark.parametrize("server", ["default", "postgres15", "mariadb"])
@pytest.mark.parametrize("stock", [False, True])
def test_what_a_server_says(server: str, stock: bool) -> None:
    with things(server, STOCK.get(server.replace("postgres15", "default")) if stock else None):

        def used() -> tuple[int | None, ...]:
            # InnoDB tells its transactions anew when nobody has asked for a tenth of a second.
            time.sleep(0.15 if server == "mariadb" else 0)
            activity = activity_of(connections["asked"])
            return activity.in_use, activity.idle, activity.waiting

        eventually(lambda: used() == (0, 0, 0))
        with at_work("asked") as holder:
            eventually(lambda: used() == (1, 0, 0))
            with at_work("asked") as waiter:
                eventually(lambda: used() == (2, 0, 1))
        holder.join()
        waiter.join()
        eventually(lambda: used() == (0, 0, 0))
        activity = activity_of(connections["asked"])
        assert activity.queries > 0
        assert activity.server_limit > activity.server_sessions > 0
        connections.close_all()


def test_an_age_is_the_oldest_sessions() -> None:
    with things("default"):
        # The server takes a moment to end what was closed.
        eventually(lambda: activity_of(connections["asked"]).age is None)
        with at_work("asked") as holder:
            assert 0 <= activity_of(connections["asked"]).age < 60
        holder.join()
        connections.close_all()


def test_an_engine_without_a_server(tmp_path: Path) -> None:
    settings = configured({"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "file"})
    (found,) = examine({"here": settings})
    assert found.alive
    assert found.latency < 1000
    assert found.activity == Activity()


def test_the_table() -> None:
    require("mariadb")
    with databases({"file": make_database("sqlite", "file")}):
        domicile.add_database("added", {"LIKE": "mariadb"})
        found = rows()
    assert list(found) == ["default", "postgres15", "mariadb", "file", "added"]
    assert [row["vendor"] for row in found.values()] == [
        *("postgresql", "postgresql", "mysql", "sqlite", "mysql")
    ]
    assert all(row["alive"].endswith(" ms") for row in found.values())
    assert found["file"]["in use"] == "-"
    assert found["default"]["in use"].isdecimal()
    assert found["added"]["age"] == "-"


def test_each_server_is_told_of_once() -> None:
    domicile.add_database("added", {"LIKE": "default"})
    told = [line for line in shown().splitlines() if "of the 197 sessions" in line]
    settings = connections["default"].settings_dict
    assert sum(line.startswith(f"{settings['HOST']}:{settings['PORT']} ") for line in told) == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (9_999, "9999"), (10_000, "10 k"), (9_999_999, "9999 k"), (48_102_212, "48 M")],
)
def test_numbers_are_short(number: int | None, text: str) -> None:
    assert _short(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (7.4, "7 s"), (119, "119 s"), (120, "2 min"), (9e5, "10 d")]
)
def test_ages_are_short(seconds: float | None, text: str) -> None:
    assert _lasting(seconds) == text


def test_in_json() -> None:
    found = in_json()
    assert found["default"]["alive"] is True
    assert found["default"]["server_limit"] == 197
    assert found["default"]["error"] == ""


def test_one_that_does_not_answer() -> None:
    made = make_database("default", "asked")
    output = StringIO()
    with databases({"gone": {**made, "PORT": 1}}), pytest.raises(CommandError, match="'gone': "):
        call_command("databases", "connections", stdout=output)
    line = next(line for line in output.getvalue().splitlines() if line.startswith("gone"))
    assert line.split("\t")[1:4] == ["postgresql", "no", "-"]


def test_one_that_hangs_is_given_up() -> None:
    """It takes connections and never says a word."""
    made = make_database("default", "asked")
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = {**made, "HOST": "127.0.0.1", "PORT": server.getsockname()[1]}
        started = time.monotonic()
        (found,) = examine({"silent": configured(silent)}, 2)
    assert not found.alive
    assert time.monotonic() - started < 15
