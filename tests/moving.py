"""Processes around a move: those that use the tenant all the while, and one that may be killed."""

from __future__ import annotations

from typing import Any

from tests.processes import Forker, Process

#: Uses the tenant until it is told to stop; then tells what was acknowledged and what was refused.
VISITOR = """
import threading, time
from django.test import Client
from collections import Counter

kind = {kind!r}
client = Client(raise_request_exception=False, headers={{"host": "acme.localhost"}})
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
written, statuses, number, longest = [], Counter(), 0, 0.0
tell(ready=True)
while not stop.is_set():
    began = time.monotonic()
    if kind == "writer":
        number += 1
        registration = f"w{{number:06}}"
        answer = client.post("/students/enrol/", {{"registration": registration}})
        if answer.status_code == 201:
            written.append(registration)
    else:
        answer = client.get("/students/")
        if answer.status_code == 200:
            answer.json()
    statuses[answer.status_code] += 1
    if answer.status_code == 503 and not answer.headers.get("Retry-After"):
        statuses["no Retry-After"] += 1
    longest = max(longest, time.monotonic() - began)
    if answer.status_code == 503:
        time.sleep(0.01)
tell(written=written, statuses={{str(k): v for k, v in statuses.items()}}, longest=longest)
"""

MOVER = """
import os, signal
import domicile

def work(what, target, stop_at):
    count = 0
    def progress(step):
        nonlocal count
        count += 1
        if count == stop_at:
            tell(stopped=step.kind, detail=step.detail, pid=os.getpid())
            signal.pause()
    tell(started=True, pid=os.getpid())
    if what == "move":
        domicile.move_tenant("acme", target, progress=progress)
    elif what == "copy":
        domicile.copy_tenant("acme", "bcme", placement=target, progress=progress)
    else:
        domicile.import_tenant(what, "bcme", placement=target, progress=progress)
    tell(done=count)
"""


class Visitor(Process):
    """Writes or reads by requests, one after another."""

    def __init__(self, kind: str) -> None:
        super().__init__(VISITOR.format(kind=kind))
        self.hear()

    def stop(self) -> dict[str, Any]:
        """End it; return what it did."""
        self.ask(stop=True)
        return self.hear()


class Mover(Forker):
    """Moves, copies or imports a tenant."""

    def __init__(self) -> None:
        super().__init__(MOVER)

    def start(self, target: str, stop_at: int = 0, what: str = "move") -> int:
        """Begin to move acme, or to make bcme: a "copy" of it, or by an archive at that path;
        return the process that does it.
        """
        return self.fork(what=what, target=target, stop_at=stop_at)
