"""The states of the project before and after a course, rendered no further than is asked for.

Django renders every model of the project before the first migration, and again, for an operation,
all that are related to its own in whatever way. But many an operation asks for its model and for
what that refers to, and never for what refers to it. Where all of a course are so, these models
alone are rendered; names and options of the others are known without.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.utils import resolve_relation
from django.db.models import Model

from domicile.fleet.replay.internals import Key

#: Those of Django that do not ask what refers to their model. (Who alters a field does, since keys
#: of other tables may have to follow.)
_LOOKING_AHEAD = frozenset(
    {
        *(ops.CreateModel, ops.AlterModelOptions, ops.AlterModelManagers),
        *(ops.AddField, ops.RemoveField),
        *(ops.AddIndex, ops.RemoveIndex, ops.AddConstraint, ops.RemoveConstraint),
    }
)


class States:
    """The states around the migrations of a course. None of them is to be changed."""

    def __init__(
        self, before: ProjectState, migrations: Sequence[Migration], *, forwards: bool
    ) -> None:
        #: Not rendered, unless by `rendered`.
        self.before = before
        self._migrations = migrations
        self._is_part = forwards and _look_ahead(migrations)
        self._part: ProjectState | None = None
        self._lock = threading.RLock()

    @property
    def rendered(self) -> ProjectState:
        """The state before, with all its models."""
        with self._lock:
            _ = self.before.apps
            return self.before

    @property
    def start(self) -> ProjectState:
        """The state before, rendered as far as the operations look."""
        if not self._is_part:
            return self.rendered
        with self._lock:
            if self._part is None:
                self._part = part_of(self.before, self._migrations)
                _ = self._part.apps
            return self._part

    def after(self, end: ProjectState) -> ProjectState:
        """Return the state after, where `end` is what operations have made of a copy of `start`."""
        return mutated(self.before, self._migrations) if self._is_part else end


def _look_ahead(migrations: Iterable[Migration]) -> bool:
    """Tell whether a part of the models is enough.

    Of several new models of an app, the one that Django happens to render first gets its content
    type and permissions first: so all are rendered, as Django does.
    """
    made = Counter[str]()
    for migration in migrations:
        for operation in migration.operations:
            if type(operation) not in _LOOKING_AHEAD:
                return False
            made[migration.app_label] += isinstance(operation, ops.CreateModel)
    return all(count <= 1 for count in made.values())


def mutated(state: ProjectState, migrations: Iterable[Migration]) -> ProjectState:
    """Return what migrations make of a state; nothing is rendered."""
    copy = _bare(state)
    for migration in migrations:
        migration.mutate_state(copy, preserve=False)
    return copy


def part_of(state: ProjectState, migrations: Iterable[Migration]) -> ProjectState:
    """Return the models that operations of migrations are about, and all that these refer to."""
    copy, wanted = _bare(state), set[Key]()
    for migration in migrations:
        for operation in migration.operations:
            operation.state_forwards(migration.app_label, copy)
            key = _model_of(operation, migration.app_label)
            wanted |= {key, *_referred_to(copy.models[key])}
    for models in (copy.models, state.models):
        _complete(wanted, models)
    kept = {key: model.clone() for key, model in state.models.items() if key in wanted}
    return ProjectState(kept, state.real_apps)


def _bare(state: ProjectState) -> ProjectState:
    """Return a copy that is not rendered."""
    models = {key: model.clone() for key, model in state.models.items()}
    return ProjectState(models, state.real_apps)


def _model_of(operation: Operation, app_label: str) -> Key:
    name: str = getattr(operation, "model_name", None) or operation.name  # type: ignore[attr-defined]
    return app_label, name.lower()


def _complete(wanted: set[Key], models: dict[Key, ModelState]) -> None:
    """Add what those refer to, and so on."""
    waiting = list(wanted)
    while waiting:
        model = models.get(waiting.pop())
        new = set(() if model is None else _referred_to(model)) - wanted
        wanted |= new
        waiting += new


def _referred_to(model: ModelState) -> Iterator[Key]:
    scope = (model.app_label, model.name_lower)
    for base in model.bases:
        if (isinstance(base, str) or issubclass(base, Model)) and base is not Model:
            yield resolve_relation(base, *scope)
    for field in model.fields.values():
        relation = getattr(field, "remote_field", None)
        for target in (relation and relation.model, getattr(relation, "through", None)):
            if target:
                yield resolve_relation(target, *scope)
