"""`databases route`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError

import domicile
from domicile.console import Output
from domicile.explain import explain_route
from domicile.routing import replicated


def add_parsers(actions: Any) -> None:
    route = actions.add_parser("route", help="Tell where a model's rows are, and by which rule.")
    route.add_argument("model", metavar="APP.MODEL")
    route.add_argument("--write", action="store_true", help="Where they are written to.")
    route.add_argument("--at", metavar="TIME", help="Of a row of that time: 2026-11, 2026-11-21.")
    route.add_argument("--tenant", metavar="SLUG", help="Inside that tenant.")
    route.add_argument("--json", action="store_true")


def do_route(
    output: Output,
    *,
    model: str,
    write: bool,
    at: str | None,
    tenant: str | None,
    json: bool,
    **_: Any,
) -> None:
    try:
        found = apps.get_model(model)
    except (LookupError, ValueError) as error:
        raise CommandError(f"There is no model {model!r}: write it as app.Model.") from error
    with nullcontext() if tenant is None else domicile.activate(tenant):
        if not write:
            _await_replicas()
        route = explain_route(found, write=write, at=at)
    if json:
        output.json(route.as_record())
        return
    output.line(route.answer, "bold")
    for reason in route.reasons:
        output.item(reason)
    if route.refused is not None:
        output.item(route.refused, "red")


def _await_replicas() -> None:
    """Let each replica be asked once: a process that has just begun knows of none whether it is
    well, and would read from the primary.
    """
    readers = replicated().readers.values()
    monitors = [each.monitor for each in readers if hasattr(each, "monitor")]
    for monitor in monitors:
        monitor.start()
    for monitor in monitors:
        monitor.asked.wait(2 * monitor.connect_seconds)
