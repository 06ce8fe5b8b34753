"""`DatabaseManager`: a manager that reads and writes one named database."""

from __future__ import annotations

from typing import Any, Self

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models
from django.db.models.manager import BaseManager

from domicile.connections import HomeConnectionHandler
from domicile.findings import warning
from domicile.placement import SHARED_ALIASES


def databases_of_managers() -> set[str]:
    """Return the aliases that managers of the project's models name."""
    managers = (manager for model in apps.get_models() for manager in model._meta.managers)
    named = (manager.database for manager in managers if isinstance(manager, DatabaseManager))
    return {alias for alias in named if alias is not None}


class DatabaseManager(models.Manager[Any]):
    """A manager whose querysets are at one database, as if each said `.using(alias)`.

        objects = domicile.DatabaseManager("analytics")

    `.using()` and `db_manager()` still go elsewhere. A related manager (`person.posts`) writes
    where the rules say that its model lives: where rows live is a matter of rules, this is for
    looking at them somewhere else.
    """

    database: str | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        database = args[0] if args else kwargs.get("database")
        kind = cls
        # Related managers inherit from the class of this one, and are made with an instance, so
        # the class has to know.
        if isinstance(database, str):
            known = {"database": database, "__module__": cls.__module__, "__doc__": cls.__doc__}
            kind = type(cls.__name__, (cls,), known)
        return super().__new__(kind, *args, **kwargs)

    def __init__(self, database: str | None = None) -> None:
        super().__init__()

    def get_queryset(self) -> models.QuerySet[Any]:
        queryset = super().get_queryset()
        return queryset if self._db or self.database is None else queryset.using(self.database)

    @property
    def db(self) -> str:
        return self._db or self.database or BaseManager.db.fget(self)  # type: ignore[attr-defined]

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        from django.conf import settings

        alias = self.database
        known = (*settings.DATABASES, *SHARED_ALIASES)
        families = tuple(HomeConnectionHandler.families)
        if alias is None or alias in known or alias.startswith(("tenant:", *families)):
            return super().check(**kwargs)
        return [
            *super().check(**kwargs),
            warning(
                63,
                f"{self} reads {alias!r}, which is not in DATABASES.",
                "Name an alias of DATABASES, or see that the database is added by"
                " domicile.add_database() before the manager is used.",
                of=self,
            ),
        ]
