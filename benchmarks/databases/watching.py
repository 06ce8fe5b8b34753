"""What the monitor of one process asks of the servers, as their own logs tell it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import Cluster

from benchmarks.report import Figure, say
from tests.replication import postgres
from tests.servers import PostgresServer

STATEMENTS_LIMIT = 66  # a minute: one a second, and looks that come a little sooner
TIME_LIMIT = 60  # milliseconds a minute: a thousandth
# The statement follows, or a part of its execution where it was sent in parts.
LOGGED = re.compile(r"^users\|LOG:  duration: ([\d.]+) ms(  statement:|  execute )?", re.M)


@dataclass
class Load:
    statements: int
    milliseconds: float


def watch_figures(cluster: Cluster, seconds: float) -> Iterator[Figure]:
    say(f"watching the monitor for {seconds:.0f} s")
    with cluster.worker("domicile") as worker, logged(cluster.servers):
        before = [len(log(server)) for server in cluster.servers]
        client = worker.call("rest", seconds=seconds)
        loads = [load(server, since) for server, since in zip(cluster.servers, before, strict=True)]
    minutes = seconds / 60
    names = ["primary", *(f"replica-{number}" for number in range(1, len(loads)))]
    for name, each in zip(names, loads, strict=True):
        yield Figure(f"monitor.{name}.statements", each.statements / minutes, STATEMENTS_LIMIT)
        yield Figure(f"monitor.{name}.ms", each.milliseconds / minutes, TIME_LIMIT)
    yield Figure("monitor.client.ms", client * 1000 / minutes)


@contextmanager
def logged(servers: list[PostgresServer]) -> Iterator[None]:
    """Every statement is logged with its duration."""
    for server in servers:
        set_all(server, "ALTER SYSTEM SET log_min_duration_statement = 0")
    try:
        yield
    finally:
        for server in servers:
            set_all(server, "ALTER SYSTEM RESET log_min_duration_statement")


def set_all(server: PostgresServer, sql: str) -> None:
    postgres(server, sql)
    postgres(server, "SELECT pg_reload_conf()")


def log(server: PostgresServer) -> str:
    return Path(server.home / "log").read_text(errors="replace")


def load(server: PostgresServer, since: int) -> Load:
    found = LOGGED.findall(log(server)[since:])
    return Load(
        statements=sum(bool(what) for _, what in found),
        milliseconds=sum(float(milliseconds) for milliseconds, _ in found),
    )
