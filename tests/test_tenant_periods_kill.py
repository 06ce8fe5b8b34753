"""`kill -9` at each statement of what is done to a tenant with homes by time: once more, and all
is as if nothing had happened.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connections

import domicile
from domicile.backends.postgresql.homes import SchemaStore
from domicile.exceptions import TenantBusy, UnknownTenant
from domicile.fleet.orphans import find_orphans
from domicile.records import MigrationRunHome
from domicile.registry import registry
from tests import servers
from tests.doomed import Doomed, doomed
from tests.marks import KINDS, applied, at, by_month, left_of, located, put_aside, unapply
from tests.processes import FIRST, eventually
from tests.testproject.marks.models import Mark
from tests.testproject.universities.models import University

__all__ = ["doomed"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def write(slug: str, *days: str) -> None:
    with domicile.activate(slug):
        for day in days:
            Mark.objects.create(given_at=at(day), value=1)


def retried(work: Any) -> None:
    """Do something as soon as the server has noticed that the holder of a lock is dead."""

    def done() -> bool:
        with suppress(TenantBusy):
            work()
            return True
        return False

    eventually(done)


@pytest.mark.parametrize(
    ("kind", "step"), [("roles", 2), ("files", 1), ("apart", 1), ("mariadb", 4)]
)
def test_a_drop_is_finished_wherever_it_was_killed(doomed: Doomed, kind: str, step: int) -> None:
    if KINDS[kind]:
        servers.require(KINDS[kind])
    with by_month(kind) as added:
        domicile.create_tenant("globex")
        write("globex", "2026-11-01")
        others, left, is_killed = located(), 1 + (FIRST - 3) * step, True
        while is_killed:
            left += 2 * step
            domicile.create_tenant("acme")
            write("acme", "2026-10-01", "2026-11-01")
            if kind != "mariadb":
                put_aside("acme", "2026-10")
            connections.close_all()
            is_killed = doomed.dies("tenants drop acme --confirm acme", kind, added, left)
            registry.clear()
            with suppress(UnknownTenant):
                retried(lambda: domicile.drop_tenant("acme"))
            assert left_of("acme") == []
            assert find_orphans() == []
            assert located() == others
            assert not University._base_manager.filter(slug="acme").exists()
        assert left > 20, "the kills did not meet the work"
        assert Mark.objects.using("tenant:globex").count() == 1


def test_a_home_that_was_being_made_leaves_no_role() -> None:
    with by_month("roles"):
        acme = domicile.create_tenant("acme")
        drop, late = SchemaStore.drop, ["t_acme_2026_10"]

        def dropped(self: SchemaStore, name: str) -> None:
            if late:
                self.create_beside(late.pop(), "t_acme")
            drop(self, name)

        with mock.patch.object(SchemaStore, "drop", dropped):
            domicile.drop_tenant(acme)
        assert left_of("acme") == []


@pytest.mark.parametrize(("kind", "step"), [("roles", 5), ("files", 5), ("mariadb", 13)])
def test_migrations_go_on_wherever_they_were_killed(doomed: Doomed, kind: str, step: int) -> None:
    """Where a change of the schema cannot be undone, also in the middle of a month's."""
    if KINDS[kind]:
        servers.require(KINDS[kind])
    with by_month(kind) as added:
        acme, globex = (domicile.create_tenant(slug) for slug in ("acme", "globex"))
        homes = [f"{each.alias}/marks:2026-{n}" for each in (acme, globex) for n in (10, 11)]
        for slug in ("acme", "globex"):
            write(slug, "2026-10-01", "2026-11-01")
        whole = {alias: connections[alias].catalog_fingerprint() for alias in homes}
        left, is_killed = 1 + (FIRST - 1) * step, True
        while is_killed:
            for alias in homes:
                unapply(alias)
            connections.close_all()
            is_killed = doomed.dies("tenants migrate --jobs 1", kind, added, left)
            call_command("tenants", "migrate", "--jobs=1", stdout=io.StringIO())
            assert {alias: connections[alias].catalog_fingerprint() for alias in homes} == whole
            assert all(("marks", "0001_initial") in applied(alias) for alias in homes)
            assert not MigrationRunHome.objects.filter(is_noted=True).exists()
            left += 2 * step
        assert left > 4 * step, "the kills did not meet the work"
