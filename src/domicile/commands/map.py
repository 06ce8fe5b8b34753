"""`databases map`."""

from __future__ import annotations

from typing import Any

from domicile.console import Output
from domicile.map import Map, draw_map


def add_parsers(actions: Any) -> None:
    drawn = actions.add_parser("map", help="Show all databases, and where each model's rows are.")
    drawn.add_argument("--json", action="store_true")


def do_map(output: Output, *, json: bool, **_: Any) -> None:
    drawn = draw_map()
    if json:
        output.json(drawn.as_record())
        return
    output.table(["database", "engine", "address", "models", "notes"], _databases(drawn))
    output.line("")
    rows = [[each.model, ", ".join(each.aliases), each.rule, each.note] for each in drawn.houses]
    output.table(["model", "database", "rule", "notes"], rows)
    if drawn.crossings:
        output.line("")
        output.table(["relation", "from", "to", "declared"], _crossings(drawn))


def _databases(drawn: Map) -> list[list[str]]:
    return [
        [
            each.alias,
            each.engine,
            each.address,
            "" if each.replica_of else str(len(drawn.by_alias.get(each.alias, ()))),
            ", ".join(each.notes),
        ]
        for each in drawn.databases
    ]


def _crossings(drawn: Map) -> list[list[str]]:
    return [
        [each.field, each.alias, each.to_alias, "yes" if each.is_declared else "no"]
        for each in drawn.crossings
    ]
