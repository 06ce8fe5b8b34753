"""`tenants ACTION …`: what is done to tenants; the actions are in `domicile.commands`."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from domicile.commands import handler, modules
from domicile.console import Output
from domicile.exceptions import DomicileError


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
            handler(action)(output, **options)
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error
        except DomicileError as error:
            raise CommandError(str(error)) from error
