"""Homes that are made before there is a tenant for them, and homes that belong to nobody."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

import domicile
from domicile.exceptions import TenantUnavailable
from domicile.fleet.orphans import drop_orphan, find_orphans
from domicile.fleet.site import Site
from domicile.fleet.stock import ready
from domicile.fleet.stock.ready import fill_ready, ready_stock
from domicile.fleet.stock.template import Template
from domicile.placement import Placement
from domicile.records import ReadyHome
from tests.creating import Creator
from tests.processes import eventually
from tests.tenants import DATABASES, domicile_settings, tenant
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


@contextmanager
def wanting(**wanted: int) -> Iterator[None]:
    """Settings with so many homes ready; those that are left over are dropped in the end."""
    with override_settings(DOMICILE=domicile_settings(READY=wanted)):
        yield
    fill_ready()


def homes(placement: str) -> list[str]:
    """The ready homes that are there."""
    found = ReadyHome.objects.filter(placement_template=placement).order_by("pk")
    sites = [Site.of(Placement(placement, home.placement_name)) for home in found]
    return [site.name for site in sites if site.exists()]


def kinds_of_new(slug: str, placement: str) -> list[str]:
    steps: list[str] = []
    domicile.create_tenant(slug, placement=placement, progress=lambda s: steps.append(s.kind))
    return steps


def test_a_new_tenant_claims_a_ready_home(placement: str) -> None:
    with wanting(**{placement: 2}):
        assert fill_ready() == [(placement, 2, 2)]
        assert len(homes(placement)) == 2
        assert kinds_of_new("accra", placement) == ["row", "home", "claim", "complete"]
        assert ready_stock() == [(placement, 1, 2)]
        with domicile.activate("accra") as accra:
            Student.objects.create(registration="1", name="Ama", home="accra")
        site = Site.of(accra.placement)
        label = Template(placement).label()
        assert label
        assert site.store.fingerprints([site.name]) == {site.name: label.fingerprint}
        assert "claim" in kinds_of_new("kumasi", placement)
        with domicile.activate("kumasi"):
            assert not Student.objects.exists()
        assert "clone" in kinds_of_new("tamale", placement)
        for slug in ("accra", "kumasi", "tamale"):
            domicile.drop_tenant(slug)
        assert not site.exists()
    assert not ReadyHome.objects.exists()


def test_homes_behind_the_project_or_gone_are_not_claimed(
    placement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wanting(**{placement: 1}):
        fill_ready()
        (name,) = homes(placement)
        with monkeypatch.context() as patch:
            patch.setattr(ready, "recipe", lambda key: "newer")
            assert "claim" not in kinds_of_new("accra", placement)
            fill_ready()
            assert homes(placement) != [name]
        fill_ready()
        (name,) = homes(placement)
        Site.of(Placement(placement, "x")).store.drop(name)
        assert "claim" not in kinds_of_new("kumasi", placement)
        assert not ReadyHome.objects.exists()
        for slug in ("accra", "kumasi"):
            domicile.drop_tenant(slug)


def test_without_clones_ready_homes_are_migrated() -> None:
    with (
        override_settings(
            DOMICILE=domicile_settings(
                READY=1,
                CLONE=False,
                PLACEMENTS={"schema": domicile_settings()["PLACEMENTS"]["schema"]},
            )
        ),
    ):
        fill_ready()
        assert "claim" in kinds_of_new("accra", "schema")
        domicile.drop_tenant("accra")
    fill_ready()


def test_many_claim_at_once() -> None:
    with wanting(schema=4):
        fill_ready()
        start, steps = threading.Barrier(6), {}

        def create(slug: str) -> None:
            start.wait()
            try:
                steps[slug] = kinds_of_new(slug, "schema")
            finally:
                connections.close_all()

        threads = [threading.Thread(target=create, args=[f"t{n}"]) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum("claim" in kinds for kinds in steps.values()) == 4
        assert len(steps) == 6
        for slug in steps:
            with domicile.activate(slug):
                assert not Student.objects.exists()
            domicile.drop_tenant(slug)


def test_a_home_that_is_being_claimed_is_let_be() -> None:
    with wanting(schema=1):
        fill_ready()
        home = ReadyHome.objects.get()
        held = threading.Event()
        done = threading.Event()

        def hold() -> None:
            with ready._sole_work_on(home) as free:
                assert free
                held.set()
                done.wait(20)
            connections.close_all()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(20)
        assert "claim" not in kinds_of_new("accra", "schema")
        with override_settings(DOMICILE=domicile_settings(READY=0)):
            fill_ready()
        assert ReadyHome.objects.get() == home
        done.set()
        thread.join()
        domicile.drop_tenant("accra")


def test_killed_while_claiming(django_db_setup: None, placement: str) -> None:
    with wanting(**{placement: 1}), Creator(TESTPROJECT_READY="1") as creator:
        for number, kind in enumerate(["row", "home", "claim"], 1):
            fill_ready()
            pid = creator.start("acme", placement, stop_at=number)
            assert creator.outcome()["stopped"] == kind
            creator.end(pid)
            eventually(lambda: _created("acme", placement))
            with domicile.activate("acme"):
                assert not Student.objects.exists()
            domicile.drop_tenant("acme")
            assert not University.objects.exists()
            assert find_orphans() == []


def _created(slug: str, placement: str) -> bool:
    try:
        domicile.create_tenant(slug, placement=placement)
    except domicile.exceptions.TenantBusy:
        return False
    return True


def test_what_a_dead_filler_left_is_cleared_away(placement: str) -> None:
    site = Site.of(Placement(placement, "_ready-half"))
    site.store.create(site.name)
    ReadyHome.objects.create(placement_template=placement, placement_name="_ready-half")
    with wanting(**{placement: 1}):
        assert fill_ready() == [(placement, 1, 1)]
        assert not site.exists()


def test_orphans_are_found_and_dropped(placement: str) -> None:
    site = Site.of(Placement(placement, "left-over"))
    with tenant("accra", placement=placement), wanting(**{placement: 1}):
        fill_ready()
        Template(placement).make()
        assert find_orphans() == []
        site.store.create(site.name)
        (orphan,) = find_orphans()
        assert (orphan.name, orphan.store.noun) == (site.name, site.store.noun)
        drop_orphan(orphan)
        assert not site.exists()
        assert find_orphans() == []
        with pytest.raises(TenantUnavailable, match="no orphan"):
            drop_orphan(Site.of(Placement(placement, "accra")))


def test_commands() -> None:
    def run(*words: str) -> str:
        call_command("tenants", *words, stdout=(out := io.StringIO()))
        return out.getvalue()

    assert "READY" in run("ready")
    with wanting(schema=1):
        assert json.loads(run("ready", "--json")) == [
            {"placement": "schema", "ready": 0, "wanted": 1}
        ]
        assert "schema\t1\t1" in run("ready", "--fill")
    assert "belongs to a tenant" in run("tidy")
    site = Site.of(Placement("schema", "left-over"))
    site.store.create(site.name)
    assert "left-over\tschema\tschema" in run("tidy")
    with pytest.raises(CommandError, match="nothing-there"):
        run("tidy", "--drop", "nothing-there")
    assert "Dropped schema left-over" in run("tidy", "--drop", "left-over")
    assert json.loads(run("tidy", "--json")) == []
