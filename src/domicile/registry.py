"""Tenants by host and by slug, and databases added at run time, from memory.

What is in memory is true within `REGISTRY_MAX_AGE` seconds: every change to one of them counts up
`RegistryVersion`, in the transaction of the change, and a process that has not looked for so long
looks at that one number before it answers. What is not in memory costs one query. A database that
does not answer leaves what is known in force.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from time import monotonic
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections, transaction
from django.db.models.signals import post_migrate

from domicile.conf import conf
from domicile.context import active_home
from domicile.exceptions import UnknownTenant
from domicile.models import VISIBLE, RegistryVersion
from domicile.naming import is_slug
from domicile.placement import (
    AT_PERIOD,
    AT_REPLICA,
    SHARED_ALIAS,
    SHARED_ALIASES,
    TENANT_PREFIX,
    Home,
    Placement,
    tenant_alias,
)
from domicile.records import AddedDatabase

logger = logging.getLogger("domicile.registry")


def tenant_model() -> Any:
    """Return the project's tenant model."""
    return _model("TENANT_MODEL", conf().tenant_model)


def domain_model() -> Any:
    """Return the project's domain model."""
    return _model("DOMAIN_MODEL", conf().domain_model)


def _model(setting: str, name: str) -> Any:
    if not name:
        raise ImproperlyConfigured(
            f"DOMICILE[{setting!r}] is not set: name the model as 'app.Model'."
        )
    return apps.get_model(name)


#: Values that instances can share; of others, such as a JSON field's, each gets a copy.
_IMMUTABLE = (str, int, float, bool, bytes, date, time, timedelta, Decimal, UUID, type(None))

Key = tuple[str, str]
#: Hosts, as they were sent, whose tenants are remembered.
_DOORS = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """A visible tenant as it was read: its home, its status, and the values of its row."""

    home: Home
    status: str
    values: tuple[Any, ...]

    def tenant(self) -> Any:
        """Return a new instance of the tenant model: nothing cached on one reaches another."""
        model = tenant_model()
        values = [v if isinstance(v, _IMMUTABLE) else deepcopy(v) for v in self.values]
        return model.from_db(DEFAULT_DB_ALIAS, _field_names(model), values)


def _field_names(model: Any) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


class Known:
    """Entries by key, and keys that nobody has: apart, so that whoever asks for many names that
    there are not pushes out none that there are.
    """

    def __init__(self) -> None:
        self.present: dict[Key, Entry | None] = {}
        self.absent: dict[Key, Entry | None] = {}
        #: What resolvers found by a host alone, by the host as it was sent.
        self.doors: dict[str, Any] = {}
        #: All that were added at run time, by alias; None: not read yet.
        self.databases: dict[str, AddedDatabase] | None = None
        self._writing = threading.Lock()

    def keep(self, key: Key, entry: Entry | None) -> None:
        """Put in what was read; at the limit what was put in first has to go."""
        self._put(self.absent if entry is None else self.present, key, entry, conf().registry_size)

    def keep_door(self, sent: str, found: Any, host: str) -> None:
        """The same for what resolvers found by a host: as it was sent, and as it is compared. What
        was not kept above, since it may never be committed, is not kept here either.
        """
        keys = (("domains__host", host), ("slug", found.entry.home.slug))
        if any(self.present.get(key) is found.entry for key in keys):
            self._put(self.doors, sent, found, min(conf().registry_size, _DOORS))

    def _put(self, values: dict[Any, Any], key: Any, value: Any, limit: int) -> None:
        with self._writing:
            while values and len(values) >= limit:
                del values[next(iter(values))]
            values[key] = value


