"""What was measured, against what was promised."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

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


def show(figures: list[Figure]) -> None:
    """A table for people on stderr, a line for each figure on stdout."""
    table = Table("figure", "value", "limit", "", title="Domicile and its peers, against plain")
    for figure in figures:
        style = "bold red" if figure.over else "green" if figure.limit is not None else ""
        table.add_row(figure.name, f"{figure.value:.3f}", figure.promised, figure.note, style=style)
    console = Console(stderr=True)
    console.width = max(console.width, WIDTH)
    console.print(table)
    for figure in figures:
        print(figure)
