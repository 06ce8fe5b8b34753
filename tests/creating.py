"""A process that creates tenants in children of its own, which a test may kill at any instant."""

from __future__ import annotations

from tests.processes import Forker

SCRIPT = """
import os, signal
import domicile

def work(slug, placement, stop_at):
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
"""


class Creator(Forker):
    """Creates tenants."""

    def __init__(self, **environment: str) -> None:
        super().__init__(SCRIPT, **environment)

    def start(self, slug: str, placement: str, stop_at: int = 0) -> int:
        """Begin to create a tenant; return the process that does it."""
        return self.fork(slug=slug, placement=placement, stop_at=stop_at)
