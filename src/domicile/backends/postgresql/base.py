"""PostgreSQL: tenants in a schema each, by one session; or in a database each, by their own."""

from __future__ import annotations

import time
from collections.abc import Collection
from copy import deepcopy
from functools import cached_property, lru_cache
from inspect import unwrap
from operator import itemgetter
from typing import Any, ClassVar

from django.core.signals import setting_changed
from django.db.backends.base.base import NO_DB_ALIAS
from psycopg import OperationalError, errors

from domicile.backends.base_engine import base_engine
from domicile.backends.homes import HomeStore
from domicile.backends.postgresql.catalog import PostgresCatalog
from domicile.backends.postgresql.client import homed_client
from domicile.backends.postgresql.cursors import SwitchingCursor, switching_class
from domicile.backends.postgresql.homes import DatabaseStore, SchemaStore, tenant_role
from domicile.backends.postgresql.introspection import homed_introspection
from domicile.backends.postgresql.locks import named_lock, named_locks
from domicile.backends.postgresql.operations import homed_operations
from domicile.backends.postgresql.replay import PostgresReplay
from domicile.backends.postgresql.replication import PostgresReplication
from domicile.backends.postgresql.switch import Switch, Way
from domicile.backends.postgresql.transfer import PostgresEnd
from domicile.backends.schema import homed_schema_editor
from domicile.backends.sharing import SharedSession
from domicile.backends.transfer import MOVED_AWAY
from domicile.conf import Layout, conf
from domicile.context import innermost
from domicile.exceptions import ConnectionLimitReached, HomeMissing, HomeMoved
from domicile.placement import Placement

base = base_engine("postgresql")

#: The first version that reports `search_path` after every change.
REPORTS_PATH = 180000
_PATH = b"search_path"
#: The settings that Django makes a pool, and sets up its connections, by.
_MAKES_POOL = (
    *("HOST", "PORT", "NAME", "USER", "PASSWORD"),
    *("OPTIONS", "TIME_ZONE", "CONN_HEALTH_CHECKS", "CONN_MAX_AGE"),
)
_making_pool = itemgetter(*_MAKES_POOL)
#: What makes an alias's pool, the settings it was read from, and the key: each request asks five
#: times.
_pool_keys: dict[str, tuple[Any, Any, str]] = {}
_pool_of = base.DatabaseWrapper.pool.fget
#: Django's, less a look for an event loop: whoever asks for a cursor has had that look.
_create_cursor = unwrap(base.DatabaseWrapper.create_cursor)
#: The homes that a process remembers the way to: about a kilobyte each.
_MAX_WAYS = 10_000


def _named_by(rule: Any) -> Collection[str]:
    """Return the aliases that a rule names; none where it is no rule, which a check tells."""
    named: Collection[str] = getattr(rule, "databases", tuple)()
    return named


@lru_cache(maxsize=_MAX_WAYS)
def _way_to(
    placement: Placement, beside: Placement | None, server: tuple[str, str, str], role: str | None
) -> Way:
    """Return the way to a schema on a server, which is its host, port and database."""
    template, roles = conf().placement(placement.template), conf().roles
    schemas = [template.locate(placement.name)]
    if beside is not None:
        schemas.append(conf().placement(beside.template).locate(beside.name))
    path = (*schemas, *template.extra_schemas)
    way = Way(path, tenant_role(server[-1], schemas[-1]) if roles else role, roles=roles)
    # The tenant's own home may have kept the tables.
    way.has_twins = bool(conf().shared_apps) or beside is not None
    return way


@lru_cache
def _way_back(role: str | None) -> Way:
    return Way((), role, roles=conf().roles)


def _reset(*, setting: str, **_: Any) -> None:
    if setting == "DOMICILE":
        _way_to.cache_clear()
        _way_back.cache_clear()


setting_changed.connect(_reset, dispatch_uid="domicile.backends.postgresql")


