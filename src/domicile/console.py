"""What commands print: rich in a terminal, plain lines everywhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

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

    @contextmanager
    def progress(self, total: int, what: str) -> Iterator[Progress]:
        """Show how far a job is, its rate and the time left; nothing where no one watches."""
        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        progress.add_task(what, total=total)
        with progress:
            yield progress


def _styled(cell: str) -> str:
    style = STATUS_STYLES.get(cell)
    return f"[{style}]{cell}[/]" if style else escape(cell)
