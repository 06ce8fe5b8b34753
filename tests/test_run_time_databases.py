"""Databases that are added and removed while processes run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import (
    OperationalError,
    close_old_connections,
    connections,
    reset_queries,
    router,
    transaction,
)
from django.test import SimpleTestCase, override_settings
from django.test.testcases import DatabaseOperationForbidden
from django.test.utils import CaptureQueriesContext
from django.utils.connection import ConnectionDoesNotExist

import domicile
from domicile.backends.census import census
from domicile.exceptions import (
    ConnectionLimitReached,
    DatabaseInUse,
    InvalidName,
    NameTaken,
    UnknownDatabase,
)
from domicile.fleet.runs.databases import migrate_databases, static_aliases
from domicile.records import AddedDatabase
from domicile.registry import registry
from domicile.rules import Apps, Legacy
from tests.cases import run_class
from tests.databases import databases, make_database
from tests.isolation.campus import Campus, campus, in_thread  # noqa: F401
from tests.processes import Process, eventually
from tests.servers import require
from tests.tenants import domicile_settings
from tests.testproject.people.models import Person

SQLITE = "domicile.backends.sqlite3"
STOCK_SQLITE = "django.db.backends.sqlite3"


@pytest.fixture(autouse=True)
def clean(campus: Campus) -> Iterator[None]:  # noqa: F811
    yield
    for alias in domicile.added_databases():
        domicile.remove_database(alias, force=True)
    connections.close_all()


@pytest.fixture(params=["default", "postgres15", "mariadb", "sqlite", "stock"])
def settings_of(request: pytest.FixtureRequest, tmp_path: Path) -> dict:
    if request.param == "stock":
        return {"ENGINE": STOCK_SQLITE, "NAME": tmp_path / "stock.sqlite3"}
    return make_database(request.param, "added")


@pytest.fixture
def file(tmp_path: Path) -> dict:
    return {"ENGINE": SQLITE, "NAME": tmp_path / "added.sqlite3"}


def ask(alias: str, query: str = "SELECT 1") -> object:
    with connections[alias].cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0] if cursor.description else None


# Adding ------------------------------------------------------------------------------------------


def test_it_is_there_at_once_and_gone_at_once(settings_of: dict) -> None:
    domicile.add_database("added", settings_of)
    assert domicile.added_databases() == ["added"]
    with transaction.atomic(using="added"):
        ask("added", "CREATE TABLE things (id int)")
        ask("added", "INSERT INTO things VALUES (7)")
    assert ask("added", "SELECT id FROM things") == 7
    assert "added" not in set(connections)
    wrapper = connections["added"]
    domicile.remove_database("added")
    with pytest.raises(ConnectionDoesNotExist, match="added"):
        _ = connections["added"]
    assert wrapper.connection is None
    assert domicile.added_databases() == []


def test_like_another(file: dict) -> None:
    made = make_database("default", "added")
    domicile.add_database("added", {"LIKE": "default", "NAME": made["NAME"]})
    wrapper = connections["added"]
    assert ask("added", "SELECT current_database()") == "added"
    assert wrapper.settings_dict["HOST"] == connections["shared"].settings_dict["HOST"]
    assert wrapper.settings_dict["CONN_HEALTH_CHECKS"]
    assert AddedDatabase.objects.get().settings == {"LIKE": "default", "NAME": "added"}


def test_a_tenant_may_be_active(campus: Campus, file: dict) -> None:  # noqa: F811
    a, _ = campus.pair("schema")
    with a.activate():
        domicile.add_database("added", file)
        assert ask("added") == 1
        assert connections["default"].alias == a.alias
        domicile.remove_database("added")


@pytest.mark.parametrize(
    "alias", ["", "a:b", "tenant:a", "-a", "a-", "a b", "ä", "a\n", "x" * 64, "../a", None]
)
def test_bad_aliases(alias: str, file: dict) -> None:
    with pytest.raises(InvalidName, match="alias"):
        domicile.add_database(alias, file)


@pytest.mark.parametrize("alias", ["default", "shared", "mariadb"])
def test_aliases_that_are_taken(alias: str, file: dict) -> None:
    require("mariadb")
    with pytest.raises(NameTaken):
        domicile.add_database(alias, file)


def test_an_alias_is_added_once_and_replaced_on_wish(file: dict, tmp_path: Path) -> None:
    domicile.add_database("added", file)
    with pytest.raises(NameTaken, match="replace=True"):
        domicile.add_database("added", file)
    before = connections["added"]
    before.ensure_connection()
    domicile.add_database("added", {**file, "NAME": tmp_path / "other"}, replace=True)
    assert connections["added"].settings_dict["NAME"] == str(tmp_path / "other")
    assert before.connection is None


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ENGINE": "no.such.engine"},
        {"LIKE": "nowhere"},
        {"ENGINE": SQLITE, "NAME": ":memory:", "OPTIONS": {"factory": object()}},
    ],
)
def test_settings_that_cannot_be_used(settings: dict) -> None:
    with pytest.raises(ImproperlyConfigured, match="added"):
        domicile.add_database("added", settings)
    assert not AddedDatabase.objects.exists()


def test_what_does_not_answer_is_refused(file: dict) -> None:
    nowhere = {"LIKE": "default", "NAME": "missing"}
    with pytest.raises(OperationalError, match="missing"):
        domicile.add_database("added", nowhere)
    domicile.add_database("added", nowhere, connect=False)
    with pytest.raises(OperationalError, match="missing"):
        ask("added")


def test_what_an_undone_transaction_added_was_never_there(file: dict) -> None:
    with transaction.atomic():
        domicile.add_database("added", file)
        assert ask("added") == 1
        transaction.set_rollback(True)
    with pytest.raises(ConnectionDoesNotExist):
        _ = connections["added"]


def test_one_that_was_never_added() -> None:
    with pytest.raises(UnknownDatabase, match="nowhere"):
        domicile.remove_database("nowhere")
    with pytest.raises(UnknownDatabase, match="DATABASES"):
        domicile.remove_database("default")
    with pytest.raises(ConnectionDoesNotExist):
        _ = connections["nowhere"]


def test_an_unknown_alias_costs_one_query() -> None:
    registry.clear()
    with CaptureQueriesContext(connections["shared"]) as queries:
        connections["shared"].close()
        for _ in range(3):
            with pytest.raises(ConnectionDoesNotExist):
                _ = connections["nowhere"]
    asked = [query["sql"] for query in queries if "domicile_addeddatabase" in query["sql"]]
    assert len(asked) == 1


# Other processes ---------------------------------------------------------------------------------

OTHER = """
from domicile.conf import conf
from django.conf import settings
settings.DOMICILE["REGISTRY_MAX_AGE"] = 0.2
conf.cache_clear()
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist
for line in sys.stdin:
    alias = json.loads(line)["alias"]
    try:
        connections[alias].ensure_connection()
        tell(there=True)
    except ConnectionDoesNotExist:
        tell(there=False)
