"""`partitions`: homes made ahead, listed, retired and brought back."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from domicile.exceptions import HomeBusy, NotSupported, RowsDiffer
from domicile.periods import retention
from domicile.periods.checks import check_rule
from domicile.periods.homes import PeriodHomes
from domicile.rules import Periods
from tests import servers
from tests.partitions import partitions, states
from tests.periods import KINDS, monthly
from tests.testproject.sensors.models import Reading

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def fill(homes: PeriodHomes, *back: int) -> list[Reading]:
    """A reading in the middle of each month so many months back, written before they were over."""
    months = [homes.now().plus(-count) for count in back]
    for month in months:
        homes.make(month)
    moments = [homes.calendar.begins(month) + timedelta(days=14) for month in months]
    rows = [Reading(taken_at=moment, value=1, unit="°C") for moment in moments]
    for row, month in zip(rows, months, strict=True):
        Reading._base_manager.using(homes.alias(month)).bulk_create([row])
    return rows


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    if KINDS[request.param] != "sqlite":
        servers.require(KINDS[request.param])
    return request.param


def test_homes_are_made_ahead(kind: str) -> None:
    with monthly(kind, ahead=2) as homes:
        assert states("list") == ["missing"] * 3
        assert states("ensure") == ["made"] * 3
        assert states("ensure") == ["kept"] * 3
        assert states("ensure", "--ahead", "4", "--period", "2020-02") == [
            *["made", "kept", "kept", "kept"],
            *["made", "made"],
        ]
        assert states("list") == ["kept", "current", *["ahead"] * 4]
        assert str(homes.there()[0]) == "2020-02"


def test_homes_that_are_there_are_migrated(kind: str) -> None:
    with monthly(kind, ahead=0) as homes:
        homes.make(homes.now())
        connection = connections[homes.alias(homes.now())]
        with connection.cursor() as cursor, connection.schema_editor() as editor:
            for model in homes.models():
                editor.delete_model(model)
            cursor.execute("SELECT 1")
        MigrationRecorder(connection).record_unapplied("sensors", "0001_initial")
        (told,) = partitions("ensure")
        assert (told["state"], told["detail"]) == ("migrated", "sensors.0001_initial")
        Reading.objects.create(taken_at=datetime.now(UTC))


def test_old_homes_are_dropped(kind: str) -> None:
    with monthly(kind, keep=3) as homes:
        fill(homes, 0, 2, 3, 15)
        assert states("list") == ["over", "over", "kept", "current", *["missing"] * 600]
        told = partitions("prune", "--dry-run")
        assert [each["state"] for each in told] == ["dropped", "dropped"]
        assert len(homes.there()) == 4
        assert partitions("prune") == told
        assert partitions("prune") == []
        assert Reading.objects.count() == 2


def test_old_homes_are_put_aside_and_brought_back() -> None:
    for each in ("schemas", "databases", "files"):
        with monthly(each, keep=3, retire="detach") as homes:
            (row,) = fill(homes, 5)
            (told,) = partitions("prune")
            assert told["state"] == "detached"
            assert homes.store.exists(told["detail"])
            assert list(Reading.objects.all()) == []
            call_command("partitions", "attach", told["period"], stdout=io.StringIO())
            assert list(Reading.objects.all()) == [row]
            with pytest.raises(CommandError, match="already"):
                call_command("partitions", "attach", told["period"])


def test_mariadb_cannot_put_aside() -> None:
    servers.require("mariadb")
    with monthly("mariadb", keep=3, retire="detach") as homes:
        fill(homes, 5)
        with pytest.raises(NotSupported, match="rename"):
            list(retention.prune())
        assert Reading.objects.count() == 1


def test_old_homes_are_archived_and_brought_back(kind: str, tmp_path: Path) -> None:
    with monthly(kind, keep=3, retire="archive", archive=str(tmp_path)) as homes:
        (row,) = fill(homes, 5)
        (told,) = partitions("prune")
        assert told["detail"] == str(tmp_path / f"months-{told['period']}.jsonl.gz")
        assert homes.there() == []
        words = ["attach", told["period"], "--archive", told["detail"]]
        call_command("partitions", *words, stdout=io.StringIO())
        back = Reading.objects.get()
        assert (back.pk, back.taken_at, back.unit) == (row.pk, row.taken_at, "°C")


def test_an_archive_that_is_not_whole_drops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monthly(keep=3, retire="archive", archive=str(tmp_path)) as homes:
        fill(homes, 5)
        monkeypatch.setattr(retention, "_written", lambda *args: 0)
        with pytest.raises(RowsDiffer, match="nothing was dropped"):
            list(retention.prune())
        assert Reading.objects.count() == 1
        assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]


def test_a_prune_that_was_cut_off_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with monthly("files", keep=3) as homes:
        fill(homes, 4, 5)
        store = type(homes.store)
        drop = store.drop

        def cut_off(self: Any, name: str) -> None:
            drop(self, name)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(store, "drop", cut_off)
            with pytest.raises(KeyboardInterrupt):
                list(retention.prune())
        assert states("prune") == ["dropped"]
        assert homes.there() == []


def test_a_home_that_another_process_works_on_is_left() -> None:
    held, done = threading.Event(), threading.Event()

    def hold(homes: PeriodHomes) -> None:
        with homes.alone(homes.now().plus(-5)):
            held.set()
            done.wait(20)
        connections.close_all()

    with monthly("files", keep=3) as homes:
        fill(homes, 5)
        thread = threading.Thread(target=hold, args=[homes])
        thread.start()
        try:
            assert held.wait(20)
            with pytest.raises(HomeBusy, match="works on"):
                list(retention.prune())
            assert len(homes.there()) == 1
        finally:
            done.set()
            thread.join()
        assert states("prune") == ["dropped"]


def test_wrong_words_are_refused() -> None:
    with monthly():
        for words, message in (
            (["ensure", "--ahead", "-1"], "not negative"),
            (["ensure", "--period", "2026-13"], "is no month"),
            (["list", "--placement", "weeks"], "weeks"),
            (["attach", "2026-11"], "--archive"),
        ):
            with pytest.raises(CommandError, match=message):
                call_command("partitions", *words, stdout=io.StringIO())


def test_what_people_read_fits_a_narrow_terminal() -> None:
    with monthly(keep=3, ahead=1) as homes:
        fill(homes, 5)
        for words in (["list"], ["ensure"], ["prune", "--dry-run"], ["prune"], ["prune"]):
            output = io.StringIO()
            call_command("partitions", *words, stdout=output)
            lines = output.getvalue().expandtabs().splitlines()
            assert lines
            assert max(map(len, lines)) < 80


def faults(**changes: Any) -> list[str]:
    options = {"field": "taken_at", "placement": "months"}
    rule = Periods(**{"model": "sensors.Reading", **options, **changes})
    return [str(each.id).removeprefix("domicile.") for each in check_rule(rule)]


def test_wrong_rules_are_faults() -> None:
    with monthly(keep=3):
        assert faults(keep=3) == []
        assert faults(model="sensors.Nothing", keep=3) == ["E050"]
        assert faults(field="nothing", keep=3) == ["E050"]
        assert faults(field="value", keep=3) == ["E051"]
        assert faults(model="events.Event", field="happened_at", keep=3) == ["E052", "E053", "W054"]
        assert faults(placement="schema") == ["E055"]
        assert faults(placement="nothing") == ["E055"]
        assert faults(keep=4) == ["E056"]
        for wrong in (
            {"every": "week"},
            {"unbounded": "maybe"},
            {"ahead": -1},
            {"keep": 0},
            {"time_zone": "Mars"},
            {"retire": "archive"},
            {"max_periods": 0},
        ):
            assert "E057" in faults(**wrong), wrong


def test_all_homes_are_migrated_with_the_databases() -> None:
    with monthly() as homes:
        fill(homes, 0, 1, 2)
        behind = homes.alias(homes.now())
        with connections[behind].schema_editor() as editor:
            editor.delete_model(Reading)
        MigrationRecorder(connections[behind]).record_unapplied("sensors", "0001_initial")
        output = io.StringIO()
        call_command("databases", "plan", stdout=output)
        assert "period:months\t1\tsensors.0001_initial\n" in output.getvalue()
        assert "period:months\t2\tnothing\n" in output.getvalue()
        output = io.StringIO()
        call_command("databases", "migrate", stdout=output)
        assert "period:months\t3\tsensors.0001_initial\tdone" in output.getvalue()
        assert Reading.objects.count() == 2
