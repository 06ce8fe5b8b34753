"""Other processes of the test project."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

ROOT = Path(__file__).parents[1]
#: Where a test kills at many instants, each pair of Python and Django takes every other one: this
#: is the first of the pair that runs.
FIRST = 1 if sys.version_info < (3, 13) else 2
T = TypeVar("T")
PREAMBLE = """\
import json, sys
import django
django.setup()
def tell(**message):
    print(json.dumps(message), flush=True)
"""


def in_turns(instants: Iterable[T]) -> list[T]:
    """Return every other one, those that are this pair's."""
    return list(instants)[FIRST - 1 :: 2]


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


class Forker(Process):
    """Does `work(**message)` of a script in children that a test may kill at any instant: they are
    forked from a process that has imported everything and opened nothing.
    """

    FORKING = """
import os
for line in sys.stdin:
    child = os.fork()
    if child:
        tell(ended=os.waitpid(child, 0)[1])
    else:
        try:
            work(**json.loads(line))
        except BaseException as error:
            tell(failed=repr(error))
        os._exit(0)
"""

    def __init__(self, script: str, **environment: str) -> None:
        super().__init__(script + self.FORKING, **environment)

    def fork(self, **message: Any) -> int:
        """Begin some work; return the process that does it, as soon as it has told that."""
        self.ask(**message)
        return self.hear()["pid"]

    def outcome(self) -> dict[str, Any]:
        """What became of it: at which step it stopped, that it is done, or its error."""
        return self.hear()

    def was_killed(self) -> bool:
        """Whether some work that kills itself at an instant has, or came to its end before."""
        told = self.hear()
        if "ended" in told:
            return True
        assert told == {"done": True}, told
        assert "ended" in self.hear()
        return False

    def end(self, pid: int) -> None:
        """Kill it as nothing can be killed harder, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while "ended" not in self.hear():
            pass


class Command:
    """A command of the test project, begun in a process of its own; what it prints is kept."""

    def __init__(self, *words: str, program: tuple[str, ...] = ("-m", "django")) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - __exit__ closes it
        self.process = subprocess.Popen(
            [sys.executable, *program, *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        self._output.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self, seconds: float = 120) -> int:
        """Wait for its end; return its exit status."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        status = self.process.wait(seconds)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        #: Of the processor; its children's too.
        self.seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return status

    @property
    def printed(self) -> str:
        self._output.seek(0)
        return self._output.read()


def eventually(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for a condition; return what it returns."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds} s"
        time.sleep(0.01)
    return value
