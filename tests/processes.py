"""Other processes of the test project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
PREAMBLE = """\
import json, sys
import django
django.setup()
def tell(**message):
    print(json.dumps(message), flush=True)
"""


class Process:
    """Runs a script after `django.setup()`. It may `tell()` things and read lines from stdin."""

    def __init__(self, script: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + script],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, **message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next thing that it tells."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process ended without a word"
        return json.loads(line)


def eventually(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for a condition; return what it returns."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds} s"
        time.sleep(0.01)
    return value
