"""Works on one contender's homes on command: `python worker.py CONTENDER`.

`Worker` in benchmarks/workers.py is the other end.
"""

import sys
import time
from pathlib import Path
from typing import Any

import django
from answering import answer
from directories.filling import fill
from django.apps import apps
from django.core.management import call_command


class Commands:
    """Each public method is a command; its result is the answer."""

    def __init__(self, contender: str) -> None:
        self.contender = contender

    def ready(self) -> None:
        """Answered as soon as Django has started."""

    def seed(self, slugs: list[str]) -> None:
        fill(self.contender, {slug: f"{slug}.bench.test" for slug in slugs})

    def create(self, slug: str) -> dict[str, Any]:
        """Seconds for a new tenant, row and home, and the steps that Domicile took."""
        steps: list[str] = []
        begin = time.perf_counter()
        if self.contender == "domicile":
            from domicile import create_tenant

            create_tenant(slug, progress=lambda step: steps.append(step.kind))
        else:
            apps.get_model("directory", "University")(schema_name=slug).save(verbosity=0)
        return {"seconds": time.perf_counter() - begin, "steps": steps}

    def run(self, management: list[str]) -> dict[str, Any]:
        """Seconds of a management command and its error: of some contenders one is expected."""
        error = ""
        begin = time.perf_counter()
        try:
            call_command(*management)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        return {"seconds": time.perf_counter() - begin, "error": error}

    def fingerprints(self, slugs: list[str]) -> dict[str, str]:
        """Of Domicile's homes, by its own account."""
        from domicile.fleet.survey import fingerprints_of

        tenants = apps.get_model("directory", "University").objects.filter(slug__in=slugs)
        found = fingerprints_of([tenant.home for tenant in tenants])
        return {tenant.slug: found[tenant.home] for tenant in tenants if tenant.home in found}

    def peak(self) -> float:
        """Megabytes of the machine's memory that this process has held at most."""
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


def commands() -> Commands:
    django.setup()
    return Commands(sys.argv[1])


if __name__ == "__main__":
    answer(commands)
