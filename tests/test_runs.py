"""Runs over the fleet: what is recorded, what is tried again, who may go on with what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.utils import load_backend
from django.test.utils import CaptureQueriesContext

from domicile.exceptions import UnknownRun
from domicile.fleet.runs import control as runs
from domicile.fleet.runs.control import EVERYTHING
from domicile.fleet.runs.events import HomeEnded, RunEnded, RunStarted
from domicile.fleet.runs.options import RunOptions
from domicile.models import Status
from domicile.placement import Placement
from domicile.records import MigrationRun, MigrationRunHome
from tests import servers
from tests.growing import (
    GROWN,
    SHELF,
    WRITING,
    applied,
    ask,
    file_tenants,
    migrations,
    path_of,
    spoil,
    states,
    written,
)
from tests.processes import Command, Process, eventually
from tests.tenants import DATABASES, tenant
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True)

State = MigrationRunHome.State


@pytest.fixture
def tenants(request: pytest.FixtureRequest) -> Iterator[list[University]]:
    """Tenants with a file each, at the first migration of `students`."""
    with file_tenants(getattr(request, "param", 20)) as tenants:
        yield tenants


@pytest.fixture
def grown(tmp_path: Path) -> Iterator[None]:
    """`students` has two more migrations."""
    with migrations(tmp_path, GROWN):
        yield


def migrate(**options: Any) -> tuple[RunStarted, list[HomeEnded], RunEnded]:
    started, *ended, last = runs.migrate_fleet(**options)
    assert isinstance(started, RunStarted)
    assert isinstance(last, RunEnded)
    return started, ended, last  # type: ignore[return-value]


def command(*words: str) -> str:
    output = StringIO()
    call_command(*words, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize("options", [{"jobs": 1}, {"jobs": 3}, {"jobs": 2, "processes": True}])
def test_each_home_is_migrated_and_recorded(
    tenants: list[University], grown: None, options: dict[str, Any]
) -> None:
    started, homes, ended = migrate(**options)
    assert (started.homes, started.unchanged) == (20, 0)
    assert sorted(home.alias for home in homes) == [tenant.alias for tenant in tenants]
    assert (ended.state, ended.done, ended.failed) == ("done", 20, 0)
    assert {written(tenant.slug) for tenant in tenants} == {1}
    run = MigrationRun.objects.get()
    assert run.ended_at
    assert "@" in run.started_by
    assert [group["homes"] for group in run.plan] == [20]
    assert run.plan[0]["migrations"][-1] == "students.0003_written"
    for row in run.homes.all():
        assert row.state == State.DONE
        assert row.how in ("captured", "replayed", "django")
        assert row.seconds > 0
        assert row.started_at <= row.ended_at


def test_a_home_with_nothing_pending_has_no_row(tenants: list[University], grown: None) -> None:
    migrate(only=["uni-00*"])
    started, homes, ended = migrate()
    assert (started.homes, started.unchanged, len(homes)) == (11, 9, 11)
    started, homes, ended = migrate()
    assert (started.homes, started.unchanged, homes) == (0, 20, [])
    assert ended.state == "done"
    assert not MigrationRunHome.objects.filter(run=ended.run).exists()


def test_a_failing_home_stops_nobody_else_and_is_retried(
    tenants: list[University], grown: None
) -> None:
    spoil("uni-007")
    _, _, ended = migrate(jobs=2)
    assert (ended.state, ended.done, ended.failed, ended.waiting) == ("failed", 19, 1, 0)
    (failed,) = MigrationRunHome.objects.filter(state=State.FAILED)
    assert failed.alias == "tenant:uni-007"
    assert "ValueError: a student is called bad" in failed.error
    assert failed.ended_at
    assert applied("uni-006")[-1] == "0003_written"

    *_, again = runs.retry_run()
    assert isinstance(again, RunEnded)
    assert (again.state, again.failed) == ("failed", 1)

    ask("uni-007", "DELETE FROM students_student")
    *_, again = runs.retry_run()
    assert isinstance(again, RunEnded)
    assert (again.run, again.state, again.done, again.failed) == (ended.run, "done", 20, 0)
    assert {written(tenant.slug) for tenant in tenants} == {1}
    with pytest.raises(UnknownRun):
        list(runs.retry_run())


def test_the_first_failure_ends_a_run_that_is_not_to_go_on(
    tenants: list[University], grown: None
) -> None:
    spoil("uni-003")
    _, _, ended = migrate(jobs=1, keep_going=False)
    assert (ended.state, ended.done, ended.failed, ended.waiting) == ("stopped", 2, 1, 17)
    ask("uni-003", "DELETE FROM students_student")
    *_, again = runs.retry_run()
    assert isinstance(again, RunEnded)
    assert (again.state, again.done) == ("done", 20)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_canary_that_fails_keeps_the_rest_as_it_is(
    tenants: list[University], grown: None, jobs: int
) -> None:
    spoil("uni-002")
    _, _, ended = migrate(jobs=jobs, canary=3)
    assert (ended.state, ended.done, ended.failed, ended.waiting) == ("stopped", 2, 1, 17)
    assert applied("uni-004") == ["0001_initial"]
    assert "stopped" in command("tenants", "migrations", "history")
    # Nothing goes on before the canary is well.
    *_, again = runs.resume_run()
    assert isinstance(again, RunEnded)
    assert (again.state, again.waiting) == ("stopped", 17)
    ask("uni-002", "DELETE FROM students_student")
    *_, again = runs.retry_run()
    assert isinstance(again, RunEnded)
    assert (again.state, again.done) == ("done", 20)


def test_canaries_come_first(tenants: list[University], grown: None) -> None:
    _, homes, ended = migrate(jobs=4, batch=1, canary=2)
    assert ended.done == 20
    assert {home.alias for home in homes[:2]} == {"tenant:uni-001", "tenant:uni-002"}


def test_backwards(tenants: list[University], grown: None) -> None:
    migrate()
    _, _, ended = migrate(target=runs.Target("students", "0001"), jobs=2)
    assert (ended.state, ended.done) == ("done", 20)
    assert {tuple(applied(tenant.slug)) for tenant in tenants} == {("0001_initial",)}
    assert "shelf" not in str(ask("uni-005", "PRAGMA table_info(students_student)"))


def test_a_plan_changes_nothing(tenants: list[University], grown: None) -> None:
    before = {tenant.slug: path_of(tenant.slug).read_bytes() for tenant in tenants}
    printed = command("tenants", "migrate", "--plan")
    assert "20 of the homes, such as tenant:uni-001:" in printed
    assert "  students.0002_shelf\n  students.0003_written\n" in printed
    assert {tenant.slug: path_of(tenant.slug).read_bytes() for tenant in tenants} == before
    assert not MigrationRun.objects.exists()
    planned = json.loads(command("tenants", "migrate", "--plan", "--json"))
    assert (planned["unchanged"], planned["pending"][0]["homes"]) == (0, 20)


def test_faked_migrations_are_recorded_only(tenants: list[University], grown: None) -> None:
    migrate(fake=True)
    assert applied("uni-004") == ["0001_initial", "0002_shelf", "0003_written"]
    assert "shelf" not in str(ask("uni-004", "PRAGMA table_info(students_student)"))


def test_homes_are_chosen_by_slug_by_pattern_and_by_field(
    tenants: list[University], grown: None
) -> None:
    University.objects.filter(slug="uni-015").update(founded=1948)
    _, homes, _ = migrate(only=["uni-01*", "uni-020"], exclude=["*3", "uni-017"])
    assert {int(home.alias[-2:]) for home in homes} == {10, 11, 12, 14, 15, 16, 18, 19, 20}
    printed = command("tenants", "migrate", "students", "0002", "--where=founded=1948")
    assert "1 home to migrate" in printed
    assert written("uni-015") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only=nobody"], "no tenant 'nobody'"),
        (["--where=colour=red"], "cannot be asked of a tenant"),
        (["--where=status"], "FIELD=VALUE"),
        (["--processes", "--hand-out=celery"], "not both"),
        (["--jobs=-1"], "no number"),
        (["--lock-timeout=soon"], "no number of seconds"),
        (["nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        command("tenants", "migrate", *words)
    assert not MigrationRun.objects.exists()


# Many processes ------------------------------------------------------------------------------


def hows() -> dict[str, int]:
    """How homes were done, over all runs; `nothing` is who came second."""
    counted: dict[str, int] = {}
    for how in MigrationRunHome.objects.values_list("how", flat=True):
        counted[how] = counted.get(how, 0) + 1
    return counted


@pytest.mark.parametrize("tenants", [200], indirect=True)
def test_two_at_once_migrate_each_home_once(tenants: list[University], grown: None) -> None:
    words = ("tenants", "migrate", "--jobs=2")
    with Command(*words) as one, Command(*words) as other:
        assert (one.end(), other.end()) == (0, 0), one.printed + other.printed
    assert {written(tenant.slug) for tenant in tenants} == {1}
    assert {tuple(applied(tenant.slug)) for tenant in tenants} == {
        ("0001_initial", "0002_shelf", "0003_written")
    }
    assert sorted(MigrationRun.objects.values_list("state", flat=True)) == ["done", "done"]
    counted = hows()
    assert counted["replayed"] + counted["captured"] + counted.get("django", 0) == 200
    assert counted.get("nothing", 0) > 20, "they did not meet"


@pytest.mark.parametrize("tenants", [60], indirect=True)
@pytest.mark.parametrize("options", [["--jobs=2"], ["--jobs=2", "--processes"]])
def test_what_a_killed_runner_left_is_finished(
    tenants: list[University], grown: None, options: list[str]
) -> None:
    done = MigrationRunHome.objects.filter(state=State.DONE)
    with Command("tenants", "migrate", "--batch=3", *options) as runner:
        eventually(lambda: done.count() >= 6)
        runner.kill()
    if "--processes" not in options:
        # Its workers died with it; else they go on, and may end the run before anybody resumes it.
        assert "cut off" in command("tenants", "migrations", "status")
        assert MigrationRun.objects.get().state == "running"
    with suppress(UnknownRun):
        assert list(runs.resume_run())
    run = MigrationRun.objects.get()
    assert (run.state, states(run.pk)) == ("done", {"done": 60})
    assert {written(tenant.slug) for tenant in tenants} == {1}


def test_a_busy_tenant_holds_up_nobody_and_is_tried_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for number in range(1, 5):
            stack.enter_context(tenant(f"busy-{number}"))
        stack.enter_context(migrations(tmp_path, GROWN))
        holder = stack.enter_context(
            psycopg.connect(servers.static()["default"].url("test_domicile"))
        )
        holder.execute('LOCK TABLE "busy-2".students_student IN ACCESS SHARE MODE')
        events = runs.migrate_fleet(jobs=1, lock_timeout=0.1, retries=9)
        seen = []
        for event in events:
            if isinstance(event, HomeEnded):
                seen.append((event.alias, event.state))
            if len(seen) == 4:
                assert sorted(seen) == [
                    ("tenant:busy-1", "done"),
                    ("tenant:busy-2", "waiting"),
                    ("tenant:busy-3", "done"),
                    ("tenant:busy-4", "done"),
                ]
                waiting = MigrationRunHome.objects.get(alias="tenant:busy-2")
                assert "HomeBusy" in waiting.error
                holder.rollback()
        assert seen[-1] == ("tenant:busy-2", "done")
        assert MigrationRun.objects.get().state == "done"
        row = MigrationRunHome.objects.get(alias="tenant:busy-2")
        assert (row.error, row.attempts) == ("", len(seen) - 3)


def test_a_tenant_that_stays_busy_fails_in_the_end(tmp_path: Path) -> None:
    with tenant("busy-1"), migrations(tmp_path, GROWN):
        with psycopg.connect(servers.static()["default"].url("test_domicile")) as holder:
            holder.execute('LOCK TABLE "busy-1".students_student IN ACCESS SHARE MODE')
            _, homes, ended = migrate(jobs=1, lock_timeout=0.1, retries=1)
        assert [home.state for home in homes] == ["waiting", "failed"]
        assert ended.failed == 1
        *_, again = runs.retry_run()
        assert isinstance(again, RunEnded)
        assert again.succeeded


def test_a_tenant_that_somebody_works_on_is_waited_for(
    tenants: list[University], grown: None
) -> None:
    key = "domicile:tenant:uni-002"
    with Process(HOLDER) as holder:
        holder.ask(key=key)
        assert holder.hear()["free"]
        ended = set()
        for event in runs.migrate_fleet(jobs=1, only=["uni-00*"]):
            if isinstance(event, HomeEnded):
                ended.add(event.alias)
                assert event.state == State.DONE
            if len(ended) == 8:
                assert "tenant:uni-002" not in ended
                holder.ask(end=True)
        assert len(ended) == 9


HOLDER = """
from django.db import connections
from django.test.utils import CaptureQueriesContext
with connections["shared"].named_lock(json.loads(input())["key"]) as free:
    tell(free=free)
    input()
