"""What commands print in a terminal, by rich."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column, Table
from rich.text import Text

from domicile.console import Output, Progress

#: How a tenant's status looks; the word itself is always there.
STATUS_STYLES = {
    "active": "green",
    "suspended": "red",
    "maintenance": "yellow",
    "creating": "dim",
    "dropping": "dim red",
}


class TerminalOutput(Output):
    is_terminal = True

    def __init__(self, stdout: OutputWrapper, *, no_color: bool = False) -> None:
        super().__init__(stdout)
        self.console = Console(file=stdout, no_color=no_color or None, highlight=False)  # type: ignore[arg-type]

    def line(self, text: str, style: str = "") -> None:
        self.console.print(escape(text), style=style, soft_wrap=True)

    def item(self, text: str, style: str = "") -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_row("-", Text(text, style=style))
        self.console.print(grid)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(*(Column(name, overflow="fold") for name in columns), header_style="bold")
        for row in rows:
            table.add_row(*(_styled(cell) for cell in row))
        self.console.print(table)

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self.console.print(f"[bold]{name:<{width}}[/]  {_styled(value)}", soft_wrap=True)

    def status(self, text: str) -> AbstractContextManager[Any]:
        return self.console.status(text)

    def progress(self, what: str) -> Progress:
        return _Bar(self.console, what)


class _Bar(Progress):
    def __init__(self, console: Console, what: str) -> None:
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True),
            _Failures(),
            console=console,
            expand=True,
        )
        self.task = self.bars.add_task(what, total=None, failed=0)

    def start(self, total: int) -> None:
        self.bars.update(self.task, total=total)
        self.bars.start()

    def update(self, *, completed: int, failed: int) -> None:
        self.bars.update(self.task, completed=completed, failed=failed)

    def stop(self) -> None:
        self.bars.stop()


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
