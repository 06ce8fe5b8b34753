"""A PostgreSQL 18 with two streaming replicas, and the processes that use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import workers
from benchmarks.report import say
from tests.replication import LOGGING, PostgresReplica, postgres
from tests.servers import PostgresServer

PROJECT = Path(__file__).resolve().parent / "project"
DATABASES = ("main", "users", "blog", "timeseries")
REPLICAS = 2
WITH_DOMICILE = {"domicile", "named"}  # of project/settings


class Cluster:
    def __init__(self) -> None:
        # Nothing begins by itself in the midst of a measurement; a log line tells its database.
        options = {"autovacuum": "off", "log_line_prefix": "%d|"}
        self.primary = PostgresServer(18, **LOGGING, **options)
        self.replicas = [PostgresReplica(self.primary, **options) for _ in range(REPLICAS)]

    @property
    def servers(self) -> list[PostgresServer]:
        return [self.primary, *self.replicas]

    def start(self) -> None:
        say("starting a primary and its replicas")
        self.primary.start()
        for name in DATABASES:
            postgres(self.primary, f"CREATE DATABASE {name}")
        for replica in self.replicas:
            replica.start()

    def fill(self) -> None:
        say("filling the databases")
        with self.worker("domicile", replicas=0) as worker:
            worker.call("fill")
        for replica in self.replicas:
            replica.catch_up()

    def discard(self) -> None:
        for server in reversed(self.servers):
            server.discard()

    @contextmanager
    def worker(self, settings: str, replicas: int = REPLICAS) -> Iterator[workers.Worker]:
        """A process with one of project/settings, which knows so many of the replicas."""
        ports = [server.port for server in self.servers[: 1 + replicas]]
        variables = workers.variables(
            DJANGO_SETTINGS_MODULE=f"settings.{settings}",
            BENCH_PORTS=",".join(map(str, ports)),
            BENCH_USER=self.primary.user,
        )
        contender = "domicile" if settings in WITH_DOMICILE else "plain"
        with workers.Worker(contender, PROJECT, variables) as worker:
            if settings in WITH_DOMICILE:
                worker.call("settle")
            yield worker
