"""Homes that are alike: the first is migrated by Django, the others by what it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.state import StateApps
from django.db.models.signals import post_migrate, pre_migrate
from django.test import override_settings

import domicile
from domicile.backends.postgresql.cursors import SwitchingCursor
from domicile.context import Activation
from domicile.exceptions import HomeBusy, HomeMissing
from domicile.fleet.replay.migrator import HomeMigrator
from domicile.fleet.replay.plan import Target
from domicile.fleet.site import Site, handler
from domicile.placement import Home, Placement, tenant_alias
from tests import chain, servers
from tests.growing import migrations
from tests.isolation.engines import with_settings
from tests.replaying import (
    check_alike,
    facts,
    in_use,
    migrate,
    migrate_by_django,
    rows,
    rows_at,
    tenants,
)
from tests.tenants import DATABASES, domicile_settings
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


def test_all_kinds_of_migrations_forwards_and_backwards(placement: str, tmp_path: Path) -> None:
    with (
        tenants("accra", "kumasi", "tamale", "django", placement=placement) as homes,
        migrations(tmp_path, chain.sources()),
    ):
        *ours, model = homes
        for name in (*chain.NAMES, *chain.NAMES[-2::-1], "0001_initial"):
            how = migrate(HomeMigrator(Target("students", name)), *ours)
            assert how == ["captured", "replayed", "replayed"], name
            migrate_by_django(model, "students", name)
            for one in ours:
                check_alike(one, model)
            if name == "0012_default":
                check_rows_are_each_homes_own(ours)


def check_rows_are_each_homes_own(homes: list[University]) -> None:
    for one in homes:
        with one.activate(), connections[one.alias].cursor() as cursor:
            cursor.execute("SELECT shelf FROM students_student")
            assert cursor.fetchall() in (
                [(f"{one.slug}-no-{one.slug}",)],
                ((f"{one.slug}-no-{one.slug}",),),
            )
            cursor.execute("SELECT name FROM students_course ORDER BY name")
            assert [name for (name,) in cursor.fetchall()] == [f"course of {one.slug}", "sure"]


@contextmanager
def empty_homes(*slugs: str, placement: str) -> Iterator[list[Home]]:
    """Homes with nothing in them, of no tenant."""
    homes = [Home(tenant_alias(slug), Placement(placement, slug)) for slug in slugs]
    sites = [Site.of(home.placement) for home in homes]
    try:
        for site in sites:
            site.store.create(site.name)
        yield homes
    finally:
        for home, site in zip(homes, sites, strict=True):
            handler().forget(home.alias)
            site.drop()


def test_empty_homes_become_what_django_makes_of_them(placement: str) -> None:
    with empty_homes("accra", "kumasi", "django", placement=placement) as homes:
        *ours, model = homes
        migrator = HomeMigrator()
        assert [migrator.migrate(home).how for home in ours] == ["captured", "replayed"]
        assert [migrator.migrate(home).how for home in ours] == ["nothing", "nothing"]
        with Activation(model):
            call_command("migrate", database=model.alias, interactive=False, verbosity=0)
            expected = connections[model.alias].catalog_facts(), rows_at(model)
        for home in ours:
            with Activation(home):
                assert (connections[home.alias].catalog_facts(), rows_at(home)) == expected


ADD = chain.migration(
    "0001_initial", 'migrations.AddField("student", "shelf", models.IntegerField(default=7)),'
)
TWO = {
    "0002_add": ADD,
    "0003_rows": chain.migration(
        "0002_add",
        "migrations.RunPython(number, migrations.RunPython.noop),",
        """
def number(apps, schema_editor):
    for student in apps.get_model("students", "Student").objects.all():
        student.shelf = 100 / (len(student.name) - 3)
        student.save()
