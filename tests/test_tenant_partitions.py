"""The homes of tenants' months: `partitions`, migrations, and the life of a tenant."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import domicile
from domicile.admin.picture import WIDE, draw
from domicile.backends.postgresql.homes import SchemaStore
from domicile.context import no_tenant
from domicile.exceptions import HomeExists, NotSupported, TenantUnavailable
from domicile.explain import explain_route
from domicile.fleet.orphans import find_orphans
from domicile.map import draw_map
from domicile.models import Status
from domicile.periods.homes import homes_of
from domicile.recording import Recorder
from domicile.records import Move
from domicile.registry import registry
from tests.databases import databases
from tests.marks import (
    applied,
    at,
    by_month,
    fill,
    kind,
    located,
    placements_of,
    two_tenants,
    unapply,
    write,
)
from tests.partitions import partitions, states
from tests.testproject.marks.models import Mark
from tests.testproject.universities.models import University

__all__ = ["kind"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


# Commands --------------------------------------------------------------------------------------


def test_homes_of_all_tenants_are_made_listed_and_dropped(kind: str) -> None:
    with two_tenants(kind, ahead=1, keep=3) as (acme, globex):
        assert states("list") == ["missing"] * 4
        told = partitions("ensure")
        assert [(each["tenant"], each["state"]) for each in told] == [
            *[("acme", "made")] * 2,
            *[("globex", "made")] * 2,
        ]
        assert sorted(each["home"] for each in told) == located()
        assert states("ensure") == ["kept"] * 4
        assert states("ensure", "--ahead", "2", "--tenant", "acme") == ["kept", "kept", "made"]
        fill(acme, 5)
        fill(globex, 5)
        assert states("list", "--tenant", "globex") == ["over", "current", "ahead"]
        told = partitions("prune", "--tenant", "acme")
        assert [(each["tenant"], each["state"]) for each in told] == [("acme", "dropped")]
        assert [each["tenant"] for each in partitions("prune", "--dry-run")] == ["globex"]
        output = io.StringIO()
        call_command("partitions", "list", stdout=output)
        assert "acme\tmarks\t" in output.getvalue()


def test_homes_are_archived_and_brought_back(kind: str, tmp_path: Path) -> None:
    with two_tenants(kind, keep=3, retire="archive", archive=str(tmp_path)) as (acme, globex):
        (row,), _ = fill(acme, 5), fill(globex, 5)
        told = partitions("prune")
        period = told[0]["period"]
        assert [Path(each["detail"]).name for each in told] == [
            f"marks-acme-{period}.jsonl.gz",
            f"marks-globex-{period}.jsonl.gz",
        ]
        with pytest.raises(CommandError, match="--tenant"):
            call_command("partitions", "attach", period, "--archive", told[0]["detail"])
        words = ["attach", period, "--archive", told[0]["detail"], "--tenant", "acme"]
        call_command("partitions", *words, stdout=io.StringIO())
        assert list(Mark.objects.using(acme.alias)) == [row]
        assert list(Mark.objects.using(globex.alias)) == []


@pytest.mark.parametrize("kind", ["schemas", "roles", "files"])
def test_homes_are_put_aside_brought_back_and_dropped_with_the_tenant(kind: str) -> None:
    with two_tenants(kind, keep=3, retire="detach") as (acme, globex):
        (row,), _ = fill(acme, 5), fill(globex, 5)
        told = partitions("prune")
        assert [name for name in located() if "_detached" in name] == sorted(
            each["detail"] for each in told
        )
        words = ["attach", told[0]["period"], "--tenant", "acme"]
        call_command("partitions", *words, stdout=io.StringIO())
        assert list(Mark.objects.using(acme.alias)) == [row]
        domicile.drop_tenant(globex)
        assert len(located()) == 1


def test_one_query_tells_the_homes_of_all_tenants() -> None:
    def asked(tenants: int) -> int:
        for number in range(University.objects.count(), tenants):
            made = domicile.create_tenant(f"uni-{number}")
            fill(made, 0)
        with CaptureQueriesContext(connections["default"]) as queries:
            assert states("list") == ["current"] * tenants
            assert states("ensure") == ["kept"] * tenants
        return len(queries)

    with by_month(ahead=0, CLONE=True):
        assert asked(2) == asked(5)


def test_one_tenants_trouble_stops_nobody_else() -> None:
    with two_tenants(ahead=0):
        SchemaStore.create(homes_of("marks", "acme").store, homes_of_now("acme"))
        with connections["default"].cursor() as cursor:
            cursor.execute(f"CREATE TABLE {homes_of_now('acme')}.marks_mark AS SELECT 1 AS id")
        output = io.StringIO()
        with pytest.raises(CommandError, match="Homes of acme"):
            call_command("partitions", "ensure", "--json", stdout=output)
        told = [json.loads(line) for line in output.getvalue().splitlines()]
        assert [each["state"] for each in told] == ["failed", "made"]
        assert "was not made by Domicile" in told[0]["detail"]


def homes_of_now(slug: str) -> str:
    homes = homes_of("marks", slug)
    return homes.site(homes.now()).name


def test_wrong_words_are_refused() -> None:
    with by_month():
        for words, message in (
            (["list", "--tenant", "nobody"], "nobody"),
            (["list", "--placement", "own"], "own"),
        ):
            with pytest.raises(CommandError, match=message):
                call_command("partitions", *words, stdout=io.StringIO())


# Migrations ------------------------------------------------------------------------------------


def test_the_fleet_brings_the_months_along(kind: str) -> None:
    with two_tenants(kind) as (acme, globex):
        homes = [f"tenant:{each.slug}/marks:2026-1{n}" for each in (acme, globex) for n in (0, 1)]
        for tenant in (acme, globex):
            write(tenant, "2026-10-01", "2026-11-01")
        for alias in (*homes, acme.alias, globex.alias):
            unapply(alias)
        output = io.StringIO()
        call_command("databases", "plan", stdout=output)
        assert "tenant:*/marks\t4\tmarks.0001_initial\n" in output.getvalue()
        call_command("tenants", "migrate", stdout=io.StringIO())
        for alias in homes:
            assert Mark.objects.using(alias).count() == 0
            assert ("marks", "0001_initial") in applied(alias)


def test_one_tenant_is_migrated_with_its_months() -> None:
    with two_tenants() as (acme, _):
        write(acme, "2026-10-01")
        unapply("tenant:acme/marks:2026-10")
        domicile.migrate_tenant(acme)
        assert Mark.objects.using(acme.alias).count() == 0


def test_a_month_that_cannot_be_migrated_fails_its_tenant_alone() -> None:
    with two_tenants() as (acme, globex):
        for tenant in (acme, globex):
            write(tenant, "2026-10-01")
            unapply(f"tenant:{tenant.slug}/marks:2026-10")
            unapply(tenant.alias)
        with connections["tenant:acme/marks:2026-10"].cursor() as cursor:
            cursor.execute("CREATE TABLE marks_mark (id int)")
        with pytest.raises(CommandError):
            call_command("tenants", "migrate", "--keep-going", stdout=io.StringIO())
        assert Mark.objects.using(globex.alias).count() == 0
        with connections["tenant:acme/marks:2026-10"].cursor() as cursor:
            cursor.execute("DROP TABLE marks_mark")
        call_command("tenants", "migrations", "retry", stdout=io.StringIO())
        assert Mark.objects.using(acme.alias).count() == 0


# The life of a tenant --------------------------------------------------------------------------


def test_a_drop_that_was_cut_off_is_done_again(kind: str) -> None:
    with two_tenants(kind) as (acme, globex):
        write(acme, "2026-10-01", "2026-11-01")
        write(globex, "2026-10-01")
        store = type(homes_of("marks", "acme").store)
        drop, dropped = store.drop, []

        def cut_off(self: Any, name: str) -> None:
            drop(self, name)
            dropped.append(name)
            raise KeyboardInterrupt

        for number in (1, 2, 3):
            with mock.patch.object(store, "drop", cut_off), pytest.raises(KeyboardInterrupt):
                domicile.drop_tenant("acme")
            assert len(dropped) == number
            assert University.objects.get(slug="acme").status == Status.DROPPING
            if kind == "apart" and number == 2:
                break  # The last is of another kind.
        with pytest.raises(TenantUnavailable):
            domicile.resume_tenant("acme")
        domicile.drop_tenant("acme")
        assert len(located()) == 1
        assert Mark.objects.using(globex.alias).count() == 1
        again = domicile.create_tenant("acme")
        assert Mark.objects.using(again.alias).count() == 0


def test_what_is_being_dropped_gets_no_homes() -> None:
    with two_tenants() as (acme, _):
        write(acme, "2026-10-01")
        University.objects.filter(pk=acme.pk).update(status=Status.DROPPING)
        with acme.activate(), pytest.raises(TenantUnavailable, match="being dropped"):
            Mark.objects.create(given_at=at("2026-11-01"))
        assert len(located()) == 1


def test_initial_data_may_be_by_time_and_goes_with_what_fails() -> None:
    with by_month(INITIAL_DATA="tests.test_tenant_partitions.initial_data"):
        acme = domicile.create_tenant("acme", name="fine")
        assert Mark.objects.using(acme.alias).count() == 1
        with pytest.raises(ZeroDivisionError):
            domicile.create_tenant("globex", name="fails")
        assert [name for name in located() if "globex" in name] == []


def initial_data(tenant: Any) -> None:
    Mark.objects.create(given_at=at("2026-11-01"))
    if tenant.name == "fails":
        raise ZeroDivisionError


def test_suspended_tenants_keep_their_homes() -> None:
    with two_tenants() as (acme, _):
        write(acme, "2026-10-01")
        domicile.suspend_tenant(acme)
        assert Mark.objects.using(acme.alias).count() == 1
        domicile.resume_tenant(acme)
        assert len(located()) == 1


def test_homes_that_settings_keep_in_a_database_are_not_parted_from_the_tenants_own() -> None:
    placements = placements_of("schemas") | {"file": placements_of("files")["own"]}
    with two_tenants(PLACEMENTS=placements, RELATIONS=["marks.Mark.pupil"]) as (acme, globex):
        write(acme, "2026-10-01")
        with pytest.raises(NotSupported, match=r"'t_acme_2026_10'.*take DATABASE out of"):
            domicile.move_tenant(acme, "file")
        assert Mark.objects.using(acme.alias).count() == 1
        assert str(domicile.move_tenant(globex, "file").tenant.placement) == "file:globex"
        write(globex, "2026-10-01")
        with pytest.raises(NotSupported, match=r"'t_globex_2026_10'.*would put them beside"):
            domicile.move_tenant(globex, "own")
        # It has the name that a home beside the former one would have.
        Move.objects.update(drop_source_after=timezone.now())
        assert domicile.drop_expired() == []
        assert not Move.objects.exclude(phase=Move.Phase.DONE).exists()
        assert Mark.objects.using(globex.alias).count() == 1


def test_homes_apart_stay_when_the_tenant_moves() -> None:
    placements = placements_of("apart") | {"other": {"DATABASE": "default", "SCHEMA": "o_{slug}"}}
    with two_tenants("apart", PLACEMENTS=placements) as (acme, _):
        write(acme, "2026-10-01")
        moved = domicile.move_tenant(acme, "other", grace=timedelta())
        assert str(moved.tenant.placement) == "other:acme"
        assert Mark.objects.using(acme.alias).count() == 1
        write(acme, "2026-11-01")
        assert len(located()) == 2


def test_months_are_no_orphans(kind: str) -> None:
    with two_tenants(kind) as (acme, _):
        write(acme, "2026-10-01")
        assert [site.name for site in find_orphans() if site.name in located()] == []


def test_new_homes_and_templates_have_no_twins() -> None:
    own = {"PLACEMENTS": placements_of("schemas"), "DEFAULT_PLACEMENT": "own"}
    with databases({}, **own, CLONE=True):  # The template is from before the rule.
        domicile.drop_tenant(domicile.create_tenant("acme"))
    with by_month(CLONE=True, READY=1):
        call_command("tenants", "ready", stdout=io.StringIO())
        acme, globex = domicile.create_tenant("acme"), domicile.create_tenant("globex")
        for alias in (acme.alias, globex.alias):
            with connections[alias].cursor() as cursor:
                assert "marks_mark" not in connections[alias].introspection.table_names(cursor)
        with no_tenant(), connections["default"].cursor() as cursor:
            cursor.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'marks_mark'")
            assert not [name for (name,) in cursor.fetchall() if name.startswith("t_")]


# Told ------------------------------------------------------------------------------------------


def test_routes_are_told_with_the_tenant() -> None:
    with two_tenants() as (acme, _):
        write(acme, "2026-10-01")
        with acme.activate():
            route = explain_route(Mark, at="2026-10")
            assert route.aliases == ("tenant:acme/marks:2026-10",)
            assert "in each tenant" in str(route)
            october = (at("2026-10-01"), at("2026-10-30"))
            found = explain_route(Mark.objects.filter(given_at__range=october))
            assert found.aliases == route.aliases
            assert explain_route(Mark).refused
        assert "activate" in str(explain_route(Mark, at="2026-10").refused)
        output = io.StringIO()
        words = ["route", "marks.Mark", "--at", "2026-11", "--tenant", "acme", "--write"]
        call_command("databases", *words, stdout=output)
        assert "tenant:acme/marks:2026-11" in output.getvalue()
        assert "no home yet" in output.getvalue()


def test_statements_are_told_with_the_rule() -> None:
    with two_tenants() as (acme, _):
        write(acme, "2026-10-01")
        recorder = Recorder()
        recorder.start()
        try:
            assert Mark.objects.using(acme.alias).count() == 1
        finally:
            recorder.stop()
        told = [str(each) for each in recorder.taken() if each.model]
        assert told == ["marks.Mark read tenant:acme/marks:2026-10 (Periods) x1"]


def test_the_map_has_each_tenant_by_month(kind: str) -> None:
    with by_month(kind):
        drawn = draw_map()
        (house,) = [each for each in drawn.houses if each.model == "marks.Mark"]
        assert (house.aliases, house.note) == (("tenant:*/marks",), "one per month")
        (database,) = [each for each in drawn.databases if each.alias == "tenant:*/marks"]
        assert database.placements[0].startswith("marks (")
        assert "tenant:*/marks" in [card.title for card in draw(drawn, WIDE).cards if card.is_many]
        assert [each.field for each in drawn.crossings if each.model == "marks.Mark"] == (
            [] if kind in ("schemas", "roles") else ["marks.Mark.pupil"]
        )


def test_homes_seen_again_after_a_drop_elsewhere() -> None:
    """What a process knows of a dropped tenant's homes is not another's."""
    with two_tenants() as (acme, _):
        write(acme, "2026-10-01")
        domicile.drop_tenant(acme)
        with pytest.raises(HomeExists):
            SchemaStore.create(homes_of("marks", "globex").store, "public")
        again = domicile.create_tenant("acme")
        registry.clear()
        write(again, "2026-10-02")
        assert Mark.objects.using(again.alias).count() == 1
