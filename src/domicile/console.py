"""What commands print: plain lines, and in a terminal what `domicile.terminal` makes of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.management.base import OutputWrapper


class Output:
    """Prints to a command's `stdout`."""

    is_terminal = False

    def __init__(self, stdout: OutputWrapper) -> None:
        # Django's wrapper ends each write in a newline.
        stdout.ending = ""
        self.stdout = stdout

    @staticmethod
    def to(stdout: OutputWrapper, *, no_color: bool = False) -> Output:
        """Return what prints there as suits it. Only for a terminal is rich imported, which takes
        longer than many a command.
        """
        if not stdout.isatty() and "FORCE_COLOR" not in os.environ:
            return Output(stdout)
        from domicile.terminal import TerminalOutput

        return TerminalOutput(stdout, no_color=no_color)

    def line(self, text: str, style: str = "") -> None:
        self.stdout.write(f"{text}\n")

    def item(self, text: str, style: str = "") -> None:
        """Print one of several sentences; in a terminal long ones are wrapped under themselves."""
        self.line(f"- {text}")

    def json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def json_line(self, value: Any) -> None:
        """Print a value as one line, now: for programs that read while a job goes on."""
        self.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        self.stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows: a table in a terminal, else lines with tabs between the columns."""
        for row in (columns, *rows):
            self.line("\t".join(row))

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values, a line each."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self.line(f"{name:<{width}}  {value}")

    def status(self, text: str) -> AbstractContextManager[Any]:
        """Show in a terminal that something goes on."""
        return nullcontext()

    def progress(self, what: str) -> Progress:
        """Return what shows in a terminal how far a job is, its rate, the time left, failures."""
        return Progress()


class Progress:
    """Shows nothing, since no one watches."""

    def start(self, total: int) -> None:
        """There is so much to do."""

    def update(self, *, completed: int, failed: int) -> None:
        """So much is done."""

    def stop(self) -> None:
        """No more will be."""