"""


def test_a_tenant_that_is_dropped_meanwhile_is_gone(tenants: list[University], grown: None) -> None:
    events = runs.migrate_fleet(jobs=1, batch=1)
    next(events)
    University.objects.filter(slug="uni-020").update(status=Status.DROPPING)
    *_, ended = events
    assert isinstance(ended, RunEnded)
    assert ended.succeeded
    assert MigrationRunHome.objects.get(alias="tenant:uni-020").how == "gone"


def test_whoever_stops_reading_stops_the_run(tenants: list[University], grown: None) -> None:
    events = runs.migrate_fleet(jobs=2, batch=1)
    next(events), next(events)
    events.close()  # type: ignore[attr-defined]
    run = MigrationRun.objects.get()
    assert run.state == "stopped"
    left = states(run.pk)
    assert left["waiting"] > 10
    assert set(left) == {"done", "waiting"}
    *_, ended = runs.resume_run()
    assert isinstance(ended, RunEnded)
    assert (ended.state, ended.done) == ("done", 20)
    assert {written(tenant.slug) for tenant in tenants} == {1}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_whose_session_is_cut_starts_again(tmp_path: Path, jobs: int) -> None:
    cutting = """
import os
from django.db import migrations, connections
def cut(apps, schema_editor):
    if schema_editor.connection.alias == "tenant:cut-2" and not os.path.exists(FLAG):
        open(FLAG, "w").close()
        with connections["shared"].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
