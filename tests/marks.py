"""Marks of each tenant's pupils in a home for each month, on each kind of placement."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, router
from django.db.migrations.recorder import MigrationRecorder

import domicile
from domicile.conf import conf
from domicile.fleet.site import handler
from domicile.periods.homes import homes_of
from domicile.periods.places import templates_of
from domicile.placement import TENANT_PREFIX
from domicile.rules import Periods
from tests import servers
from tests.databases import SQLITE, databases, make_database
from tests.testproject.marks.models import Mark, Pupil, Remark
from tests.testproject.universities.models import University

#: How tenants' homes, and those of their months, are kept: the server behind, where it may be
#: missing.
KINDS = {"schemas": "", "roles": "", "files": "", "apart": "", "mariadb": "mariadb"}
RELATION = "marks.Mark.pupil"
OCTOBER, NOVEMBER = "2026-10-01", "2026-11-01"
APPS = ["students", "marks"]
#: The databases that are added, and the servers that they are on.
ADDED = {
    "mariadb": {"added": "mariadb"},
    "roles": {"added": "default"},
    "anywhere": {"added": "default", "far": "postgres15"},
}


def placements_of(kind: str) -> dict[str, Any]:
    def file(name: str) -> dict[str, str]:
        return {"ENGINE": SQLITE, "NAME": str(Path(os.environ["TESTPROJECT_FILES"], "marks", name))}

    schemas = {"DATABASE": "default", "SCHEMA": "t_{slug}"}
    return {
        "schemas": {"own": schemas, "marks": {**schemas, "SCHEMA": "t_{slug}_{period}"}},
        # By sessions that began with roles on.
        "roles": {
            "own": {"DATABASE": "added", "SCHEMA": "t_{slug}"},
            "marks": {"DATABASE": "added", "SCHEMA": "t_{slug}_{period}"},
        },
        "files": {"own": file("{slug}.sqlite3"), "marks": file("{slug}_{period}.sqlite3")},
        "apart": {"own": schemas, "marks": file("{slug}/{period}.sqlite3")},
        "mariadb": {
            "own": {"DATABASE": "added", "NAME": "t_{slug}"},
            "marks": {"DATABASE": "added", "NAME": "t_{slug}_{period}"},
        },
        # Wherever the tenant is, of three places on two servers.
        "anywhere": {
            "own": {"DATABASE": "added", "SCHEMA": "t_{slug}"},
            "other": {"DATABASE": "added", "SCHEMA": "o_{slug}"},
            "far": {"DATABASE": "far", "SCHEMA": "t_{slug}"},
            "marks": {"SCHEMA": "t_{slug}_{period}"},
        },
    }[kind]


@contextmanager
def by_month(
    kind: str = "schemas", *, more: Iterable[Any] = (), **changes: Any
) -> Iterator[Mapping[str, Any]]:
    """Marks and remarks under rules `Periods`, and `more` rules; `changes` are of the rules or, in
    capitals, of `DOMICILE`. Yields the databases that were added for it.
    """
    servers = ADDED.get(kind, {})
    added = {alias: make_database(server, "marks") for alias, server in servers.items()}
    with configured(kind, added, more=more, **changes):
        try:
            yield added
        finally:
            _drop_all()


@contextmanager
def configured(
    kind: str, added: Mapping[str, Any], *, more: Iterable[Any] = (), **changes: Any
) -> Iterator[None]:
    """The same settings, also for another process; `added` are the databases of the first."""
    others = {name: changes.pop(name) for name in list(changes) if name.isupper()}
    options = {"placement": "marks", "unbounded": "fan_out", "ahead": 600, "changed": "move"}
    options |= changes
    rules: list[Any] = [
        Periods("marks.Mark", field="given_at", **options),
        Periods("marks.Remark", field="made_at", **options),
        *more,
    ]
    defaults = {
        "PLACEMENTS": placements_of(kind),
        "DEFAULT_PLACEMENT": "own",
        "ROLES": kind == "roles",
        "RELATIONS": () if kind in ("schemas", "roles", "anywhere") else (RELATION,),
        "CLONE": False,
        "TENANT_APPS": APPS,  # As few as will do: each test migrates homes.
    }
    with databases(added, rules=rules, **{**defaults, **others}):
        yield


@contextmanager
def two_tenants(kind: str = "schemas", **changes: Any) -> Iterator[tuple[Any, Any]]:
    with by_month(kind, **changes):
        yield domicile.create_tenant("acme"), domicile.create_tenant("globex")


def _drop_all() -> None:
    for tenant in University._base_manager.all():
        domicile.drop_tenant(tenant)
    for template in [each for one in conf().placements.values() for each in templates_of(one)]:
        store = handler().host(template).store(template)
        for located in store.names():
            store.drop(located)
    wrappers = connections._wrappers()
    for alias in [*wrappers.views, *wrappers.own]:
        if alias.startswith((TENANT_PREFIX, "placement:")):
            connections.forget(alias)


def located() -> list[str]:
    """What homes by time there are, by the names that they have on their server."""
    templates = templates_of(conf().placement("marks"))
    return sorted(name for each in templates for name in handler().host(each).store(each).names())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    if KINDS[request.param]:
        servers.require(KINDS[request.param])
    return request.param


def write(tenant: Any, *days: str) -> None:
    for day in days:
        Mark.objects.using(tenant.alias).create(given_at=at(day), value=1)


def fill(tenant: Any, *back: int) -> list[Mark]:
    """A mark in the middle of each month so many months back, written before they were over."""
    homes, rows = homes_of("marks", tenant.slug), []
    for count in back:
        month = homes.now().plus(-count)
        homes.make(month)
        row = Mark(given_at=homes.calendar.begins(month) + timedelta(days=14), value=1)
        rows += Mark._base_manager.using(homes.alias(month)).bulk_create([row])
    return rows


def make_acme(**options: Any) -> University:
    """With pupils, and for each marks in two months and a remark."""
    acme: University = domicile.create_tenant("acme", **options)
    with acme.activate():
        for number in range(3):
            pupil = Pupil.objects.create(name=f"Pupil {number}", home="acme")
            for day in (OCTOBER, NOVEMBER):
                mark = Mark.objects.create(given_at=at(day), pupil=pupil, value=number)
            Remark.objects.create(made_at=mark.given_at, mark=mark)
    return acme


def contents(tenant: University) -> list[list[tuple[Any, ...]]]:
    with tenant.activate():
        return [
            sorted(Pupil.objects.values_list("pk", "name")),
            sorted(Mark.objects.values_list("pk", "given_at", "pupil_id", "value")),
            sorted(Remark.objects.values_list("pk", "made_at", "mark_id")),
        ]


def unapply(alias: str) -> None:
    connection = connections[alias]
    with connection.schema_editor() as editor:
        for model in (Remark, Mark, Pupil):
            if router.allow_migrate_model(alias, model):
                editor.delete_model(model)
    MigrationRecorder(connection).record_unapplied("marks", "0001_initial")


def applied(alias: str) -> set[tuple[str, str]]:
    return set(MigrationRecorder(connections[alias]).applied_migrations())


def put_aside(slug: str, month: str) -> None:
    homes = homes_of("marks", slug)
    period = homes.calendar.parse(month)
    homes.store.rename(homes.site(period).name, homes.detached_name(period))


def left_of(slug: str) -> list[str]:
    """Schemas, databases, roles and files that have the tenant's slug in their names."""
    connections.close_all()
    found = Path(os.environ["TESTPROJECT_FILES"]).rglob("*")
    files = [str(path) for path in found if path.is_file()]
    with connections["shared"].cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles UNION SELECT nspname FROM pg_namespace")
        names = [name for (name,) in cursor.fetchall()]
    return [name for name in [*names, *files, *located()] if slug in name]
