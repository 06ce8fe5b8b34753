"""How much of the project's states is rendered for migrations, and that it makes no difference."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

from domicile.fleet.replay.states import States, part_of

_KEY = ("id", models.BigAutoField(primary_key=True))


def model(name: str, *fields: tuple[str, Any], **options: Any) -> ModelState:
    bases = options.pop("bases", (models.Model,))
    return ModelState("campus", name, [*fields], options, bases)


def to(name: str, **options: Any) -> Any:
    return models.ForeignKey(name, models.CASCADE, **options)


def campus() -> ProjectState:
    """Rooms in houses, students with clubs, and what refers to them."""
    state = ProjectState()
    for each in (
        model("House", _KEY),
        model("Room", _KEY, ("house", to("campus.House")), ("number", models.IntegerField())),
        model("Club", _KEY, ("founder", to("campus.Student", related_name="+"))),
        model(
            "Student",
            _KEY,
            ("name", models.CharField(max_length=20)),
            ("mentor", to("self", null=True)),
            ("clubs", models.ManyToManyField("campus.Club", through="campus.Membership")),
        ),
        model("Membership", _KEY, ("club", to("campus.Club")), ("student", to("Student"))),
        model("Alumnus", bases=("campus.Student",)),
        model("Bed", _KEY, ("room", to("campus.Room"))),
        model("Key", _KEY, ("bed", to("campus.Bed"))),
    ):
        state.add_model(each)
    return state


def names(state: ProjectState) -> set[str]:
    return {name for _, name in state.models}


def migration(*steps: Operation) -> Migration:
    made = Migration("0002", "campus")
    made.operations = list(steps)
    return made


AHEAD = {
    "create": operations.CreateModel(
        "Locker", [_KEY, ("room", to("campus.Room")), ("student", to("campus.Student"))]
    ),
    "inherit": operations.CreateModel("Fellow", [], bases=("campus.Alumnus",)),
    "options": operations.AlterModelOptions("Room", {"verbose_name": "hall"}),
    "managers": operations.AlterModelManagers("Room", []),
    "field": operations.AddField("Room", "door", models.CharField(max_length=9, default="")),
    "key": operations.AddField("House", "warden", to("campus.Student", null=True)),
    "many": operations.AddField("House", "clubs", models.ManyToManyField("campus.Club")),
    "remove": operations.RemoveField("Bed", "room"),
    "index": operations.AddIndex("Room", models.Index(fields=["house"], name="by_house")),
    "constraint": operations.AddConstraint(
        "Room", models.UniqueConstraint(fields=["house", "number"], name="once")
    ),
}


def statements(state: ProjectState, made: Migration) -> list[str]:
    """What Django would send."""
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        made.apply(state, editor, collect_sql=True)
    return [text for text in editor.collected_sql if not text.startswith("--")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("operation", AHEAD.values(), ids=list(AHEAD))
def test_a_part_is_enough(operation: Operation) -> None:
    made = migration(operation)
    states = States(campus(), [made], forwards=True)
    whole = campus()
    _ = whole.apps
    assert "apps" in vars(states.start)
    if "Key" not in names(states.start):
        assert len(states.start.models) < len(whole.models)
    assert statements(states.start.clone(), made) == statements(whole.clone(), made)
    # Nothing of it was rendered, nor changed.
    assert "apps" not in vars(states.before)
    assert states.before == campus()


def test_what_a_model_refers_to_comes_with_it_and_what_refers_to_it_does_not() -> None:
    assert names(part_of(campus(), [migration(AHEAD["field"])])) == {"room", "house"}
    students = {"student", "club", "membership"}
    assert names(part_of(campus(), [migration(AHEAD["key"])])) == {"house", *students}
    assert names(part_of(campus(), [migration(AHEAD["inherit"])])) == {"alumnus", *students}
    assert names(part_of(campus(), [migration(AHEAD["remove"])])) == {"bed", "room", "house"}


def test_what_an_earlier_operation_refers_to_is_there_too() -> None:
    added = operations.AddField("House", "warden", to("campus.Student", null=True))
    removed = operations.RemoveField("House", "warden")
    assert "student" in names(part_of(campus(), [migration(added, removed)]))


@pytest.mark.parametrize(
    "operation",
    [
        operations.AlterField("Room", "number", models.BigIntegerField()),
        operations.RenameModel("Room", "Hall"),
        operations.RunPython(operations.RunPython.noop),
        type("Own", (operations.AddIndex,), {})("Room", models.Index(fields=["id"], name="i")),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_others_see_all(operation: Operation) -> None:
    states = States(campus(), [migration(AHEAD["field"], operation)], forwards=True)
    assert names(states.start) == names(campus())
    end = ProjectState()
    assert states.after(end) is end


def test_of_several_new_models_django_tells_the_order() -> None:
    other = operations.CreateModel("Shelf", [_KEY])
    states = States(campus(), [migration(AHEAD["create"]), migration(other)], forwards=True)
    assert names(states.start) == names(campus())


def test_backwards_all_is_seen() -> None:
    states = States(campus(), [migration(AHEAD["field"])], forwards=False)
    assert names(states.start) == names(campus())


def test_the_state_after_has_all_models() -> None:
    made = migration(AHEAD["create"], AHEAD["field"])
    states = States(campus(), [made], forwards=True)
    after = states.after(made.mutate_state(states.start))
    assert after == made.mutate_state(campus())
    assert "apps" not in vars(after)
