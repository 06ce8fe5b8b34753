"""`partitions ACTION …`: the homes of rows that are by time; see `domicile.commands.partitions`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from domicile.commands import errors_told, partitions
from domicile.console import Output


class Command(BaseCommand):
    help = "Makes, lists and prunes the homes of rows that are by time."
    requires_system_checks = ["domicile"]

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        partitions.add_parsers(actions)

    def handle(self, *, action: str, **options: Any) -> None:
        output = Output.to(self.stdout, no_color=options["no_color"])
        with errors_told():
            getattr(partitions, f"do_{action}")(output, **options)
