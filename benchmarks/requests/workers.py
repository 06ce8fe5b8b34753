"""The processes that work for the benchmark, each in its contender's own environment."""

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from environments import environment

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
        project = {
            "DJANGO_SETTINGS_MODULE": f"settings.{self.contender.replace('-', '_')}",
            "BENCH_SERVER": server,
            "BENCH_NAME": self.name,
            "BENCH_HOST": self.host,
            "BENCH_PORT": str(self.port),
            "BENCH_USER": self.user,
        }
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return inherited | project | dict.fromkeys(self.flags, "1")


def seed(home: Home, tenants: int) -> None:
    python = str(environment(home.contender))
    command = [python, "seed.py", home.contender, str(tenants)]
    subprocess.run(command, check=True, env=home.variables("wsgi"), cwd=PROJECT)


class Worker:
    """A contender's process that serves under `wsgi` or `asgi`; see project/worker.py."""

    def __init__(self, home: Home, server: str) -> None:
        self.contender = home.contender
        self.server = server
        self.process = subprocess.Popen(
            [environment(home.contender), "worker.py", server],
            env=home.variables(server),
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.commands, self.answers = self.process.stdin, self.process.stdout

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.commands.close()
        self.process.wait()

    def call(self, command: str, **arguments: object) -> Any:
        """Waits for the answer, so that only one worker ever works."""
        print(json.dumps([command, arguments]), file=self.commands, flush=True)
        answer = self.answers.readline()
        if not answer:
            raise RuntimeError(f"the worker of {self.contender} died in {command}{arguments}")
        return json.loads(answer)