class Migration(migrations.Migration):
    dependencies = [("students", "0002_shelf")]
    operations = [migrations.RunPython(cut, cut)]
""".replace("FLAG", repr(str(tmp_path / "flag")))
    with ExitStack() as stack:
        for number in range(1, 4):
            stack.enter_context(tenant(f"cut-{number}"))
        stack.enter_context(migrations(tmp_path, {"0002_shelf": SHELF, "0003_cut": cutting}))
        _, _, ended = migrate(jobs=jobs)
    assert (tmp_path / "flag").exists()
    assert (ended.state, ended.done) == ("done", 3)
    assert MigrationRunHome.objects.get(alias="tenant:cut-2").attempts == 2


def test_what_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    """As a migration does that takes all memory."""
    killing = WRITING.replace(
        "def write(apps, schema_editor):",
        "def write(apps, schema_editor):\n"
        "    if schema_editor.connection.alias == 'tenant:uni-003':\n"
        "        import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    )
    with file_tenants(6), migrations(tmp_path, {"0002_shelf": SHELF, "0003_written": killing}):
        _, _, ended = migrate(jobs=1, processes=True, batch=6, retries=1)
    assert (ended.state, ended.done, ended.failed) == ("failed", 5, 1)
    failed = MigrationRunHome.objects.get(state=State.FAILED)
    assert failed.alias == "tenant:uni-003"
    assert "2 workers" in failed.error


def test_a_run_that_was_cut_off_while_it_was_listed_is_listed_again(
    tenants: list[University], grown: None
) -> None:
    run = MigrationRun.objects.create(options=RunOptions().as_record(), target=asdict(EVERYTHING))
    MigrationRunHome.objects.create(run=run, alias="tenant:uni-001")
    *_, ended = runs.resume_run()
    assert isinstance(ended, RunEnded)
    assert (ended.run, ended.state, ended.done) == (run.pk, "done", 20)


MANY = """
DO $$
BEGIN
    FOR number IN 1..1000 LOOP
        EXECUTE format('CREATE SCHEMA "many-%s"', number);
        EXECUTE format('CREATE TABLE "many-%s".django_migrations (LIKE "many-0".django_migrations'
            ' INCLUDING ALL)', number);
        EXECUTE format('INSERT INTO "many-%s".django_migrations'
            ' SELECT * FROM "many-0".django_migrations', number);
    END LOOP;
