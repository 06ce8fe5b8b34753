"""What Django does after `migrate`, and between: content types, permissions, the default site.

Django's receivers of `post_migrate` ask each home, app by app, what is missing. Here the rows that
a plan brings are known from the states of the project before and after it; each home is sent
statements that add those that are not there. Receivers that are not Django's are called in each
home, as Django does.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import router
from django.db.migrations import Migration, RenameModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.signals import post_migrate, pre_migrate

from domicile.backends.replay import Statement
from domicile.fleet.replay.internals import (
    SORTS_CONTENT_TYPES,
    finish_rendering,
    inject_renames,
    is_content_type_rename,
    live_receivers,
    options_in,
    permissions_of,
)
from domicile.fleet.replay.states import States

_CONTENT_TYPES = "django.contrib.contenttypes.management.create_contenttypes"
_CONTENT_TYPE_RENAMES = (
    "django.contrib.contenttypes.management.inject_rename_contenttypes_operations"
)
_PERMISSIONS = "django.contrib.auth.management.create_permissions"
_PERMISSION_RENAMES = "django.contrib.auth.management.rename_permissions_after_model_rename"
_SITE = "django.contrib.sites.management.create_default_site"
#: Our own heeds the shared home alone.
_REGISTRY = "domicile.registry._after_flush"
_KNOWN = {_CONTENT_TYPES, _PERMISSIONS, _PERMISSION_RENAMES, _SITE, _REGISTRY}

# Counted, and not `NOT EXISTS`: to plan a join would take longer than to look for each of a few.
_ADD_CONTENT_TYPES = """\
INSERT INTO {content_types} (app_label, model)
SELECT wanted.label, wanted.model FROM ({rows}) AS wanted{names}
WHERE 0 = (
    SELECT count(*) FROM {content_types} AS known
    WHERE known.app_label = wanted.label AND known.model = wanted.model)
ORDER BY place"""
_ADD_PERMISSIONS = """\
INSERT INTO {permissions} (name, content_type_id, codename)
SELECT wanted.name, content_type.id, wanted.codename FROM ({rows}) AS wanted{names}
JOIN {content_types} AS content_type
ON content_type.app_label = wanted.label AND content_type.model = wanted.model
WHERE NOT EXISTS (
    SELECT 1 FROM {permissions} AS known
    WHERE known.content_type_id = content_type.id AND known.codename = wanted.codename)
ORDER BY place"""
# Where an engine takes no `VALUES`: selects, of which the first gives no row, and the columns the
# types and collations that the tables have.
_NO_CONTENT_TYPE = """\
SELECT 0 AS place, app_label AS label, model FROM {content_types} WHERE 1 = 0"""
_NO_PERMISSION = """\
SELECT 0 AS place, app_label AS label, model, codename, {permissions}.name
FROM {content_types}, {permissions} WHERE 1 = 0"""
# In a table of its own, because MySQL does not read the table that it writes.
_RENAME_CONTENT_TYPE = """\
UPDATE {content_types} SET model = %s WHERE app_label = %s AND model = %s AND NOT EXISTS (
    SELECT 1 FROM (SELECT 1 FROM {content_types} WHERE app_label = %s AND model = %s) AS taken)"""
_ADD_SITE = """\
INSERT INTO {sites} (id, domain, name) SELECT %s, %s, %s FROM (SELECT 1 AS one) AS it
WHERE NOT EXISTS (SELECT 1 FROM {sites})"""

Plan = list[tuple[Migration, bool]]
Receiver = tuple[AppConfig, Any]


class RenameContentType(Operation):
    """What Django inserts after `RenameModel`, as one statement: the content type follows, unless
    there is one of the new name.
    """

    reduces_to_sql = True

    def __init__(self, app_label: str, old: str, new: str) -> None:
        self.app_label, self.old, self.new = app_label, old, new

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Rows are no part of it."""

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        self._rename(schema_editor, self.old, self.new)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        self._rename(schema_editor, self.new, self.old)

    def _rename(self, schema_editor: Any, old: str, new: str) -> None:
        if _lives_at(schema_editor.connection.alias, "contenttypes.ContentType"):
            text = _filled(schema_editor.connection, _RENAME_CONTENT_TYPE)
            schema_editor.execute(text, (new, self.app_label, old, self.app_label, new))


def insert_renames(plan: Plan, states: States, alias: str) -> None:
    """Insert renames of content types into a plan where Django's receiver would."""
    is_any = any(_renames_model(each) for migration, _ in plan for each in migration.operations)
    if is_any and _CONTENT_TYPE_RENAMES in {_path(each) for _, each in _receivers(pre_migrate)}:
        inject_renames(plan, states.rendered.apps, alias)
    for migration, _ in plan:
        operations: Any = migration.operations
        operations[:] = map(_as_statement, operations)


