"""What commands print: rich in a terminal, plain lines everywhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

#: How a tenant's status looks in a terminal; the word itself is always there.
STATUS_STYLES = {
    "active": "green",
    "suspended": "red",
    "maintenance": "yellow",
    "creating": "dim",
    "dropping": "dim red",
}


class Output:
    """Prints to a command's `stdout`."""

    def __init__(self, stdout: OutputWrapper, *, no_color: bool = False) -> None:
        # Django's wrapper ends each write in a newline; rich writes its own.
        stdout.ending = ""
        self.console = Console(file=stdout, no_color=no_color or None, highlight=False)  # type: ignore[arg-type]

    def line(self, text: str, style: str = "") -> None:
        self.console.print(escape(text), style=style, soft_wrap=True)

    def json(self, value: Any) -> None:
        self.console.file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows: a table in a terminal, else lines with tabs between the columns."""
        if not self.console.is_terminal:
            for row in (columns, *rows):
                self.console.file.write("\t".join(row) + "\n")
            return
        table = Table(*columns, header_style="bold")
        for row in rows:
            table.add_row(*(_styled(cell) for cell in row))
        self.console.print(table)

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values, a line each."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self.console.print(f"[bold]{name:<{width}}[/]  {_styled(value)}", soft_wrap=True)

    def json_line(self, value: Any) -> None:
        """Print a value as one line, now: for programs that read while a job goes on."""
        self.console.file.write(json.dumps(value, ensure_ascii=False) + "\n")
        self.console.file.flush()

    def progress(self, total: int, what: str) -> Progress:
        """Return what shows in a terminal how far a job is, its rate, the time left, failures.

        Its one task has the field `failed`. Nothing is shown where no one watches.
        """
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True),
            _Failures(),
            console=self.console,
            disable=not self.console.is_terminal,
            expand=True,
        )
        progress.add_task(what, total=total, failed=0)
        return progress


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g}/s" if speed else "", style="progress.data.speed")


class _Failures(ProgressColumn):
    def render(self, task: Task) -> Text:
        failed = task.fields["failed"]
        return Text(f"{failed} failed" if failed else "", style="red")


def _styled(cell: str) -> str:
    style = STATUS_STYLES.get(cell)
    return f"[{style}]{cell}[/]" if style else escape(cell)
