"""`partitions ACTION …`: the homes of rows that are by time; see `domicile.commands.partitions`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from domicile.commands import partitions
from domicile.console import Output
from domicile.exceptions import DomicileError


class Command(BaseCommand):
    help = "Makes, lists and prunes the homes of rows that are by time."
    requires_system_checks = ["domicile"]

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        partitions.add_parsers(actions)

    def handle(self, *, action: str, **options: Any) -> None:
        output = Output.to(self.stdout, no_color=options["no_color"])
        try:
            getattr(partitions, f"do_{action}")(output, **options)
        except DomicileError as error:
            raise CommandError(str(error)) from error
