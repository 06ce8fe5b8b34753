"""Commands that are killed in the midst of their work, and all that is there afterwards."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections

from domicile.fleet.site import handler
from domicile.fleet.survey import applied_in, fingerprints_of
from domicile.registry import registry
from tests import servers
from tests.processes import Forker, eventually
from tests.testproject.universities.models import Hostname, University

SERVERS = ("default", "postgres15")
#: What is killed: the process; its sessions, by the server; one of them, as in a crash of that.
VICTIMS = ("runner", "sessions", "runner", "server process")

#: The sessions of a runner are known by their name.
RUNNER = """
import io, os
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings
from domicile.commands import modules
modules()

def work(words, options):
    os.environ["PGAPPNAME"] = "runner"
    with override_settings(DOMICILE={**settings.DOMICILE, **options}):
        tell(started=True, pid=os.getpid())
        try:
            call_command("tenants", *words.split(), stdout=io.StringIO())
        except CommandError as error:
            tell(refused=type(error.__cause__).__name__, reason=str(error))
        else:
            tell(done=True)
"""
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'runner'"
THERE = """
    SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION SELECT 'database ' || datname FROM pg_database
    UNION SELECT 'role ' || rolname FROM pg_roles
    UNION SELECT 'prepared ' || gid FROM pg_prepared_xacts
"""


class Runner(Forker):
    """Runs `tenants` with words, and with some of `DOMICILE` changed."""

    def __init__(self) -> None:
        super().__init__(RUNNER)

    def run(self, words: str, options: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Let it come to its end; return what it told, and its seconds from Django's start."""
        self.fork(words=words, options=options)
        began = time.monotonic()
        outcome = self.outcome()
        seconds = time.monotonic() - began
        assert "ended" in self.hear()
        eventually(all_are_gone)
        return outcome, seconds

    def run_killed(
        self, words: str, options: dict[str, Any], after: float, victim: str
    ) -> dict[str, Any]:
        """Kill something after some seconds; return what it told before it ended, or after all."""
        pid = self.fork(words=words, options=options)
        time.sleep(after)
        kill(victim, pid)
        told = self.hear()
        outcome = {} if "ended" in told else told
        while "ended" not in told:
            told = self.hear()
        eventually(all_are_gone)
        return outcome


def kill(victim: str, runner: int) -> None:
    if victim == "runner":
        _kill_process(runner)
        return
    for alias in SERVERS:
        if victim == "sessions" or servers.static()[alias].named_url:
            ask(alias, SESSIONS.replace("pid", "pg_terminate_backend(pid)", 1))
        else:
            # For one process that was killed the server ends all others too, and recovers.
            for pid in ask(alias, SESSIONS)[:1]:
                _kill_process(pid)


def _kill_process(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def all_are_gone() -> bool:
    """Whether the servers are up, and have noticed that there is no runner any more."""
    try:
        return not any(ask(alias, SESSIONS) for alias in SERVERS)
    except psycopg.OperationalError:
        return False


def instants(seed: str, rounds: int) -> Iterator[tuple[float, str]]:
    """So many fractions of a duration, spread over it, and a victim for each."""
    chance = random.Random(seed)
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(rounds)]
    chance.shuffle(victims)
    for number, victim in enumerate(victims):
        yield (number + chance.random()) / rounds, victim


def ask(alias: str, query: str) -> list[Any]:
    """What a server says, with nothing of Domicile between."""
    with psycopg.connect(servers.static()[alias].url("test_domicile"), autocommit=True) as asking:
        return [value for (value,) in asking.execute(query).fetchall()]


def everything() -> dict[str, Any]:
    """The fleet, and whatever is on the servers and in the folder of files."""
    connections.close_all()
    registry.clear()
    tenants = list(University._base_manager.order_by("slug"))
    homes = [tenant.home for tenant in tenants]
    fingerprints, applied = fingerprints_of(homes), applied_in(homes)
    return {
        "tenants": [(each.slug, each.status, str(each.placement)) for each in tenants],
        "hosts": list(Hostname.objects.values_list("host", flat=True)),
        "fingerprints": [fingerprints[home] for home in homes],
        "applied": [applied[home] for home in homes],
        "rows": [_rows(tenant) for tenant in tenants],
        "there": _there(),
    }


def _rows(tenant: University) -> dict[str, int]:
    """How many are in each table."""
    handler().forget(tenant.alias)
    connection = connections[tenant.alias]
    counted = {}
    with tenant.activate(), connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")
            counted[table] = cursor.fetchone()[0]
    return counted


def _there() -> list[str]:
    """Schemas, databases, roles, prepared transactions and files."""
    on_servers = [f"{alias} {name}" for alias in SERVERS for name in ask(alias, THERE)]
    files = Path(os.environ["TESTPROJECT_FILES"]).iterdir()
    return sorted([*on_servers, *(path.name for path in files if path.is_file())])
