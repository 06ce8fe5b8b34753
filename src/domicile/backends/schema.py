"""Schema editors that leave out constraints to tables which are not in the same home."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import router

from domicile.placement import owner_of

#: Operations that write, or on SQLite write again, the definition of a table.
_DEFINING = (
    "create_model",
    "add_field",
    "remove_field",
    "alter_field",
    "alter_unique_together",
    "alter_db_table",
    "add_constraint",
    "remove_constraint",
)


def homed_schema_editor(editor_class: type) -> type:
    """Return the editor class for homes: a foreign key from a tenant's table to a shared one stays
    a column without a constraint where the tenant has a database of its own.
    """
    operations = {name: _unconstrained(getattr(editor_class, name)) for name in _DEFINING}
    return type(f"Homed{editor_class.__name__}", (editor_class,), operations)


def _unconstrained(operation: Any) -> Any:
    @functools.wraps(operation)
    def wrapper(editor: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        fields = [
            *model._meta.local_fields,
            *(arg for arg in args if hasattr(arg, "db_constraint")),
        ]
        with _without_constraints(editor.connection, fields):
            return operation(editor, model, *args, **kwargs)

    return wrapper


@contextmanager
def _without_constraints(connection: Any, fields: list[Any]) -> Iterator[None]:
    changed = [field for field in fields if _leaves_home(connection, field)]
    for field in changed:
        field.db_constraint = False
    try:
        yield
    finally:
        for field in changed:
            field.db_constraint = True


def _leaves_home(connection: Any, field: Any) -> bool:
    if not (field.is_relation and getattr(field, "db_constraint", False)):
        return False
    if is_of_owner(connection, field.related_model):
        return connection.home.beside is None
    if connection.reaches_shared:
        return False
    return not router.allow_migrate_model(connection.alias, field.related_model)


def is_of_owner(connection: Any, model: Any) -> bool:
    """Tell whether a model's table is in a tenant's own home, and this is another of its homes."""
    owner = owner_of(connection.alias)
    return owner != connection.alias and (
        router.allow_migrate_model(owner, model)
        and not router.allow_migrate_model(connection.alias, model)
    )
