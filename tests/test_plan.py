"""Plans need no database: they are what `migrate` would do, for whatever a home has applied."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError

from domicile.fleet.replay.internals import Applied
from domicile.fleet.replay.plan import NEWEST, Plan, Target, forget_plans
from tests import chain
from tests.growing import migrations

INITIAL = frozenset({("students", "0001_initial")})


def pending(target: Target, applied: Applied) -> list[str]:
    return [str(planned) for planned in Plan.to(target).pending(applied)]


def everything() -> Applied:
    return frozenset(planned.key for planned in Plan.to(NEWEST).pending(frozenset()))


def test_everything_is_pending_in_an_empty_home_and_nothing_in_a_new_one() -> None:
    names = pending(NEWEST, frozenset())
    assert "students.0001_initial" in names
    # Shared apps too: their rows are written, and nothing else.
    assert "universities.0001_initial" in names
    assert names.index("contenttypes.0001_initial") < names.index("auth.0001_initial")
    assert pending(NEWEST, everything()) == []


def test_targets(tmp_path: Path) -> None:
    with migrations(tmp_path, chain.sources()):
        names = [f"students.{name}" for name in chain.NAMES]
        assert pending(Target("students"), INITIAL) == names
        assert pending(Target("students", "0003"), INITIAL) == names[:2]
        done = INITIAL | {("students", name) for name in chain.NAMES[:4]}
        assert pending(Target("students", "0002"), done) == names[3:0:-1]
        assert pending(Target("students", "zero"), done) == [*names[3::-1], "students.0001_initial"]
        assert all(
            planned.backwards for planned in Plan.to(Target("students", "zero")).pending(done)
        )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (("nothing",), "does not have migrations"),
        (("messages",), "does not have migrations"),
        (("students", "0009"), "Cannot find a migration matching '0009'"),
        (("auth", "00"), "More than one migration matches"),
    ],
)
def test_targets_that_are_none(target: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        Plan.to(Target(*target))


def test_a_migration_needs_its_app() -> None:
    with pytest.raises(CommandError, match="app"):
        Target("", "0001")


def test_two_newest_migrations(tmp_path: Path) -> None:
    add = 'migrations.AddField("student", "{}", models.IntegerField(default=1)),'
    sources = {
        "0002_one": chain.migration("0001_initial", add.format("one")),
        "0002_two": chain.migration("0001_initial", add.format("two")),
    }
    with (
        migrations(tmp_path, sources),
        pytest.raises(CommandError, match="0002_one, 0002_two in students"),
    ):
        Plan.to(NEWEST)


def test_a_plan_is_made_once_until_the_settings_change(tmp_path: Path) -> None:
    plan = Plan.to(NEWEST)
    assert Plan.to(Target()) is plan
    assert plan.course(INITIAL) is plan.course(frozenset(INITIAL))
    with migrations(tmp_path, {}):
        assert Plan.to(NEWEST) is not plan
    plan = Plan.to(NEWEST)
    forget_plans()
    assert Plan.to(NEWEST) is not plan


def test_operations_that_are_put_into_a_plan_stay_out_of_the_next(tmp_path: Path) -> None:
    with migrations(tmp_path, chain.sources()):
        plan = Plan.to(NEWEST)
        for applied in (frozenset(), INITIAL):
            course = plan.course(applied)
            course.prepare("default")
            (rename,) = (each for each in course.pending if "rename_model" in str(each))
            kinds = [type(operation).__name__ for operation in rename.migration.operations]
            assert kinds == ["RenameModel", "RenameContentType", "RenameField"]
