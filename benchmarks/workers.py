"""The processes that work for a benchmark, each in its contender's own environment."""

import json
import os
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.environments import HERE, environment

PATIENCE = 900.0  # seconds; a process that has not answered by then is killed
SHARED_PROJECT = HERE / "project"  # what the benchmarks' projects have in common


def variables(**project: str) -> dict[str, str]:
    """The environment of a contender's process: nothing of ours but what it needs to run."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**inherited, "PYTHONPATH": str(SHARED_PROJECT), **project}


class Worker:
    """Calls what `answering.answer()` answers in `worker.py` of a contender's project."""

    def __init__(
        self, contender: str, project: Path, variables: dict[str, str], *arguments: str
    ) -> None:
        self.contender = contender
        self.process = subprocess.Popen(
            [environment(contender), "worker.py", *arguments],
            env=variables,
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.commands, self.answers = self.process.stdin, self.process.stdout

    def __enter__(self) -> Self:
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
        patience = threading.Timer(PATIENCE, self.process.kill)
        patience.start()
        answer = self.answers.readline()
        patience.cancel()
        if not answer:
            raise RuntimeError(f"the worker of {self.contender} died in {command}{arguments}")
        return json.loads(answer)
