"""Databases that are added and removed while the project runs.

Each is a row in the shared home. Every process sees a change within `REGISTRY_MAX_AGE` seconds;
`connections[alias]` then answers as for an alias of `DATABASES`. A transaction that is open while
its alias is removed or changed ends where it began, and its session is closed after it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import QuerySet
from django.db.utils import load_backend

from domicile.backends.activity import activity_of, lone_wrapper
from domicile.backends.census import census
from domicile.connections import configured
from domicile.context import no_tenant
from domicile.exceptions import DatabaseInUse, InvalidName, NameTaken, UnknownDatabase
from domicile.placement import SHARED_ALIAS, SHARED_ALIASES
from domicile.records import AddedDatabase
from domicile.registry import registry

#: The key of settings that names the alias of `DATABASES` which they are like.
LIKE = "LIKE"
_SECONDS_TO_CONNECT = 5.0
_ALIAS = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9_])?")
#: What a row of a table has no say in.
_NOT_COPIED = ("TEST", "ATOMIC_REQUESTS")


@no_tenant()
def add_database(
    alias: str, settings: Mapping[str, Any], *, replace: bool = False, connect: bool = True
) -> None:
    """Have every process know a database by `alias`, now and after a restart.

    The database itself must be there. What `settings` says is stored as it is in the shared
    database, passwords too; with `LIKE` it is only what differs from an alias of `DATABASES`.

    :param settings: as an entry of `DATABASES`: `{"LIKE": "analytics", "NAME": "analytics_eu"}`.
    :param replace: change the settings of one that was added before.
    :param connect: try to connect first; Django's `OperationalError` where that fails.

    Raises `InvalidName`, `NameTaken`; `ImproperlyConfigured` where the settings cannot be used.
    """
    _validate(alias)
    given = _storable(alias, settings)
    completed = complete(alias, given)
    if connect:
        _try(alias, completed)
    try:
        with transaction.atomic(SHARED_ALIAS):
            if replace:
                _records().update_or_create(alias=alias, defaults={"settings": given})
            else:
                _records().create(alias=alias, settings=given)
            registry.announce()
    except IntegrityError as error:
        raise NameTaken(
            f"A database {alias!r} was added before. Remove it first, or say replace=True."
        ) from error


@no_tenant()
def remove_database(alias: str, *, force: bool = False) -> None:
    """Have every process forget a database that was added; the database itself stays.

    :param force: do not ask whether it is in use. Transactions that are open end as they would
        have; what begins after gets Django's `ConnectionDoesNotExist`.

    Raises `UnknownDatabase`; `DatabaseInUse` where this process, or anybody else as far as the
    server tells, is at work in it.
    """
    record = _records().filter(alias=alias).first()
    if record is None:
        raise UnknownDatabase(
            f"No database {alias!r} was added."
            + (" It is one of DATABASES." if alias in django_settings.DATABASES else "")
        )
    if not force:
        _refuse_use(record)
    with transaction.atomic(SHARED_ALIAS):
        record.delete()
        registry.announce()


def _records() -> QuerySet[AddedDatabase]:
    return AddedDatabase.objects.using(SHARED_ALIAS)


def added_databases() -> list[str]:
    """Return the aliases of the databases that were added, in order."""
    return sorted(registry.databases())


def find_added(alias: str) -> Mapping[str, Any] | None:
    """Return the settings of a database that was added; None where none was by that alias."""
    record = registry.databases().get(alias)
    return None if record is None else record.completed


def likeness(alias: str) -> str:
    """Return the alias of `DATABASES` that an added database is like, and so has the same tables;
    otherwise `alias` itself.
    """
    record = registry.databases().get(alias)
    like = None if record is None else record.settings.get(LIKE)
    return like or alias


def complete(alias: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of a database; `ImproperlyConfigured` where they cannot be used."""
    base = _base(alias, given)
    options = {**base.get("OPTIONS", {}), **given.get("OPTIONS", {})}
    settings = {**base, "CONN_HEALTH_CHECKS": True, **given, "OPTIONS": options}
    for name in (LIKE, *_NOT_COPIED):
        settings.pop(name, None)
    try:
        load_backend(settings["ENGINE"])
    except (KeyError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(
            f"The database {alias!r} has the engine {settings.get('ENGINE')!r}. Name one that is"
            f" installed, or an alias of DATABASES by {LIKE!r}."
        ) from error
    return configured(settings)


def _base(alias: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    like = given.get(LIKE)
    if like is None:
        return {}
    try:
        base: Mapping[str, Any] = django_settings.DATABASES[like]
    except KeyError:
        raise ImproperlyConfigured(
            f"The database {alias!r} is to be like {like!r}, which is not in DATABASES. Name one"
            " that is, or give all settings."
        ) from None
    return base


def _validate(alias: str) -> None:
    if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
        raise InvalidName(
            f"{alias!r} cannot be the alias of a database. Use 1 to 63 letters, digits, '_', '-'"
            " and '.', beginning and ending with a letter, a digit or '_'."
        )
    if alias in (*django_settings.DATABASES, *SHARED_ALIASES):
        raise NameTaken(f"{alias!r} is an alias of DATABASES, or Domicile's own. Take another.")


def _storable(alias: str, settings: Mapping[str, Any]) -> Any:
    try:
        return json.loads(json.dumps(settings, default=os.fspath))
    except TypeError as error:
        raise ImproperlyConfigured(
            f"The settings of {alias!r} cannot be stored ({error}). Put such values into DATABASES,"
            f" and refer to that entry by {LIKE!r}."
        ) from error


def _try(alias: str, settings: Mapping[str, Any]) -> None:
    """Raise what connecting raises."""
    wrapper = lone_wrapper(alias, settings, _SECONDS_TO_CONNECT)
    try:
        wrapper.ensure_connection()
    finally:
        wrapper.close()


def _refuse_use(record: AddedDatabase) -> None:
    """Raise `DatabaseInUse` where somebody is; what cannot be reached is not in use."""
    in_use = census.in_use(record.alias)
    if not in_use:
        with suppress(DatabaseError, ImproperlyConfigured):
            in_use = _in_use_there(record.alias, record.completed)
    if in_use:
        raise DatabaseInUse(
            f"{record.alias!r} is in use: {in_use} of its database's connections are in a"
            " transaction, or executing. Remove it when they are done, or say force=True, and let"
            " them end after it."
        )


def _in_use_there(alias: str, settings: Mapping[str, Any]) -> int:
    wrapper = lone_wrapper(alias, settings, _SECONDS_TO_CONNECT)
    try:
        return activity_of(wrapper).in_use or 0
    finally:
        wrapper.close()


aadd_database = sync_to_async(add_database)
aremove_database = sync_to_async(remove_database)
