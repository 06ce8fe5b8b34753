"""What was measured, against what was promised."""

import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

BEGUN = time.monotonic()
WIDTH = 100  # the table needs it, also where there is no terminal


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    limit: float | None = None  # None: for comparison only
    note: str = ""

    @property
    def over(self) -> bool:
        # As printed: three decimals.
        return self.limit is not None and round(self.value, 3) > self.limit

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3f} {self.promised}"

    @property
    def promised(self) -> str:
        return "-" if self.limit is None else f"{self.limit:g}"


def say(what: str) -> None:
    """Progress, for people, with the seconds since the beginning."""
    print(f"{time.monotonic() - BEGUN:5.0f} s  {what} ...", file=sys.stderr, flush=True)


def guarded(name: str, figures: Iterator[Figure], limit: float | None = 0) -> Iterator[Figure]:
    """A part that breaks off is a figure, over its limit where it has one; others still follow."""
    try:
        yield from figures
    except Exception:
        traceback.print_exc()
        yield Figure(f"{name}.broken", 1, limit)


def show(figures: list[Figure], title: str) -> None:
    """A table for people on stderr, a line for each figure on stdout."""
    table = Table("figure", "value", "limit", "", title=title)
    for figure in figures:
        style = "bold red" if figure.over else "green" if figure.limit is not None else ""
        table.add_row(figure.name, f"{figure.value:.3f}", figure.promised, figure.note, style=style)
    console = Console(stderr=True)
    console.width = max(console.width, WIDTH)
    console.print(table)
    for figure in figures:
        print(figure)
