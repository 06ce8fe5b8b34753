"""A tenant that moves: what it has, the processes that use it all the while, and one that may be
killed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from tests import servers
from tests.conftest import PLACEMENT_DATABASES
from tests.processes import Forker, Process
from tests.testproject.students.models import Club, Course, Student
from tests.testproject.universities.models import University

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


def require(placement: str) -> None:
    alias = PLACEMENT_DATABASES[placement]
    if alias is not None:
        servers.require(alias)


def fill(acme: University, count: int = 700) -> None:
    """More rows than one batch, in tables that refer to each other."""
    with acme.activate():
        law = Course.objects.create(name="Law")
        chess = Club.objects.create(name="Chess ♞")
        Student.objects.bulk_create(
            Student(
                registration=f"{n:05}", name=f"Åma {n}", home="acme", course=None if n % 3 else law
            )
            for n in range(count)
        )
        chess.members.set(Student.objects.filter(registration__lt="00100"))


def contents(acme: Any) -> dict[str, Any]:
    with acme.activate():
        return {
            "students": list(Student.objects.order_by("pk").values_list()),
            "migrations": sorted(MigrationRecorder(connections[acme.alias]).applied_migrations()),
            "courses": list(Course.objects.values_list()),
            "members": list(Student.clubs.through.objects.order_by("pk").values_list()),
        }


def homes_like(placement: str, name: str) -> list[str]:
    """The homes at a placement whose names begin so."""
    if placement == "file":
        return [path.name for path in Path(os.environ["TESTPROJECT_FILES"]).glob(f"{name}*")]
    queries = {
        "schema": "SELECT nspname FROM pg_namespace WHERE nspname LIKE %s",
        "database": "SELECT datname FROM pg_database WHERE datname LIKE %s",
        "mariadb": "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE %s",
    }
    prefix = "" if placement.startswith("schema") else "test_"
    with connections[PLACEMENT_DATABASES[placement]].cursor() as cursor:
        cursor.execute(queries[placement.removesuffix("15")], [f"{prefix}{name}%"])
        return [found for (found,) in cursor.fetchall()]