def _renames_model(operation: Operation) -> bool:
    return isinstance(operation, RenameModel)


def _as_statement(operation: Any) -> Operation:
    """Return our operation in the place of Django's, which reads rows."""
    if is_content_type_rename(operation):
        return RenameContentType(operation.app_label, operation.old_model, operation.new_model)
    statement: Operation = operation
    return statement


@dataclass
class Aftermath:
    """What is left to do in a home when its migrations are done."""

    #: Django's, which rename permissions; before any are added.
    renames: list[Receiver] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    #: Of others.
    receivers: list[Receiver] = field(default_factory=list)
    #: What receivers are called with.
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def calls(self) -> bool:
        return bool(self.renames or self.receivers)

    def call(self, receivers: Iterable[Receiver], connection: Any) -> None:
        for config, receiver in receivers:
            receiver(
                signal=post_migrate,
                sender=config,
                app_config=config,
                verbosity=0,
                interactive=False,
                using=connection.alias,
                stdout=_quiet(),
                **self.arguments,
            )


class Afterwards:
    """Works out the aftermath of a plan, for homes that are alike."""

    def __init__(
        self, plan: Plan, before: ProjectState, after: ProjectState, connection: Any, *, whole: bool
    ) -> None:
        """`whole`: rows for all that is there, not only for what the plan has brought."""
        self.plan, self.after, self.connection = plan, after, connection
        self.before = ProjectState() if whole else before
        self._apps: Any = None

    @property
    def apps(self) -> Any:
        """The apps after the plan; rendered only where something is asked of them."""
        if self._apps is None:
            self._apps = finish_rendering(self.after.clone())
        return self._apps

    def aftermath(self) -> Aftermath:
        senders: dict[str, list[AppConfig]] = {path: [] for path in _KNOWN}
        work = Aftermath()
        for config, receiver in _receivers(post_migrate):
            path = _path(receiver)
            if path == _PERMISSION_RENAMES and self._renames_models_of(config.label):
                work.renames.append((config, receiver))
            elif path in _KNOWN:
                senders[path].append(config)
            else:
                work.receivers.append((config, receiver))
        # Django's receiver for permissions makes content types too.
        work.statements += self._content_types(senders[_CONTENT_TYPES] or senders[_PERMISSIONS])
        work.statements += self._permissions(senders[_PERMISSIONS])
        if senders[_SITE]:
            work.statements += self._site()
        if work.calls:
            work.arguments = {"apps": self.apps, "plan": self.plan}
        return work

    def _renames_models_of(self, label: str) -> bool:
        return any(
            _renames_model(operation)
            for migration, _ in self.plan
            if migration.app_label == label
            for operation in migration.operations
        )

    def _content_types(self, configs: list[AppConfig]) -> Iterator[Statement]:
        if not self._has("contenttypes.ContentType"):
            return
        known = _models(self.before) if _holds(self.before, "contenttypes.ContentType") else None
        if known is not None and _models(self.after) <= known:
            return
        wanted: list[tuple[str, str]] = []
        for label, models in self._models_of(configs):
            names = list(dict.fromkeys(options.model_name for options in models))
            order = sorted(names) if SORTS_CONTENT_TYPES else names
            wanted += [(label, name) for name in order if not known or (label, name) not in known]
        yield from _adding(
            self.connection, _ADD_CONTENT_TYPES, _NO_CONTENT_TYPE, "place, label, model", wanted
        )

    def _permissions(self, configs: list[AppConfig]) -> Iterator[Statement]:
        if not self._has("auth.Permission") or not self._has("contenttypes.ContentType"):
            return
        known = _codenames(self.before) if _holds(self.before, "auth.Permission") else None
        if known is not None and _codenames(self.after) <= known:
            return
        wanted: dict[tuple[str, str, str], str] = {}
        for label, models in self._models_of(configs):
            for options in models:
                for codename, title in permissions_of(options):
                    wanted.setdefault((label, options.model_name, codename), title)
        rows = [(*key, title) for key, title in wanted.items() if not known or key not in known]
        names = "place, label, model, codename, name"
        yield from _adding(self.connection, _ADD_PERMISSIONS, _NO_PERMISSION, names, rows)

    def _site(self) -> Iterator[Statement]:
        if not self._has("sites.Site") or _holds(self.before, "sites.Site"):
            return
        key = getattr(settings, "SITE_ID", 1)
        text = _filled(self.connection, _ADD_SITE)
        yield Statement(text, (key, "example.com", "example.com"))
        model = self.apps.get_model("sites", "Site")
        for reset in self.connection.ops.sequence_reset_sql(no_style(), [model]):
            yield Statement(reset)

    def _has(self, label: str) -> bool:
        return _holds(self.after, label) and _lives_at(self.connection.alias, label)

    def _models_of(self, configs: list[AppConfig]) -> Iterator[tuple[str, list[Any]]]:
        """Yield apps after the plan, and of each the `_meta` of its models; nothing is rendered."""
        for config in configs:
            if config.label in self.after.real_apps:
                yield config.label, [model._meta for model in config.get_models()]
                continue
            found = options_in(self.after, config.label)
            yield config.label, [o for o in found if not (o.swapped or o.auto_created)]