class DatabaseWrapper(SharedSession, base.DatabaseWrapper):  # type: ignore[name-defined]
    shared_layouts = frozenset({"schema"})
    home_stores: ClassVar[dict[Layout, type[HomeStore]]] = {
        "schema": SchemaStore,
        "database": DatabaseStore,
    }
    client_class = homed_client(base.DatabaseWrapper.client_class)
    ops_class = homed_operations(base.DatabaseWrapper.ops_class)
    introspection_class = homed_introspection(base.DatabaseWrapper.introspection_class)
    catalog_class = PostgresCatalog
    replay_class = PostgresReplay
    replication_class = PostgresReplication
    end_class = PostgresEnd
    named_lock = named_lock
    named_locks = named_locks
    SchemaEditorClass = homed_schema_editor(base.DatabaseWrapper.SchemaEditorClass)

    @property
    def pool(self) -> Any:
        """The pool of the database, one for all its aliases (Django keys pools by alias)."""
        if self.alias == NO_DB_ALIAS or not self.settings_dict["OPTIONS"].get("pool"):
            return None
        if self.owner is not self:
            return self.owner.pool
        key = self.pool_key
        # Django finds a pool by its alias: so here by that of a stand-in.
        return self._connection_pools.get(key) or _pool_of(self.view(key, None))

    def close_pool(self) -> None:
        if self.owner is not self:
            self.owner.close_pool()
        elif self.pool is not None:
            self._connection_pools.pop(self.pool_key).close()

    @property
    def pool_key(self) -> str:
        """What aliases have in common that take connections from the same pool: their settings,
        and the rules that name them, which may set up sessions.
        """
        made_by, configuration = _making_pool(self.settings_dict), conf()
        known = _pool_keys.get(self.alias)
        if known is not None and known[0] == made_by and known[1] is configuration:
            return known[2]
        rules = enumerate(configuration.rules)
        named_by = [number for number, rule in rules if self.alias in _named_by(rule)]
        key = repr([*made_by, named_by])
        _pool_keys[self.alias] = deepcopy(made_by), configuration, key
        return key

    @cached_property
    def pg_version(self) -> int:
        connection = self.connection
        if connection is not None:
            return connection.pgconn.server_version
        with self.temporary_connection():  # Makes a cursor, whether or not it has to connect.
            return self.connection.pgconn.server_version

    @cached_property
    def way(self) -> Way:
        """How its session gets to its home, and what this process knows of that."""
        settings, home = self.settings_dict, self.home
        role = settings["OPTIONS"].get("assume_role")
        if home is None or self.owner is self:
            return _way_back(role)
        server = (settings["HOST"], str(settings["PORT"]), settings["NAME"] or "")
        return _way_to(home.placement, home.beside, server, role)

    @property
    def search_path(self) -> tuple[str, ...]:
        """The schemas this alias reads from, its own first; empty: as the server is set up."""
        return self.way.path

    @property
    def schema(self) -> str | None:
        """The schema of this alias's home; None where the session is the home's own."""
        return self.way.path[0] if self.way.path else None

    @property
    def role(self) -> str | None:
        """The role its statements run as; None: the one that logged in."""
        return self.way.role

    def pending_switch(self, pgconn: Any) -> Switch | None:
        """Return what has to be sent before the next statement; None: the session is known to be at
        this alias's home, and the home to be there.

        A schema can be dropped under a session that stands in it, and nothing tells the session. So
        each process looks again every `REGISTRY_MAX_AGE` seconds; and, where a missing table would
        not be an error but the shared one of that name, in each activation.
        """
        session, way = self.session, self.way
        stands = session.place is self.place
        if not way.path:
            at_home = stands and (pgconn.parameter_status(_PATH) or b"") == (
                self.connection.initial_path
            )
            return None if at_home else way.switch
        was_seen = time.monotonic() < way.there_until
        if (
            stands
            and was_seen
            and (not way.has_twins or session.frame is innermost.get())
            and (pgconn.parameter_status(_PATH) or b"") == way.reported
        ):
            return None
        return way.switch if was_seen and not way.has_twins else way.looking_switch

    @property
    def is_stranger(self) -> bool:
        """Whether this process does not know yet how the server reports this alias's home."""
        way = self.way
        return bool(way.path) and way.reported is None

    def arrived(self, switch: Switch) -> None:
        """The session is at home by that switch."""
        self.session.arrived(self.place)
        if switch is not self.way.switch:
            self.way.there_until = time.monotonic() + conf().registry_max_age

    def introduce(self, connection: Any) -> None:
        """Go to a home that is a stranger, and learn how the server reports it."""
        try:
            self.way.looking_switch.send(connection)
        except BaseException as error:
            self.session.forget()
            self.raise_if_missing(error)
            raise
        self.way.reported = connection.pgconn.parameter_status(_PATH) or b""
        self.arrived(self.way.looking_switch)

    def raise_if_missing(self, error: BaseException) -> None:
        """Raise `HomeMissing` where that is what the server said."""
        if self.home is None or not isinstance(error, errors.InvalidSchemaName):
            return
        if str(error.diag.message_primary).endswith(MOVED_AWAY):
            raise HomeMoved(
                f"{self.alias!r} was moved to another home while this was at work. Activate it"
                " again."
            ) from error
        if self.schema and self.schema in str(error.diag.message_primary):
            raise HomeMissing(
                f"The schema {self.schema!r} of {self.alias!r} is not in the database"
                f" {self.settings_dict['NAME']!r}: it was dropped or renamed behind Domicile."
                f" {self.home.cure}"
            ) from error

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            connection = super().get_new_connection(conn_params)
        except OperationalError as error:
            self._raise_if_exhausted(error)
            # An error while connecting has no SQLSTATE, only the server's words.
            name = self.settings_dict["NAME"]
            if self.home is not None and f'"{name}" does not exist' in str(error):
                raise HomeMissing(
                    f"The database {name!r} of {self.alias!r} is gone: it was dropped behind"
                    f" Domicile. {self.home.cure}"
                ) from error
            raise
        if not hasattr(connection, "reports_path"):  # Otherwise a pool hands it out again.
            # Some of the driver's cursors have slots alone: they cannot change class later.
            connection.cursor_factory = switching_class(connection.cursor_factory)
            connection.server_cursor_factory = switching_class(connection.server_cursor_factory)
            connection.reports_path = connection.pgconn.server_version >= REPORTS_PATH
        return connection

    def _raise_if_exhausted(self, error: OperationalError) -> None:
        """Raise `ConnectionLimitReached` where the pool had nothing to give in time."""
        if type(error).__name__ not in ("PoolTimeout", "TooManyRequests"):
            return
        stats = self.pool.get_stats()
        if stats["pool_size"] < stats["pool_max"]:
            return  # It could not connect.
        raise ConnectionLimitReached(
            f"Cannot connect to {self.alias!r}: all {stats['pool_max']} connections of its pool are"
            f" in use, and {stats.get('requests_waiting', 0)} others wait ({error}). Allow more by"
            " OPTIONS['pool']['max_size'], or end transactions and requests sooner."
        ) from error

    def _configure_connection(self, connection: Any) -> bool:
        changed = super()._configure_connection(connection)
        connection.initial_path = connection.pgconn.parameter_status(_PATH) or b""
        return changed

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = _create_cursor(self, name)
        if not isinstance(cursor, SwitchingCursor):
            # Django names the class of some; those, which have a `__dict__`, change it in place.
            cursor.__class__ = switching_class(type(cursor))  # type: ignore[arg-type]
        cursor.wrapper = self
        return cursor
