"""Marks of each tenant's pupils in a home for each month, on each kind of placement."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import connections

import domicile
from domicile.conf import conf
from domicile.fleet.site import handler
from domicile.periods.places import templates_of
from domicile.placement import TENANT_PREFIX
from domicile.rules import Periods
from tests.databases import SQLITE, databases, make_database

#: How tenants' homes, and those of their months, are kept: the server behind, where it may be
#: missing.
KINDS = {"schemas": "", "roles": "", "files": "", "apart": "", "mariadb": "mariadb"}
RELATION = "marks.Mark.pupil"
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
    for tenant in settings_model()._base_manager.all():
        domicile.drop_tenant(tenant)
    for template in [each for one in conf().placements.values() for each in templates_of(one)]:
        store = handler().host(template).store(template)
        for located in store.names():
            store.drop(located)
    wrappers = connections._wrappers()
    for alias in [*wrappers.views, *wrappers.own]:
        if alias.startswith((TENANT_PREFIX, "placement:")):
            connections.forget(alias)


def settings_model() -> Any:
    from tests.testproject.universities.models import University

    return University


def located() -> list[str]:
    """What homes by time there are, by the names that they have on their server."""
    templates = templates_of(conf().placement("marks"))
    return sorted(name for each in templates for name in handler().host(each).store(each).names())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