"""


def test_other_processes_see_it_in_time(file: dict) -> None:
    def there() -> bool:
        other.ask(alias="added")
        return other.hear()["there"]

    with Process(OTHER) as other:
        assert not there()
        domicile.add_database("added", file)
        eventually(there)
        assert there()
        domicile.remove_database("added")
        eventually(lambda: not there())


# In use ------------------------------------------------------------------------------------------


def test_one_in_use_is_not_removed(settings_of: dict) -> None:
    domicile.add_database("added", settings_of)
    with transaction.atomic(using="added"):
        ask("added")
        with pytest.raises(DatabaseInUse, match="force"):
            domicile.remove_database("added")
        with pytest.raises(DatabaseInUse):
            in_thread(domicile.remove_database, "added")
    domicile.remove_database("added")


@pytest.mark.parametrize("server", ["default", "postgres15", "mariadb"])
def test_one_in_use_by_another_process_is_not_removed(server: str) -> None:
    domicile.add_database("added", make_database(server, "added"))
    script = """
from django.db import connections, transaction
with transaction.atomic(using="added"), connections["added"].cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS held (id int)")
    cursor.execute("INSERT INTO held VALUES (1)")
    tell(begun=True)
    sys.stdin.readline()
tell(ended=True)
"""
    with Process(script) as other:
        assert other.hear()["begun"]
        with pytest.raises(DatabaseInUse, match="1 of"):
            domicile.remove_database("added")
        other.ask()
        assert other.hear()["ended"]
        eventually(removed)


def removed() -> bool:
    # InnoDB tells its transactions anew when nobody has asked for a tenth of a second.
    time.sleep(0.15)
    with suppress(DatabaseInUse):
        domicile.remove_database("added")
    return "added" not in domicile.added_databases()


def test_a_transaction_outlives_its_alias(settings_of: dict) -> None:
    domicile.add_database("added", settings_of)
    ask("added", "CREATE TABLE things (id int)")
    with transaction.atomic(using="added"):
        ask("added", "INSERT INTO things VALUES (1)")
        domicile.remove_database("added", force=True)
        assert "added" not in domicile.added_databases()
        ask("added", "INSERT INTO things VALUES (2)")
    with pytest.raises(ConnectionDoesNotExist):
        ask("added")
    domicile.add_database("again", settings_of)
    assert ask("again", "SELECT count(*) FROM things") == 2


def test_a_transaction_outlives_its_settings(file: dict, tmp_path: Path) -> None:
    domicile.add_database("added", file)
    ask("added", "CREATE TABLE things (id int)")
    with transaction.atomic(using="added"):
        ask("added", "INSERT INTO things VALUES (1)")
        domicile.add_database("added", {**file, "NAME": tmp_path / "other"}, replace=True)
        ask("added", "INSERT INTO things VALUES (2)")
    assert ask("added", "SELECT count(*) FROM sqlite_master") == 0


def test_one_that_is_gone_can_be_removed(file: dict) -> None:
    domicile.add_database("added", {"LIKE": "default", "NAME": "missing"}, connect=False)
    domicile.remove_database("added")
    domicile.add_database("added", {"LIKE": "default"})
    AddedDatabase.objects.update(settings={"LIKE": "nowhere"})
    registry.clear()
    with pytest.raises(ImproperlyConfigured, match="nowhere"):
        _ = connections["added"]
    domicile.remove_database("added")


# What Django does to all connections -------------------------------------------------------------


@pytest.fixture(params=[SQLITE, STOCK_SQLITE])
def wrapper(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    domicile.add_database(
        "added", {"ENGINE": request.param, "NAME": tmp_path / "file", "CONN_MAX_AGE": 0}
    )
    return connections["added"]


def test_close_old_connections(wrapper) -> None:
    wrapper.ensure_connection()
    close_old_connections()
    assert wrapper.connection is None


def test_close_old_connections_after_a_removal(tmp_path: Path) -> None:
    settings = {"ENGINE": SQLITE, "NAME": tmp_path / "file", "CONN_MAX_AGE": None}
    domicile.add_database("added", settings)
    wrapper = connections["added"]
    wrapper.ensure_connection()
    close_old_connections()
    assert wrapper.connection is not None
    domicile.remove_database("added")
    close_old_connections()
    assert wrapper.connection is None


def test_reset_queries(wrapper) -> None:
    wrapper.force_debug_cursor = True
    ask("added")
    assert len(wrapper.queries) == 1
    reset_queries()
    assert wrapper.queries == []


def test_simple_test_cases_may_not_use_it(file: dict) -> None:
    domicile.add_database("added", file)
    ask("added")

    class Case(SimpleTestCase):
        def test(self) -> None:
            with pytest.raises(DatabaseOperationForbidden):
                connections["added"].cursor()

    run_class(Case)


def test_they_count(tmp_path: Path) -> None:
    for name in "abc":
        domicile.add_database(name, {"ENGINE": SQLITE, "NAME": tmp_path / name})
    with override_settings(DOMICILE=domicile_settings(MAX_CONNECTIONS=1, CONNECTION_WAIT=0.05)):
        for name in "abc":
            ask(name)
        assert [connections[name].connection is not None for name in "abc"] == [False, False, True]
        with transaction.atomic(using="c"), pytest.raises(ConnectionLimitReached):
            ask("a")


def test_threads_have_connections_of_their_own(file: dict) -> None:
    domicile.add_database("added", file)
    mine = connections["added"]
    mine.ensure_connection()
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(using="added"):
            ask("added")
            held.set()
            leave.wait(20)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(20)
        assert connections["added"] is mine
        (stats,) = (stats for stats in census.stats() if stats.alias == "added")
        assert (stats.open, stats.in_use, stats.idle) == (2, 1, 1)
        assert stats.age >= 0
    finally:
        leave.set()
        thread.join()


# Migrations --------------------------------------------------------------------------------------


def tables(alias: str) -> set[str]:
    return set(connections[alias].introspection.table_names())


def test_no_table_belongs_there_by_itself(settings_of: dict) -> None:
    domicile.add_database("added", settings_of)
    call_command("migrate", database="added", verbosity=0, interactive=False)
    assert tables("added") == {"django_migrations"}
    assert "added" not in static_aliases()


def test_one_that_is_like_another_has_its_tables(tmp_path: Path) -> None:
    users = make_database("sqlite", "users")
    with databases({"users": users}, rules=[Apps({"people": "users"})]):
        domicile.add_database("added", {"LIKE": "users", "NAME": tmp_path / "added"})
        assert static_aliases() == ["default", "users", "added"]
        assert not router.allow_migrate("added", "posts", model_name="post")
        migrated = {database.alias: database for database in migrate_databases()}
        assert migrated["added"].error is None
        assert tables("added") == {"django_migrations", "people_person", "people_profile"}
        Person.objects.using("added").create(name="Ama")
        assert Person.objects.using("added").get()._state.db == "added"


def test_one_that_is_like_what_others_keep_is_left_alone(tmp_path: Path) -> None:
    legacy = make_database("sqlite", "legacy")
    with databases({"legacy": legacy}, rules=[Legacy("legacy", apps=["customers"])]):
        domicile.add_database("added", {"LIKE": "legacy", "NAME": tmp_path / "added"})
        assert static_aliases() == ["default"]


# The commands ------------------------------------------------------------------------------------


def run(*words: str) -> str:
    output = StringIO()
    call_command("databases", *words, stdout=output)
    return output.getvalue()


def test_commands_add_and_remove(tmp_path: Path) -> None:
    path = tmp_path / "file"
    engine = f"ENGINE={STOCK_SQLITE}"
    assert "'added' is known" in run("add", "added", "--set", engine, "--name", str(path))
    assert connections["added"].settings_dict["NAME"] == str(path)
    run("add", "added", "--like", "default", "--set", "CONN_MAX_AGE=7", "--replace")
    assert connections["added"].settings_dict["CONN_MAX_AGE"] == 7
    assert connections["added"].vendor == "postgresql"
    assert "forgotten" in run("remove", "added")
    assert domicile.added_databases() == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["add", "added", "--set", "ENGINE"], "no '='"),
        (["add", "added"], "engine None"),
        (["add", "a:b", "--like", "default"], "cannot be the alias"),
        (["add", "added", "--like", "default", "--name", "missing"], "missing"),
        (["remove", "added"], "No database 'added'"),
    ],
)
def test_commands_tell_what_is_wrong(words: list[str], fault: str) -> None:
    with pytest.raises(CommandError, match=fault):
        run(*words)
    assert domicile.added_databases() == []


def test_a_command_may_wait_for_the_database_or_force_it(file: dict) -> None:
    run("add", "added", "--like", "default", "--name", "missing", "--no-connect")
    run("remove", "added")
    domicile.add_database("added", file)
    with transaction.atomic(using="added"):
        with pytest.raises(CommandError, match="in use"):
            run("remove", "added")
        run("remove", "added", "--force")
