"""`tenants ACTION …`: what is done to tenants; the actions are in `domicile.commands`."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from domicile.commands import errors_told, handler, modules
from domicile.console import Output


class Command(BaseCommand):
    help = "Creates, lists, suspends, migrates and drops tenants."
    requires_system_checks = ["domicile"]

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for module in modules():
            module.add_parsers(actions)

    def handle(self, *, action: str, **options: Any) -> None:
        output = Output.to(self.stdout, no_color=options["no_color"])
        try:
            with errors_told():
                handler(action)(output, **options)
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error
