"""A process that creates tenants in children of its own, which a test may kill at any instant."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

from tests.processes import Process

SCRIPT = """
import os, signal
import domicile

def create(slug, placement, stop_at):
    count = 0
    def progress(step):
        nonlocal count
        count += 1
        if count == stop_at:
            tell(stopped=step.kind, pid=os.getpid())
            signal.pause()
    tell(started=True, pid=os.getpid())
    hosts = [f"{slug}.example"]
    domicile.create_tenant(slug, placement=placement, domains=hosts, progress=progress)
    tell(done=count)

for line in sys.stdin:
    child = os.fork()
    if child:
        tell(ended=os.waitpid(child, 0)[1])
    else:
        try:
            create(**json.loads(line))
        except BaseException as error:
            tell(failed=repr(error))
        os._exit(0)
"""


class Creator(Process):
    """Its children are forked from a process that has imported everything and opened nothing."""

    def __init__(self) -> None:
        super().__init__(SCRIPT)

    def start(self, slug: str, placement: str, stop_at: int = 0) -> int:
        """Begin to create a tenant; return the process that does it."""
        self.ask(slug=slug, placement=placement, stop_at=stop_at)
        return self.hear()["pid"]

    def outcome(self) -> dict[str, Any]:
        """What became of it: at which step it stopped, or that it is done."""
        return self.hear()

    def end(self, pid: int) -> None:
        """Kill it as nothing can be killed harder, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while "ended" not in self.hear():
            pass
