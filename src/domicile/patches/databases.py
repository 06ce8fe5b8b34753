"""What Django takes for granted with one database, and rules and replicas undo."""

from __future__ import annotations

from typing import Any

from domicile.exceptions import CrossDatabaseError
from domicile.migrating import is_migrated_in
from domicile.periods.places import is_period_alias
from domicile.placement import is_tenant_alias
from domicile.relations import crosses, place_of
from domicile.routing import (
    Source,
    database_of,
    lodging_of,
    reading_primary,
    rules,
    source_of,
    sources,
)


def reading_what_is_there(original: Any) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> None:
        with reading_primary():
            original(self, *args, **kwargs)

    return method


class SourcedState:
    """What `ModelState` is given once a rule has replicas: its `db` names none of them, and
    `read_from` says which it was. Each row of a result is told where it is from, by one look-up and
    in one attribute.
    """

    #: None: it has Django's own `db`, since it was unpickled, or made before there was a replica.
    _domicile_source: Source | None = None

    @property
    def db(self) -> str | None:
        source = self._domicile_source
        return self.__dict__.get("db") if source is None else source.primary

    @db.setter
    def db(self, alias: str | None) -> None:
        try:
            self._domicile_source = sources[alias]
        except KeyError:
            self.__dict__["db"] = None
            self._domicile_source = None if alias is None else source_of(alias)

    @property
    def read_from(self) -> str:
        source = self._domicile_source
        replica = self.__dict__.get("read_from") if source is None else source.replica
        if replica is None:
            raise AttributeError("It was read from no replica.")
        return replica


def pickling_as_django_does(original: Any) -> Any:
    def __getstate__(self: Any) -> dict[str, Any]:
        values = dict(original(self))
        source = values.pop("_domicile_source", None)
        if source is not None:
            values["db"] = source.primary
            if source.replica is not None:
                values["read_from"] = source.replica
        return values

    return __getstate__


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
        homes = {obj._state.db for obj in objs} if rules() else set()
        # By time, what is deleted is in one home, and what Django was given may be its tenant.
        here = homes.pop() if len(homes) == 1 else self.using
        for field in related_fields:
            if rules() and (
                crosses(related_model, field.related_model)
                or _is_elsewhere_by_time(related_model, here)
            ):
                raise CrossDatabaseError(
                    f"A {field.related_model._meta.label} cannot be deleted: {field} refers to it"
                    f" from {_described_place(related_model)}, where Django does not look."
                    " Give it on_delete=DO_NOTHING, and delete or mend its rows first."
                )
        found = original(self, related_model, related_fields, objs)
        return found.using(here) if is_period_alias(here) else found

    return related_objects


def _is_elsewhere_by_time(model: Any, alias: str) -> bool:
    """Tell whether the rows of a model are in homes by time, and `alias` is none of them."""
    lodging = lodging_of(model)
    return lodging is not None and lodging.is_by_time and not lodging.is_at(alias)


def _described_place(model: Any) -> str:
    lodging = lodging_of(model)
    if lodging is not None and lodging.is_by_time:
        return "homes by time"
    return repr(place_of(model) or "tenants")