END $$
"""


@pytest.fixture
def many() -> Iterator[None]:
    """A thousand tenants with a schema each, in which there is only what was applied."""
    with tenant("many-0"), connections["default"].cursor() as cursor:
        cursor.execute(MANY)
        rows = []
        for number in range(1, 1001):
            rows.append(University(slug=f"many-{number}", status=Status.ACTIVE))
            rows[-1].placement = Placement("schema", f"many-{number}")
        University.objects.bulk_create(rows)
        yield
        University.objects.filter(slug__startswith="many-").exclude(slug="many-0").update(
            status=Status.DROPPING
        )
        University.objects.filter(status=Status.DROPPING).delete()
        for start in range(1, 1001, 50):
            schemas = ", ".join(f'"many-{number}"' for number in range(start, start + 50))
            cursor.execute(f"DROP SCHEMA {schemas} CASCADE")


def test_nothing_to_do_is_told_in_few_statements(many: None) -> None:
    with CaptureQueriesContext(connections["default"]) as queries:
        started, _, ended = migrate()
    assert (started.homes, started.unchanged, ended.state) == (0, 1001, "done")
    assert len(queries) < 50, [query["sql"][:100] for query in queries]
    with Command("tenants", "migrate") as quick:
        assert quick.end() == 0
        assert "Nothing to do in 1001 homes." in quick.printed


PEAK = """
import resource
from domicile.fleet.runs.control import migrate_fleet
*_, ended = migrate_fleet(jobs=2)
tell(done=ended.done, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(count: int, folder: Path) -> float:
    """The memory, in MB, that a process needs to migrate so many homes."""
    with file_tenants(count), migrations(folder, GROWN), Process(PEAK) as process:
        told = process.hear()
    assert told["done"] == count
    return told["peak"] / 1024


def test_memory_does_not_grow_with_the_fleet(tmp_path: Path) -> None:
    few, many = (peak(count, tmp_path) for count in (10, 200))
    assert many - few < 15


def test_what_is_printed_in_a_log(tenants: list[University], grown: None) -> None:
    spoil("uni-005")
    output = StringIO()
    with pytest.raises(CommandError, match=r"1 failed\. Mend the cause; `tenants migrations retry"):
        call_command("tenants", "migrate", "-v2", "--jobs=1", stdout=output)
    lines = output.getvalue().splitlines()
    assert lines[0].endswith("20 homes to migrate, 0 with nothing to do.")
    assert lines[1].startswith("uni-001: captured: students.0002_shelf, students.0003_written in ")
    assert lines[5] == "uni-005: ValueError: a student is called bad"
    assert lines[-1].startswith("Migrated 19 of 20 homes in ")
    assert lines[-1].endswith("; 1 failed.")


def test_status_and_history_tell_of_runs(tenants: list[University], grown: None) -> None:
    spoil("uni-005")
    run = migrate(jobs=1)[2].run
    status = command("tenants", "migrations", "status")
    assert f"{run}: failed" in status
    assert "19 done, 1 failed, 0 running, 0 waiting, 0 unchanged" in status
    assert "20: students.0002_shelf, students.0003_written" in status
    assert "tenant:uni-005: ValueError: a student is called bad" in status
    told = json.loads(command("tenants", "migrations", "status", str(run), "--json"))
    assert told["errors"] == {"tenant:uni-005": "ValueError: a student is called bad"}
    (line,) = command("tenants", "migrations", "history").splitlines()[1:]
    assert line.split("\t")[3:7] == ["failed", "19", "1", "0"]
    assert json.loads(command("tenants", "migrations", "history", "--json"))[0]["done"] == 19
    with pytest.raises(CommandError, match="There is no run 987654"):
        command("tenants", "migrations", "status", "987654")


def test_json_is_a_line_for_each_event(tenants: list[University], grown: None) -> None:
    lines = command("tenants", "migrate", "--only=uni-001", "--json").splitlines()
    started, home, ended = map(json.loads, lines)
    assert (started["event"], started["homes"]) == ("started", 1)
    assert (home["event"], home["alias"], home["state"]) == ("home", "tenant:uni-001", "done")
    assert home["migrations"] == ["students.0002_shelf", "students.0003_written"]
    assert (ended["event"], ended["state"], ended["done"]) == ("ended", "done", 1)


def test_the_tables_of_the_record_have_to_be_there(transactional_db: None) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE domicile_migrationrun RENAME TO elsewhere")
        try:
            with pytest.raises(CommandError, match="no table 'domicile_migrationrun' yet"):
                command("tenants", "migrate")
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO domicile_migrationrun")


@pytest.mark.django_db(transaction=True, databases=DATABASES)
@pytest.mark.parametrize("alias", ["default", "mariadb", "file"])
def test_locks_are_taken_together(alias: str, tmp_path: Path) -> None:
    """Those of a batch, on each engine that may be the default database's."""
    if alias == "file":
        settings = {
            **connections["default"].settings_dict,
            "NAME": tmp_path / "default",
            "OPTIONS": {},
        }
        one: Any = load_backend("domicile.backends.sqlite3").DatabaseWrapper(settings)
    else:
        servers.require(alias)
        one = connections[alias]
    other = one.copy()
    try:
        with other.named_lock("b"), one.named_locks(["a", "b", "c"]) as held:
            assert held == {"a", "c"}
            with other.named_lock("c") as free:
                assert not free
        with other.named_locks(["a", "b", "c"]) as held:
            assert held == {"a", "b", "c"}
    finally:
        other.close()


def test_a_run_cut_off_when_all_was_done_is_ended_by_resume() -> None:
    run = MigrationRun.objects.create(
        started_by="somebody",
        state=MigrationRun.State.RUNNING,
        target={"app_label": "", "migration": ""},
        options=RunOptions(jobs=1, batch=1).as_record(),
    )
    MigrationRunHome.objects.create(
        run=run, alias="tenant:accra", state=MigrationRunHome.State.DONE
    )
    *_, ended = runs.resume_run(run.pk)
    run.refresh_from_db()
    assert (ended.state, run.state, run.ended_at is None) == ("done", "done", False)