""",
    ),
}
DROP_INDEX = {
    "0002_index": chain.migration(
        "0001_initial",
        'migrations.AddIndex("student", models.Index(fields=["name"], name="by_name")),',
    ),
    "0003_no_index": chain.migration("0002_index", 'migrations.RemoveIndex("student", "by_name"),'),
}


@pytest.mark.parametrize("place", ["schema", "file"])
def test_a_data_migration_that_fails_in_one_home_is_undone_there_whole(
    place: str, tmp_path: Path
) -> None:
    with (
        tenants("accra", "kumasi", "tamale", placement=place) as (accra, kumasi, tamale),
        migrations(tmp_path, TWO),
    ):
        Student.objects.using(accra.alias).update(name="Efua")
        Student.objects.using(tamale.alias).update(name="Kofi")
        before = facts(kumasi), rows(kumasi)
        migrator = HomeMigrator()
        assert migrate(migrator, accra) == ["captured"]
        with pytest.raises(ZeroDivisionError):
            migrate(migrator, kumasi)
        assert (facts(kumasi), rows(kumasi)) == before
        assert migrate(migrator, tamale) == ["replayed"]
        Student.objects.using(kumasi.alias).update(name="Yaa!")
        assert migrate(migrator, kumasi) == ["replayed"]
        check_alike(kumasi, accra)


def test_a_failure_in_the_first_home_makes_the_next_one_the_first(tmp_path: Path) -> None:
    with tenants("accra", "kumasi", "tamale") as homes, migrations(tmp_path, TWO):
        for each in homes[1:]:
            Student.objects.using(each.alias).update(name="Efua")
        migrator = HomeMigrator()
        with pytest.raises(ZeroDivisionError):
            migrate(migrator, homes[0])
        assert migrate(migrator, *homes[1:]) == ["captured", "replayed"]


@pytest.mark.parametrize("place", ["schema", "file", "mariadb"])
def test_an_index_that_was_dropped_by_hand_breaks_nobody_else(place: str, tmp_path: Path) -> None:
    homes_of = tenants("accra", "kumasi", "tamale", "wa", placement=place)
    with homes_of as homes, migrations(tmp_path, DROP_INDEX):
        first = HomeMigrator(Target("students", "0002"))
        assert migrate(first, *homes) == ["captured", *["replayed"] * 3]
        drifted = homes[1]
        drop = "DROP INDEX by_name" + (" ON students_student" if place == "mariadb" else "")
        with drifted.activate(), connections[drifted.alias].cursor() as cursor:
            cursor.execute(drop)
        migrator = HomeMigrator()
        assert migrate(migrator, homes[0]) == ["captured"]
        if place != "schema":  # There Django says `IF EXISTS`.
            with pytest.raises(DatabaseError, match="by_name"):
                migrate(migrator, drifted)
            with drifted.activate(), connections[drifted.alias].cursor() as cursor:
                cursor.execute("CREATE INDEX by_name ON students_student (name)")
        assert migrate(migrator, drifted, *homes[2:]) == ["replayed"] * 3
        check_alike(drifted, homes[0])


EXTRA_INDEX = "CREATE INDEX by_hand ON students_student (name, id)"
OTHER_TYPE = "ALTER TABLE students_student ALTER COLUMN name TYPE text"
LOST_KEY = "ALTER TABLE students_student DROP CONSTRAINT students_student_registration_key"
ELSEWHERE = "CREATE INDEX by_hand ON students_club (name, id)"


def drift(each: University, statement: str) -> None:
    with each.activate(), connections[each.alias].cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    ("place", "statement"),
    [
        *(("schema", change) for change in (EXTRA_INDEX, OTHER_TYPE, LOST_KEY)),
        ("file", ELSEWHERE),  # A table that is rebuilt comes out alike.
        *(("mariadb", change) for change in (EXTRA_INDEX, ELSEWHERE)),
    ],
)
def test_a_home_that_comes_out_different_is_done_by_django(
    place: str, statement: str, tmp_path: Path
) -> None:
    with tenants("accra", "kumasi", "tamale", placement=place) as homes:
        for each in homes[1:]:
            drift(each, statement)
        with migrations(tmp_path, {"0002_add": ADD}):
            how = migrate(HomeMigrator(), *homes)
        # Where nothing can be undone, homes are told apart before.
        second = "captured" if place == "mariadb" else "django"
        assert how == ["captured", second, "replayed"]
        for each in homes[1:]:
            assert facts(each) != facts(homes[0])
            assert rows(each) == rows(homes[0])


def test_drift_in_what_a_migration_does_not_touch_is_no_matter_of_it(tmp_path: Path) -> None:
    with tenants("accra", "kumasi") as homes, migrations(tmp_path, {"0002_add": ADD}):
        drift(homes[1], ELSEWHERE)
        assert migrate(HomeMigrator(), *homes) == ["captured", "replayed"]
        assert facts(homes[1]).keys() - facts(homes[0]).keys() == {"index students_club.by_hand"}


def test_with_sql_of_the_project_all_of_a_home_is_compared(tmp_path: Path) -> None:
    by_hand = """migrations.RunSQL("ALTER TABLE students_student ADD COLUMN shelf integer"),"""
    added = chain.migration("0001_initial", by_hand)
    with tenants("accra", "kumasi") as homes, migrations(tmp_path, {"0002_add": added}):
        drift(homes[1], ELSEWHERE)
        assert migrate(HomeMigrator(), *homes) == ["captured", "django"]


@pytest.mark.parametrize("place", ["schema", "file"])
def test_faked(place: str, tmp_path: Path) -> None:
    with (
        tenants("accra", "kumasi", "django", placement=place) as (accra, kumasi, model),
        migrations(tmp_path, chain.sources()),
    ):
        before = facts(accra)
        assert migrate(HomeMigrator(fake=True), accra, kumasi) == ["faked", "faked"]
        migrate_by_django(model, "--fake")
        for each in (accra, kumasi):
            assert facts(each) == before
            check_alike(each, model)
        assert migrate(HomeMigrator(Target("students", "0001"), fake=True), accra) == ["faked"]
        migrate_by_django(model, "students", "0001", "--fake")
        check_alike(accra, model)


@pytest.mark.parametrize("place", ["schema", "file", "mariadb"])
def test_zero_and_back(place: str) -> None:
    with tenants("accra", "kumasi", "django", placement=place) as (accra, kumasi, model):
        for target in (("students", "zero"), ("students",), ("admin", "zero"), ("sites", "zero")):
            how = migrate(HomeMigrator(Target(*target)), accra, kumasi)
            assert how == ["captured", "replayed"]
            migrate_by_django(model, *target)
            check_alike(accra, model)
            check_alike(kumasi, model)
        assert migrate(HomeMigrator(Target("students")), accra) == ["nothing"]


SQUASHED = {
    "0002_add": ADD,
    "0003_more": chain.migration(
        "0002_add", 'migrations.AddField("student", "more", models.IntegerField(default=8)),'
    ),
}
SQUASH = chain.migration(
    "0001_initial",
    """migrations.AddField("student", "shelf", models.IntegerField(default=7)),
        migrations.AddField("student", "more", models.IntegerField(default=8)),""",
    extra='replaces = [("students", "0002_add"), ("students", "0003_more")]',
)


@pytest.mark.parametrize("applied", ["0001", "0002", "0003"])
def test_squashed_migrations(applied: str, tmp_path: Path) -> None:
    with tenants("accra", "kumasi", "django") as (accra, kumasi, model):
        with migrations(tmp_path, SQUASHED):
            for each in (accra, kumasi, model):
                migrate_by_django(each, "students", applied)
        with migrations(tmp_path, {**SQUASHED, "0002_squashed": SQUASH}):
            assert migrate(HomeMigrator(), accra, kumasi) == ["captured", "replayed"]
            migrate_by_django(model)
            check_alike(accra, model)
            check_alike(kumasi, model)
            assert migrate(HomeMigrator(), accra) == ["nothing"]


def test_inconsistent_history(tmp_path: Path) -> None:
    with tenants("accra") as (accra,), migrations(tmp_path, SQUASHED):
        applied = frozenset({("students", "0001_initial"), ("students", "0003_more")})
        with pytest.raises(InconsistentMigrationHistory, match=r"0003_more.*0002_add.*accra"):
            HomeMigrator().migrate(accra.home, applied)


def test_strange_receivers_are_called_in_each_home(tmp_path: Path) -> None:
    seen: list[tuple[str, str, int]] = []

    def before(sender: Any, using: str, apps: Any, plan: Any, **_: Any) -> None:
        if sender.label == "students":
            assert "shelf" not in vars(apps.get_model("students", "Student"))
            seen.append(("before", using, len(plan)))

    def after(sender: Any, using: str, apps: Any, plan: Any, **_: Any) -> None:
        if sender.label == "students":
            model = apps.get_model("students", "Student")
            assert {student.shelf for student in model.objects.all()} == {7}
            assert domicile.current_tenant().alias == using
            seen.append(("after", using, len(plan)))

    with tenants("accra", "kumasi") as homes, migrations(tmp_path, {"0002_add": ADD}):
        pre_migrate.connect(before)
        post_migrate.connect(after)
        try:
            assert migrate(HomeMigrator(), *homes) == ["captured", "replayed"]
            calls = [(when, each.alias, 1) for each in homes for when in ("before", "after")]
            assert seen == calls
            migrate(HomeMigrator(), *homes)
            assert seen == calls
        finally:
            pre_migrate.disconnect(before)
            post_migrate.disconnect(after)


def test_homes_after_the_first_take_one_message_and_render_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def count(execute: Any, sql: Any, *args: Any) -> Any:
        sent.append(str(sql))
        return execute(sql, *args)

    with (
        tenants("accra", "kumasi", "tamale") as homes,
        migrations(tmp_path, {**TWO, "0004": chain.migration("0003_rows", LATER)}),
    ):
        for each in homes:
            Student.objects.using(each.alias).update(name="Efua")
        first = HomeMigrator(Target("students", "0002"))
        known = {each: frozenset(applied_at(each)) for each in homes}
        first.migrate(homes[0].home, known[homes[0]])
        rest = HomeMigrator()
        monkeypatch.setattr(StateApps, "render_multiple", counted(StateApps.render_multiple, sent))
        with connections["default"].execute_wrapper(count):
            for each in homes[1:]:
                first.migrate(each.home, known[each])
                assert "ADD COLUMN" in sent[0]
                # The other looks at the catalog.
                assert len(sent) <= 2, sent
                sent.clear()
            migrate(rest, homes[0])
            assert "rendered" in sent
            sent.clear()
            assert migrate(rest, homes[1]) == ["replayed"]
            assert "rendered" not in sent


def test_what_is_replayed_and_compared_takes_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    execute = SwitchingCursor.execute

    def noted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(str(query))
        return execute(self, query, *args, **kwargs)

    with (
        tenants("accra", "kumasi", "tamale") as homes,
        migrations(tmp_path, {"0002_add": ADD}),
    ):
        known = {each: frozenset(applied_at(each)) for each in homes}
        drift(homes[2], EXTRA_INDEX)
        migrator = HomeMigrator()
        migrator.migrate(homes[0].home, known[homes[0]])
        monkeypatch.setattr(SwitchingCursor, "execute", noted)
        assert migrator.migrate(homes[1].home, known[homes[1]]).how == "replayed"
        assert len(sent) == 1
        assert "ADD COLUMN" in sent[0]
        monkeypatch.undo()
        assert facts(homes[1]) == facts(homes[0])
        assert rows(homes[1]) == rows(homes[0])
        # One that comes out different is as it was before, and then done by Django.
        assert migrator.migrate(homes[2].home, known[homes[2]]).how == "django"
        assert rows(homes[2]) == rows(homes[0])


def test_what_compares_may_be_discarded_meanwhile(tmp_path: Path) -> None:
    with tenants("accra", "kumasi") as homes, migrations(tmp_path, {"0002_add": ADD}):
        migrator = HomeMigrator()
        assert migrate(migrator, homes[0]) == ["captured"]
        with connections["default"].cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        assert migrate(migrator, homes[1]) == ["replayed"]
        assert facts(homes[1]) == facts(homes[0])


def test_a_home_that_is_gone_is_told_of(tmp_path: Path) -> None:
    with tenants("accra", "kumasi") as homes, migrations(tmp_path, {"0002_add": ADD}):
        known = frozenset(applied_at(homes[0]))
        migrator = HomeMigrator()
        migrator.migrate(homes[0].home, known)
        Site.of(homes[1].placement).drop()
        with pytest.raises(HomeMissing):
            migrator.migrate(homes[1].home, known)


LATER = 'migrations.AddField("club", "motto", models.CharField(max_length=9, default="")),'


def counted(method: Any, sent: list[str]) -> Any:
    def wrapper(*args: Any) -> Any:
        sent.append("rendered")
        return method(*args)

    return wrapper


def applied_at(one: University) -> set[tuple[str, str]]:
    with one.activate(), connections[one.alias].cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        return set(cursor.fetchall())


#: Django fills the column and has constraints checked at once, to the end of its transaction; the
#: next migration relies on their being checked at the end, and the last alters what it has written.
CHECKED_LATE = {
    "0002_fill": chain.migration(
        "0001_initial",
        """migrations.AlterField("student", "course", models.ForeignKey(
            "students.Course", models.CASCADE, null=True, default=5)),
        migrations.AddField("course", "motto", models.CharField(max_length=9, null=True)),
        migrations.AlterField("course", "motto", models.CharField(max_length=9, default="new")),""",
    ),
    "0003_rows": chain.migration(
        "0002_fill",
        "migrations.RunPython(add, migrations.RunPython.noop),",
        """