class Registry:
    """What this process knows of tenants. Safe for threads: reading is one dict operation."""

    #: Answers for other homes of a tenant than its own; set by the app.
    find_within: Callable[[str], Home]

    def __init__(self) -> None:
        self._known = Known()
        self._version: int | None = None
        self._next_look = 0.0
        self._looking = threading.Lock()

    def __len__(self) -> int:
        return len(self._known.present) + len(self._known.absent)

    @property
    def known(self) -> Known:
        """What is in memory, however old."""
        return self._known

    def fresh(self) -> Known:
        """Return what is known, and is as true as `REGISTRY_MAX_AGE` promises."""
        if monotonic() >= self._next_look:
            self._look()
        return self._known

    def at_door(self, host: str) -> Any:
        """Return what resolvers found by a host as it was sent; None where that is not known."""
        found = self._known.doors.get(host)
        if found is not None and monotonic() >= self._next_look:
            self._look()
            found = self._known.doors.get(host)
        return found

    def by_slug(self, slug: str) -> Entry | None:
        """Return the visible tenant of that slug, None where there is none."""
        return self._find("slug", slug)

    def by_host(self, host: str) -> Entry | None:
        """Return the visible tenant one of whose domains is that (normalised) host."""
        return self._find("domains__host", host)

    def home_of(self, alias: str) -> Home:
        """Return the home behind a tenant's alias; `UnknownTenant` where there is none.

        Behind `tenant:acme@far_replica` is acme's home, reached by that replica's session.
        """
        own, _, replica = alias.partition(AT_REPLICA)
        if replica:
            home = active_home()
            if home is None or home.alias != own:
                home = self.home_of(own)
            return _at_replica(home, replica)
        entry = self.by_slug(alias.removeprefix(TENANT_PREFIX))
        if entry is None:
            if AT_PERIOD in alias:
                return self.find_within(alias)
            raise UnknownTenant(
                f"There is no tenant behind the alias {alias!r}, or it is not complete."
            )
        return entry.home

    def databases(self) -> dict[str, AddedDatabase]:
        """Return the databases that were added at run time, by alias."""
        known = self.fresh()
        if known.databases is not None:
            return known.databases
        found = {database.alias: database for database in _added_databases()}
        connection = connections[SHARED_ALIAS]
        if connection.autocommit and not connection.in_atomic_block:  # As in `_load`.
            known.databases = found
        return found

    def announce(self) -> None:
        """Tell every process that a tenant, a domain or an added database changed: this one now,
        others in time.
        """
        RegistryVersion.bump()
        self.clear()
        transaction.on_commit(self.clear, using=SHARED_ALIAS)

    def clear(self) -> None:
        """Forget what is in memory."""
        self._known = Known()

    def _find(self, field: str, value: str) -> Entry | None:
        key, known = (field, value), self.fresh()
        entry = known.present.get(key)
        if entry is not None or key in known.absent:
            return entry
        if field == "slug" and not is_slug(value):
            return None
        return self._load(key)

    def _load(self, key: Key) -> Entry | None:
        model, known = tenant_model(), self._known
        names = _field_names(model)
        tenants = model._base_manager.filter(**{key[0]: key[1]}, status__in=VISIBLE)
        values = tenants.values_list(*names).first()
        entry = None if values is None else _entry(dict(zip(names, values, strict=True)), values)
        # What an open transaction sees may never be committed. If the registry was cleared
        # meanwhile, `known` is the old one, and what is put there is gone with it.
        connection = connections[SHARED_ALIAS]
        if connection.autocommit and not connection.in_atomic_block:
            known.keep(key, entry)
        return entry

    def _look(self) -> None:
        """Compare versions; one thread does it, the others go on with what is known."""
        if connections[SHARED_ALIAS].needs_rollback or not self._looking.acquire(blocking=False):
            return
        try:
            version = RegistryVersion.current()
            if version != self._version:
                self._version = version
                self.clear()
        except SynchronousOnlyOperation:
            raise
        except (DatabaseError, InterfaceError):
            if _has_table(RegistryVersion):
                logger.warning(
                    "Could not look for changes of tenants; going on with what is known."
                )
        finally:
            self._looking.release()
        self._next_look = monotonic() + conf().registry_max_age


def _entry(row: dict[str, Any], values: tuple[Any, ...]) -> Entry:
    placement = Placement(row["placement_template"], row["placement_name"])
    return Entry(Home(tenant_alias(row["slug"]), placement), row["status"], tuple(values))


def _added_databases() -> list[AddedDatabase]:
    try:
        with transaction.atomic(SHARED_ALIAS):
            return list(AddedDatabase.objects.using(SHARED_ALIAS))
    except DatabaseError:
        if _has_table(AddedDatabase):
            raise
        return []


def _has_table(model: Any) -> bool:
    """Tell, after an error, whether it may be another than that `migrate` was not run yet."""
    try:
        tables = connections[SHARED_ALIAS].introspection.table_names()
    except (DatabaseError, InterfaceError):
        return True
    return model._meta.db_table in tables


@lru_cache(maxsize=4096)
def _at_replica(home: Home, replica: str) -> Home:
    return Home(f"{home.alias}{AT_REPLICA}{replica}", home.placement, replica)


#: This process's.
registry = Registry()


def tenant_of(slug: str) -> Any:
    """Return the visible tenant of that slug; `UnknownTenant` where there is none."""
    entry = registry.by_slug(slug)
    if entry is None:
        raise UnknownTenant(f"There is no tenant {slug!r}. `tenants list` shows which there are.")
    return entry.tenant()


def visible_tenants() -> Any:
    """Return a queryset of the tenants that a request can find, by slug."""
    return tenant_model()._base_manager.filter(status__in=VISIBLE).order_by("slug")


def target_of(tenant: Any) -> Callable[[], tuple[Home, Any]]:
    """Return a function that finds the home and the instance of a slug or a tenant."""

    def find() -> tuple[Home, Any]:
        found = tenant_of(tenant) if isinstance(tenant, str) else tenant
        return found.home, found

    return find


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "DATABASES"):
        registry.clear()


def _after_flush(*, using: str, **_: Any) -> None:
    """`flush`, which ends every `TransactionTestCase`, empties tables and sends no other signal."""
    if using in SHARED_ALIASES:
        registry.clear()


setting_changed.connect(_reset, dispatch_uid="domicile.registry")
post_migrate.connect(_after_flush, dispatch_uid="domicile.registry")
