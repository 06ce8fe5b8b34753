from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import servers

CONSTRUCTORS = {
    "postgres_18": lambda: servers.PostgresServer(18),
    "postgres_16": lambda: servers.PostgresServer(16),
    "postgres_15": lambda: servers.PostgresServer(15),
    "mariadb": servers.MariaDBServer,
}


@pytest.fixture
def redis():
    server = servers.RedisServer()
    if not server.present:
        servers.absent(server.description())
    yield server
    server.discard()


@pytest.fixture(params=list(CONSTRUCTORS))
def server(request, monkeypatch):
    monkeypatch.delenv(f"DOMICILE_TEST_{request.param.upper()}", raising=False)
    server = CONSTRUCTORS[request.param]()
    if not server.present:
        servers.absent(server.description())
    yield server
    server.discard()


def test_data_survives_a_crash_and_a_restart_until_discarded(server):
    server.start()
    execute(server, "CREATE TABLE kept (number integer)")
    execute(server, "INSERT INTO kept VALUES (7)")
    server.kill()
    assert not server.running
    server.start()
    server.restart()
    assert execute(server, "SELECT number FROM kept") == [(7,)]
    server.discard()
    assert not server.home.exists()
    assert not server.ping()


def test_redis_keeps_its_data_too(redis, monkeypatch):
    monkeypatch.delenv("DOMICILE_TEST_REDIS", raising=False)
    client = pytest.importorskip("redis").Redis.from_url(redis.url("0"))
    redis.start()
    with client:
        client.set("kept", 7)
        redis.kill()
        redis.start()
        assert client.get("kept") == b"7"
    redis.discard()
    assert not redis.home.exists()
    assert not redis.ping()


def test_servers_die_with_their_process(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    with child:
        folder = Path(child.stdout.readline().strip())
        assert running_in(folder)
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while folder.exists() or running_in(folder):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_named_server_is_used_and_left_alone(monkeypatch):
    monkeypatch.setenv("DOMICILE_TEST_POSTGRES_18", "postgresql://me:p%40ss@db.example:6543")
    server = servers.PostgresServer(18)
    assert server.django_settings() == {
        "HOST": "db.example",
        "PORT": 6543,
        "USER": "me",
        "PASSWORD": "p@ss",
    }
    assert server.url("campus") == "postgresql://me:p%40ss@db.example:6543/campus"
    assert "p%40ss" not in server.description()
    server.start()
    server.discard()
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception)):
        server.kill()


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_missing_server_is_a_failure_in_ci_only(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setitem(servers.static(), "old", servers.PostgresServer(9))
    with pytest.raises(outcome, match="PostgreSQL 9"):
        servers.require("old")


CHILD = """
import time
from tests import servers
server = next(s for s in servers.static().values() if s.present)
server.start()
print(servers.folder(), flush=True)
time.sleep(60)
"""


def execute(server, sql):
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        rows = list(cursor.fetchall()) if cursor.description else []
        connection.commit()
    return rows


def connect(server):
    if isinstance(server, servers.PostgresServer):
        import psycopg

        return psycopg.connect(server.url("postgres"))
    import MySQLdb

    return MySQLdb.connect(host="127.0.0.1", port=server.port, user=server.user, database="mysql")


def running_in(folder):
    return [
        process
        for process in Path("/proc").glob("[0-9]*")
        if str(folder).encode() in command_line(process) and b"/bin/sh" not in command_line(process)
    ]


def command_line(process):
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_driver_of_mariadb_is_for_mariadb_alone():
    script = "import sys; sys.modules['MySQLdb'] = None; import benchmarks.databases.cluster"
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], check=True)
