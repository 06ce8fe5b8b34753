"""A contender's database, what fills it, and the process that serves from it."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import workers
from benchmarks.environments import environment

PROJECT = Path(__file__).resolve().parent / "project"


@dataclass(frozen=True)
class Home:
    """A contender and the database that was filled for it."""

    contender: str
    name: str
    host: str
    port: int
    user: str
    flags: tuple[str, ...] = ()  # names of variables that the project's settings look for

    def through(self, port: int) -> "Home":
        return replace(self, host="127.0.0.1", port=port)

    def variables(self, server: str) -> dict[str, str]:
        return workers.variables(
            DJANGO_SETTINGS_MODULE=f"settings.{self.contender.replace('-', '_')}",
            BENCH_SERVER=server,
            BENCH_NAME=self.name,
            BENCH_HOST=self.host,
            BENCH_PORT=str(self.port),
            BENCH_USER=self.user,
            **dict.fromkeys(self.flags, "1"),
        )


def seed(home: Home, tenants: int) -> None:
    python = str(environment(home.contender))
    command = [python, "seed.py", home.contender, str(tenants)]
    subprocess.run(command, check=True, env=home.variables("wsgi"), cwd=PROJECT)


class Worker(workers.Worker):
    """A contender's process that serves under `wsgi` or `asgi`; see project/worker.py."""

    def __init__(self, home: Home, server: str) -> None:
        super().__init__(home.contender, PROJECT, home.variables(server), server)
        self.server = server
