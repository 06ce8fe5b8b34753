"""The migrations of one tenant's home, with progress told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domicile.fleet.replay.migrator import HomeMigrator
from domicile.fleet.replay.plan import Target


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done: what kind of step, and to what."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Tell nobody."""


def migrate_home(
    tenant: Any, progress: Progress = silent, app_label: str = "", migration: str = ""
) -> None:
    """Migrate the home of a tenant: all apps or one, to the newest or the named migration."""
    with tenant.activate():
        outcome = HomeMigrator.to(Target(app_label, migration)).migrate(tenant.home)
    for name in outcome.migrations:
        progress(Step("migration", name))