def calls_strangers() -> bool:
    """Tell whether there are receivers that are called in each home."""
    after = (_path(receiver) for _, receiver in _receivers(post_migrate))
    return bool(pre_migrate_receivers()) or not set(after) <= _KNOWN


def pre_migrate_receivers() -> list[Receiver]:
    """Return the receivers of `pre_migrate` that are to be called in each home."""
    return [
        (config, receiver)
        for config, receiver in _receivers(pre_migrate)
        if _path(receiver) != _CONTENT_TYPE_RENAMES
    ]


def call_pre_migrate(receivers: Iterable[Receiver], alias: str, plan: Plan, apps: Any) -> None:
    for config, receiver in receivers:
        receiver(
            signal=pre_migrate,
            sender=config,
            app_config=config,
            verbosity=0,
            interactive=False,
            using=alias,
            stdout=_quiet(),
            apps=apps,
            plan=plan,
        )


def forget_content_types() -> None:
    """Empty the caches that rows written by SQL have passed by."""
    if apps.is_installed("django.contrib.contenttypes"):
        apps.get_model("contenttypes", "ContentType").objects.clear_cache()


def _quiet() -> OutputWrapper:
    return OutputWrapper(io.StringIO())


def _receivers(signal: Any) -> Iterator[Receiver]:
    for config in apps.get_app_configs():
        if config.models_module is not None:
            for receiver in live_receivers(signal, config):
                yield config, receiver


def _path(receiver: Any) -> str:
    return f"{getattr(receiver, '__module__', '')}.{getattr(receiver, '__qualname__', '')}"


def _lives_at(alias: str, label: str) -> bool:
    return apps.is_installed(f"django.contrib.{label.split('.', maxsplit=1)[0]}") and bool(
        router.allow_migrate_model(alias, apps.get_model(label))
    )


def _holds(state: ProjectState, label: str) -> bool:
    app_label, name = label.lower().split(".")
    return (app_label, name) in state.models or app_label in state.real_apps


def _models(state: ProjectState) -> set[tuple[str, str]]:
    return set(state.models)


def _codenames(state: ProjectState) -> set[tuple[str, str, str]]:
    """Return app, model and codename of the permissions of a state, without rendering it."""
    found = set()
    for (label, name), model in state.models.items():
        actions = model.options.get("default_permissions", ("add", "change", "delete", "view"))
        found |= {(label, name, f"{action}_{name}") for action in actions}
        found |= {(label, name, codename) for codename, _ in model.options.get("permissions", ())}
    return found


def _adding(
    connection: Any, text: str, none: str, names: str, rows: Sequence[tuple[str, ...]]
) -> Iterator[Statement]:
    """Yield the statements that add those rows which are not there, in that order; `names` are
    those of their columns, behind their place, and `none` a query that gives none.
    """
    size, has_values = connection.replay_class.rows_at_a_time, connection.replay_class.has_values
    for start in range(0, len(rows), size):
        part = list(enumerate(rows[start : start + size]))
        marks = [", ".join(["%s"] * (1 + len(row))) for _, row in part]
        if has_values:
            wanted = "VALUES " + ",\n    ".join(f"({row})" for row in marks)
        else:
            wanted = "\n    UNION ALL SELECT ".join([_filled(connection, none), *marks])
        params = tuple(value for place, row in part for value in (place, *row))
        named = f" ({names})" if has_values else ""
        yield Statement(_filled(connection, text, rows=wanted, names=named), params)


def _filled(connection: Any, text: str, **parts: str) -> str:
    quote = connection.ops.quote_name
    return text.format(
        **parts,
        content_types=quote("django_content_type"),
        permissions=quote("auth_permission"),
        sites=quote("django_site"),
    )
