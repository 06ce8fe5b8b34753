"""The databases of a run: made, copied as files, and dropped as soon as they were measured."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import workers
from benchmarks.environments import environment
from benchmarks.workers import Worker
from tests.servers import PostgresServer

PROJECT = Path(__file__).resolve().parent / "project"
APPLICATIONS = ("wagtail", "oscar")  # Domicile with other apps, in an environment of their own


def environment_of(contender: str) -> str:
    return "applications" if contender in APPLICATIONS else contender


@dataclass(frozen=True)
class Database:
    server: PostgresServer
    name: str

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.server.url(self.name), autocommit=True)

    def create(self, template: "Database | None" = None) -> None:
        """As a copy of another, file by file, where one is given."""
        self.drop()
        source = f"TEMPLATE {template.name} STRATEGY file_copy" if template else ""
        self._maintain(f"CREATE DATABASE {self.name} {source}")

    def drop(self) -> None:
        self._maintain(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def _maintain(self, statement: str) -> None:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    @contextmanager
    def copied(self, name: str) -> Iterator["Database"]:
        """A copy for one measurement, written to disk before that begins."""
        copy = Database(self.server, name)
        copy.create(template=self)
        self._maintain("CHECKPOINT")
        os.sync()
        try:
            yield copy
        finally:
            copy.drop()

    def worker(self, contender: str, **flags: object) -> Worker:
        kind = "domicile" if contender in APPLICATIONS else contender
        variables = self.variables(contender, **flags)
        return Worker(environment_of(contender), PROJECT, variables, kind)

    def django(self, contender: str, *command: str, **flags: object) -> str:
        """What a management command printed, in a process of its own."""
        return subprocess.run(
            [environment(environment_of(contender)), "-m", "django", *command],
            env=self.variables(contender, **flags),
            cwd=PROJECT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=workers.PATIENCE,
        ).stdout

    def variables(self, contender: str, **flags: object) -> dict[str, str]:
        """Flags are names of variables that the project's settings look for."""
        address = self.server.django_settings()
        return workers.variables(
            DJANGO_SETTINGS_MODULE=f"settings.{contender.replace('-', '_')}",
            BENCH_NAME=self.name,
            BENCH_HOST=address["HOST"],
            BENCH_PORT=str(address["PORT"]),
            BENCH_USER=address["USER"],
            **{name: str(value) for name, value in flags.items()},
        )

    def dump(self, schema: str, *options: str) -> str:
        """What pg_dump writes of a schema, less its comments and psql's own commands."""
        program = self.server.binaries / "pg_dump"
        url, wanted = self.server.url(self.name), f"--schema={schema}"
        command = [program, url, wanted, "--no-owner", "--no-privileges", *options]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        lines = (line for line in printed.splitlines() if not line.startswith(("--", "\\")))
        return "\n".join(line for line in lines if line) + "\n"
