"""Asks the pages of the people, and the commands that tell of databases."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from itertools import zip_longest
from typing import Any

import domicile
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.utils import timezone
from domicile.exceptions import WriteRefused

from customers.bookshop import CUSTOMERS
from customers.models import Customer
from universities.catalogue import CATALOGUE, PASSWORD, USERNAME
from users.models import Person

from .checking import Result
from .seeding import ASSETS, DAYS_MEASURED, EMPLOYEES, members
from .visitor import Page, Visitor

TITLE = "Seen by its author at once"
SECONDS_TO_MEASURE = 15
HOMES = {
    "users.Person": "users",
    "users.Profile": "users",
    "blog.Post": "blog",
    "analytics.Event": "analytics",
    "customers.Customer": "legacy",
    "employees.Employee": "employees",
    "assets.Asset": "assets",
}


def results(port: int) -> Iterator[Result]:
    visitor = Visitor(port)
    yield from people(visitor)
    for person in Person.objects.all():
        yield from page_of(person, visitor)
    for person in Person.objects.all()[:4]:
        yield from new_post(person, Visitor(port))
    yield from admin_page(visitor)
    yield from servers()
    yield from commands()


def read_from(alias: str) -> str:
    """Where an alias is read: from its replica, if it has one."""
    return replica if (replica := f"{alias}_replica") in settings.DATABASES else alias


def ask_until_measured(visitor: Visitor, path: str, expected: list[str]) -> Page:
    """A page, when its replicas are known to be well: until then the primary is read."""
    deadline = time.monotonic() + SECONDS_TO_MEASURE
    while (page := visitor.get(path)).origins() != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    return page


def people(visitor: Visitor) -> Iterator[Result]:
    now = timezone.now()
    days = (now - timedelta(days=DAYS_MEASURED), now - timedelta(days=1))
    months = " … ".join(f"period:months:{day:%Y-%m}" for day in days)
    expected = [read_from("users"), "employees", "assets", "legacy", months]
    page = ask_until_measured(visitor, "/people/", expected)
    yield Result("page of all people", "localhost", 200, page.status)
    missing = [handle for handle in members() if f'"/people/{handle}/"' not in page.text]
    yield Result("people missing", "localhost", "", ", ".join(missing))
    yield from databases_of(page, "localhost", expected)
    told = {
        "employees": len(EMPLOYEES),
        "assets": len(ASSETS),
        "customers": len(CUSTOMERS),
        "readings": DAYS_MEASURED * len(CATALOGUE),
    }
    for name, number in told.items():
        found = re.search(rf">(\d+)</span> {name}", page.text)
        yield Result("what else is kept", name, number, int(found[1]) if found else 0)


def page_of(person: Person, visitor: Visitor) -> Iterator[Result]:
    expected = [read_from("users"), "cache", read_from("blog"), read_from("analytics")]
    page = ask_until_measured(visitor, f"/people/{person.handle}/", expected)
    yield Result("page of a person", person.handle, 200, page.status)
    yield from databases_of(page, person.handle, expected)
    profile = str(members()[person.handle][0].programme) in page.text
    yield Result("profile", person.handle, True, profile)
    for name, number in (("posts", person.posts.count()), ("events", person.events.count())):
        yield Result(f"{name} listed", person.handle, number, listed(page, name))
        yield Result(f"{name} counted", person.handle, number, counted(page, name))


def databases_of(page: Page, where: str, expected: list[str]) -> Iterator[Result]:
    for alias, got in zip_longest(expected, page.origins()):
        yield Result("its databases", where, alias, got)


def listed(page: Page, part: str) -> int:
    return page.text.partition(f'id="{part}"')[2].partition("</ul>")[0].count("<li>")


def counted(page: Page, name: str) -> int:
    found = re.search(rf'<dt>{name.title()}</dt><dd class="number">(\d+)</dd>', page.text)
    return int(found[1]) if found else 0


def new_post(person: Person, visitor: Visitor) -> Iterator[Result]:
    """Who writes sees it on the next page, however far the replica is."""
    path, before = f"/people/{person.handle}/", person.posts.count()
    refused = visitor.post(path, title=" ")
    yield Result("post nothing", person.handle, 200, refused.status)
    yield Result("publish a post", person.handle, 302, visitor.post(path, title=TITLE).status)
    page = visitor.get(path)
    yield Result("its author sees it", person.handle, True, TITLE in page.text)
    yield Result("it is counted", person.handle, before + 1, counted(page, "posts"))


def admin_page(visitor: Visitor) -> Iterator[Result]:
    visitor.post("/admin/login/", username=USERNAME, password=PASSWORD)
    page = visitor.get("/admin/domicile/databases/")
    yield Result("map in the admin", "localhost", 200, page.status)


def servers() -> Iterator[Result]:
    for alias in settings.DATABASES:
        if alias.endswith("_replica"):
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT pg_is_in_recovery()")
                (streams,) = cursor.fetchone()
            yield Result("is a real replica", alias, True, streams)
    try:
        Customer.objects.create(number=7, name="Nobody", city="Nowhere")
        answer = "written"
    except WriteRefused:
        answer = "refused"
    yield Result("write a customer", "legacy", "refused", answer)


def commands() -> Iterator[Result]:
    (told,) = told_by("databases", "map")
    homes = {entry["model"]: ", ".join(entry["aliases"]) for entry in told["models"]}
    for model, alias in HOMES.items():
        yield Result("databases map", model, alias, homes.get(model))
        yield Result("databases route", model, read_from(alias), route_of(model))
        target = "refused" if alias == "legacy" else alias
        yield Result("… --write", model, target, route_of(model, "--write"))
    november = route_of("sensors.Reading", "--at", "2026-11")
    yield Result("… --at 2026-11", "sensors.Reading", "period:months:2026-11", november)
    (told,) = told_by("databases", "connections")
    alive = {entry["alias"] for entry in told if entry["alive"]}
    yield Result("databases connections", "all", len(settings.DATABASES), len(alive))
    states = [entry["state"] for entry in told_by("partitions", "list", "--placement", "months")]
    yield Result("partitions list", "months", "current, ahead, ahead", ", ".join(states[-3:]))
    pruned = told_by("partitions", "prune", "--dry-run")
    yield Result("partitions prune", "months", 0, len(pruned))


def route_of(*words: str) -> str:
    (route,) = told_by("databases", "route", *words)
    return "refused" if route["refused"] else ", ".join(route["aliases"])


def told_by(*words: str) -> list[Any]:
    """What a command prints as JSON: one value, or one a line."""
    output = StringIO()
    with domicile.unit_of_work():  # as for a command in a process of its own
        call_command(*words, "--json", stdout=output)
    text = output.getvalue()
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]
