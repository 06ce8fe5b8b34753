"""`databases add|remove`: databases that come and go while the project runs."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import OperationalError

from domicile.added import LIKE, add_database, remove_database
from domicile.console import Output


def add_parsers(actions: Any) -> None:
    """Add both actions."""
    add = actions.add_parser("add", help="Have every process know a database that is there.")
    add.add_argument("alias")
    add.add_argument("--like", metavar="ALIAS", help="All else is as in this entry of DATABASES.")
    add.add_argument("--name", help="The NAME of the database.")
    add.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="Another setting, its value as JSON or plain text. Repeat it.",
    )
    add.add_argument("--replace", action="store_true", help="Change one that was added before.")
    add.add_argument("--no-connect", action="store_true", help="It cannot be reached yet.")
    remove = actions.add_parser("remove", help="Have every process forget one that was added.")
    remove.add_argument("alias")
    remove.add_argument("--force", action="store_true", help="Do not ask whether it is in use.")


def do_add(output: Output, **options: Any) -> None:
    """Add a database by the options."""
    settings = dict(_pair(each) for each in options["set"])
    if options["like"]:
        settings[LIKE] = options["like"]
    if options["name"]:
        settings["NAME"] = options["name"]
    alias = options["alias"]
    try:
        add_database(alias, settings, replace=options["replace"], connect=not options["no_connect"])
    except (ImproperlyConfigured, OperationalError) as error:
        raise CommandError(str(error).strip()) from error
    output.line(f"{alias!r} is known; to other processes within REGISTRY_MAX_AGE seconds.")


def do_remove(output: Output, **options: Any) -> None:
    """Remove a database that was added."""
    remove_database(options["alias"], force=options["force"])
    output.line(f"{options['alias']!r} is forgotten. The database itself is still there.")


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--set {text!r} has no '='. Write --set KEY=VALUE.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
