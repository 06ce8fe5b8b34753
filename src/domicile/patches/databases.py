"""What Django takes for granted with one database, and rules and replicas undo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Model

from domicile.exceptions import CrossDatabaseError
from domicile.migrating import is_migrated_in
from domicile.placement import is_tenant_alias
from domicile.relations import crosses, place_of
from domicile.routing import database_of, primary_of, reading_primary, rules


def reading_what_is_there(original: Any) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> None:
        with reading_primary():
            original(self, *args, **kwargs)

    return method


def at_primaries(original: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:
        return map(_at_primary, original(self))

    return __iter__


def _at_primary(instance: Any) -> Any:
    state = instance._state
    primary = primary_of(state.db)
    if primary != state.db:
        state.read_from, state.db = state.db, primary
        for related in state.fields_cache.values():  # What `select_related()` brought.
            if isinstance(related, Model):
                _at_primary(related)
    return instance


def keeping_out(original: Any) -> Any:
    def method(self: Any, *args: Any) -> None:
        if is_migrated_in(self.connection.alias):
            original(self, *args)

    return method


def finding_content_types(original: Any) -> Any:
    def db_manager(self: Any, using: str | None = None, hints: Any = None) -> Any:
        if using is not None and rules() and not is_tenant_alias(using):
            place = place_of(self.model)
            if place is not None and database_of(using) != place:
                using = None
        return original(self, using, hints)

    return db_manager


def refusing_deletion(original: Any) -> Any:
    def related_objects(self: Any, related_model: Any, related_fields: Any, objs: Any) -> Any:
        for field in related_fields:
            if rules() and crosses(related_model, field.related_model):
                raise CrossDatabaseError(
                    f"A {field.related_model._meta.label} cannot be deleted: {field} refers to it"
                    f" from {place_of(related_model) or 'tenants'!r}, where Django does not look."
                    " Give it on_delete=DO_NOTHING, and delete or mend its rows first."
                )
        return original(self, related_model, related_fields, objs)

    return related_objects