def add(apps, schema_editor):
    apps.get_model("students", "Student").objects.update(course_id=99)
    apps.get_model("students", "Course").objects.create(id=99, name="late")
""",
    ),
    "0004_alter": chain.migration(
        "0003_rows",
        'migrations.AddField("student", "shelf", models.IntegerField(default=7)),'
        'migrations.AddField("course", "shelf", models.IntegerField(default=7)),',
    ),
}


@pytest.mark.parametrize("place", ["schema", "schema15", "file"])
def test_rows_are_checked_at_the_end_of_each_migration(place: str, tmp_path: Path) -> None:
    with (
        tenants("accra", "kumasi", "django", placement=place) as (*homes, model),
        migrations(tmp_path, CHECKED_LATE),
    ):
        assert migrate(HomeMigrator(), *homes) == ["captured", "replayed"]
        migrate_by_django(model)
        for each in homes:
            check_alike(each, model)


@pytest.mark.parametrize("place", ["schema", "file"])
def test_sql_that_names_the_first_home_is_not_sent_to_others(place: str, tmp_path: Path) -> None:
    sql = "migrations.RunSQL(\"UPDATE students_student SET name = 'of accra' WHERE id > 0\"),"
    with (
        tenants("accra", "kumasi", placement=place) as homes,
        migrations(tmp_path, {"0002_sql": chain.migration("0001_initial", sql)}),
    ):
        migrator = HomeMigrator()
        assert migrate(migrator, *homes) == ["captured", "replayed"]
        (group,) = migrator._groups.values()
        assert group.script is not None
        (part,) = group.script.parts
        assert part.remembered is not None
        assert not part.statements


@pytest.mark.parametrize("place", ["schema", "file", "mariadb"])
def test_a_lock_that_is_not_free_in_time(place: str, tmp_path: Path) -> None:
    if place == "mariadb":
        servers.require("mariadb")
    with (
        tenants("accra", "kumasi", placement=place) as (accra, kumasi),
        migrations(tmp_path, {"0002_add": ADD}),
    ):
        migrator = HomeMigrator(lock_timeout=0.2)
        migrate(migrator, accra)
        with in_use(kumasi), pytest.raises(HomeBusy, match="kumasi"):
            migrate(migrator, kumasi)
        assert migrate(migrator, kumasi) == ["replayed"]


def test_many_threads(tmp_path: Path) -> None:
    slugs = [f"uni-{number}" for number in range(8)]
    with tenants(*slugs) as homes, migrations(tmp_path, chain.sources()):
        migrator = HomeMigrator()

        def work(one: University) -> str:
            try:
                return migrator.migrate(one.home).how
            finally:
                connections.close_all()

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(work, homes))
        assert sorted(done) == ["captured", *["replayed"] * 7]
        for each in homes[1:]:
            check_alike(each, homes[0])


def test_tables_of_apps_without_migrations(placement: str) -> None:
    with (
        override_settings(MIGRATION_MODULES={"students": None}),
        tenants("accra", "kumasi", placement=placement) as homes,
    ):
        assert facts(homes[0]) == facts(homes[1])
        assert migrate(HomeMigrator(), *homes) == ["nothing", "nothing"]
        with homes[0].activate(), connections[homes[0].alias].cursor() as cursor:
            cursor.execute("DROP TABLE students_student_clubs")
            cursor.execute("DROP TABLE students_student")
        assert migrate(HomeMigrator(), homes[0]) == ["nothing"]
        assert facts(homes[0]) == facts(homes[1])


def try_chain(folder: Path, placement: str) -> None:
    with (
        tenants("accra", "kumasi", "tamale", "django", placement=placement) as (*homes, model),
        migrations(folder, chain.sources()),
    ):
        assert migrate(HomeMigrator(), *homes) == ["captured", "replayed", "replayed"]
        migrate_by_django(model)
        for each in homes:
            check_alike(each, model)
        check_rows_are_each_homes_own(homes)


@pytest.mark.parametrize(
    ("alias", "place"), [("default", "schema"), ("postgres15", "schema15")], ids=["18", "15"]
)
@pytest.mark.parametrize("roles", [False, True], ids=["", "roles"])
@pytest.mark.parametrize("binding", [False, True], ids=["", "bound by the server"])
def test_sessions_of_every_kind(
    alias: str, place: str, roles: bool, binding: bool, tmp_path: Path
) -> None:
    servers.require(alias)
    with override_settings(DOMICILE=domicile_settings(ROLES=roles)):
        options = {"server_side_binding": binding}
        with_settings(alias, lambda: try_chain(tmp_path, place), OPTIONS=options)
