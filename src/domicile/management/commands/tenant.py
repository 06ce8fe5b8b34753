"""`tenant SLUG COMMAND …`: any command of the project, inside a tenant."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management import get_commands, load_command_class
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    handle_default_options,
)

from domicile.commands import errors_told
from domicile.console import Output
from domicile.exceptions import DomicileError
from domicile.fleet.sole_work import find_tenant
from domicile.models import VISIBLE
from domicile.registry import visible_tenants

#: Commands that serve or test the whole project, in processes of their own.
_NOT_INSIDE = frozenset({"runserver", "testserver", "test"})


class Command(BaseCommand):
    help = "Runs a command inside a tenant, or inside each: tenant SLUG COMMAND …, tenant --all …"
    requires_system_checks = ["domicile"]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="Inside each tenant, by slug.")
        parser.add_argument(
            "words", nargs=argparse.REMAINDER, metavar="SLUG COMMAND …", help="The command to run."
        )

    def handle(self, *, words: list[str], **options: Any) -> None:
        slug, words = (None, words) if options["all"] else (words[:1], words[1:])
        if not words:
            raise CommandError("Give a slug and a command: `tenant acme dumpdata`.")
        if words[0] in _NOT_INSIDE:
            raise CommandError(f"`{words[0]}` is for the whole project; run it without `tenant`.")
        with errors_told():
            tenants = [_visible(slug[0])] if slug is not None else list(visible_tenants())
        try:
            if slug is not None:
                self._run(tenants[0], words, options)
            else:
                self._run_in_all(tenants, words, options)
        except DomicileError as error:
            raise CommandError(str(error)) from error

    def _run_in_all(self, tenants: list[Any], words: list[str], options: dict[str, Any]) -> None:
        output = Output.to(self.stdout, no_color=options["no_color"])
        failed = []
        for tenant in tenants:
            output.line(f"── {tenant.slug}", "bold")
            try:
                self._run(tenant, words, options)
            except (Exception, SystemExit) as error:
                output.line(f"{type(error).__name__}: {error}", "red")
                failed.append(tenant.slug)
        if failed:
            raise CommandError(f"`{' '.join(words)}` failed in: {', '.join(failed)}.")

    def _run(self, tenant: Any, words: list[str], options: dict[str, Any]) -> None:
        command = _command(words[0])
        parser = command.create_parser("manage.py tenant", words[0])
        given = vars(parser.parse_args(words[1:]))
        handle_default_options(argparse.Namespace(**given))
        args = given.pop("args", ())
        streams = {name: options[name] for name in ("stdout", "stderr") if options.get(name)}
        with tenant.activate():
            command.execute(*args, **given, **streams)


def _visible(slug: str) -> Any:
    tenant = find_tenant(slug)
    if tenant.status not in VISIBLE:
        raise CommandError(f"{slug!r} is {tenant.get_status_display()}.")
    return tenant


def _command(name: str) -> BaseCommand:
    try:
        app = get_commands()[name]
    except KeyError:
        raise CommandError(f"Unknown command: {name!r}. `help` lists all commands.") from None
    return app if isinstance(app, BaseCommand) else load_command_class(app, name)
