from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from socket import socket
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

from campus import checking, checking_databases, checking_marks, serving
from universities.catalogue import PASSWORD, USERNAME
from universities.models import University
from universities.setup import prepare


class Command(BaseCommand):
    help = "Set up four universities and serve them until stopped."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--check", action="store_true", help="ask every page and compare")
        # Read before the settings are, by campus.place:
        parser.add_argument("--data", help="folder of the data, else demo/data")
        parser.add_argument("--sqlite-only", action="store_true", help="without PostgreSQL")

    def handle(self, *, port: int, check: bool, **options: Any) -> None:
        self.console = Console()
        try:
            listener = serving.listen(0 if check else port)
        except OSError as error:
            message = f"Port {port} cannot be had ({os.strerror(error.errno)}): try --port."
            raise CommandError(message) from None
        with listener:
            for note in settings.PLACE.notes:
                self.console.print(note, style="yellow", soft_wrap=True)
            for step in prepare():
                self.console.print(f"{step} …", style="dim")
            if check:
                self.ask_every_page(listener)
            else:
                self.serve(listener)

    def serve(self, listener: socket) -> None:
        server = serving.server(listener)
        self.console.print(self.addresses(listener.getsockname()[1]))
        self.console.print(
            f"Each has an admin of its own at [bold]/admin/[/], the log-in everywhere is"
            f" [bold]{USERNAME}[/] / [bold]{PASSWORD}[/]. Ctrl-C stops."
        )
        server.run()

    def addresses(self, port: int) -> Table:
        table = Table("Campus", Column("Address", overflow="fold"), "Lives in", box=SIMPLE)
        table.add_row("all", f"http://localhost:{port}/", "the shared database")
        table.add_row("people", f"http://localhost:{port}/people/", "databases of their own")
        for university in University.objects.visible():
            address = f"http://{university.slug}.localhost:{port}/"
            table.add_row(university.slug, address, university.lives_in())
        return table

    def ask_every_page(self, listener: socket) -> None:
        with serving.served(listener) as port:
            results = [
                *checking_marks.results(port),  # before anything is changed
                *checking.Check(port).results(),
                *checking_databases.results(port),
            ]
        self.console.print(checking.table(results))
        failures = list(checking.failures(results))
        for failure in failures:
            self.console.print(failure, style="red", soft_wrap=True)
        self.console.print(f"{len(results) - len(failures)} of {len(results)} as expected.")
        sys.exit(1 if failures else 0)
