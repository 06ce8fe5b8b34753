"""Django's own `migrate`, run in one home, with its progress told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.management import call_command, get_commands, load_command_class


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
    """Migrate the home of a tenant by the project's `migrate` command."""
    command = _migrate_command(progress)
    target = {"app_label": app_label} if app_label else {}
    if migration:
        target["migration_name"] = migration
    with tenant.activate():
        call_command(
            command,
            database=tenant.alias,
            interactive=False,
            verbosity=0,
            run_syncdb=not app_label,
            skip_checks=True,
            **target,
        )


def _migrate_command(progress: Progress) -> Any:
    """Return the project's `migrate`, which may be another than Django's, with progress told."""
    app = get_commands()["migrate"]
    command: Any = load_command_class(app, "migrate") if isinstance(app, str) else app
    own = command.migration_progress_callback

    def callback(action: str, migration: Any = None, fake: bool = False) -> None:
        own(action, migration, fake)
        if action in ("apply_success", "unapply_success"):
            progress(Step("migration", str(migration)))

    command.migration_progress_callback = callback
    return command
