"""One session, many aliases.

A session is one physical connection of one thread, with its transaction. Django keeps a session's
state on the wrapper of its alias; here it is kept on a `Session`, and any number of wrappers, one
for each alias, look at the same one. So tenants of one database share a connection and a
transaction, while each wrapper knows the home that its alias stands for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from inspect import unwrap
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self
from weakref import WeakSet

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS
from django.db.backends import utils
from django.db.backends.base import base
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from domicile.backends.catalog import Catalog, Facts
from domicile.backends.homes import HomeStore
from domicile.backends.replay import Replay
from domicile.backends.transfer import HomeEnd
from domicile.conf import Layout, PlacementTemplate
from domicile.context import Frame, bind, innermost
from domicile.exceptions import NotSupported
from domicile.placement import Home

if TYPE_CHECKING:
    from domicile.backends.limits import OpenConnections

#: What `BaseDatabaseWrapper.__init__` and the engines keep on a wrapper that belongs to the
#: physical connection, not to the alias. `tests/test_django_internals.py` fails when Django adds
#: to it.
SESSION_ATTRIBUTES = (
    "connection",
    "queries_log",
    "force_debug_cursor",
    "autocommit",
    "in_atomic_block",
    "savepoint_state",
    "savepoint_ids",
    "atomic_blocks",
    "commit_on_exit",
    "needs_rollback",
    "rollback_exc",
    "close_at",
    "closed_in_transaction",
    "errors_occurred",
    "health_check_enabled",
    "health_check_done",
    "_thread_sharing_lock",
    "_thread_sharing_count",
    "_thread_ident",
    "run_on_commit",
    "run_commit_hooks_on_set_autocommit_on",
    "execute_wrappers",
    "_named_cursor_idx",
    "isolation_level",
    "transaction_mode",
)


#: Where a session stands that is set as its database's settings say.
STATIC = "static"


class Session:
    """One physical connection of one thread, with its transaction, and the home it is set to."""

    _named_cursor_idx = 0
    connection: Any = None
    autocommit: bool
    in_atomic_block: bool
    needs_rollback: bool
    errors_occurred: bool
    health_check_enabled: bool
    health_check_done: bool
    close_at: float | None
    execute_wrappers: list[Any]
    _thread_ident: int
    #: When it was opened last (`time.monotonic()`).
    opened_at: float | None = None
    #: Who counts this session, where it belongs to one tenant alone.
    limits: OpenConnections | None = None

    def __init__(self) -> None:
        self.forget()
        self.lock = threading.RLock()
        self._open_cursors: WeakSet[Any] = WeakSet()

    def forget(self) -> None:
        """The server's state is not known any more: the next statement sets it."""
        self.place: object = None
        #: The activation in which it arrived there.
        self.frame: Frame | None = None

    def arrived(self, place: object) -> None:
        """The server was set to `place`, and nothing since can have changed that."""
        self.place = place
        self.frame = innermost.get()

    def track(self, cursor: Any) -> Any:
        """Count a cursor as in use until it is closed, or nobody holds it any more."""
        driver_cursor, open_cursors = cursor.cursor, self._open_cursors

        def close() -> None:
            open_cursors.discard(driver_cursor)
            driver_cursor.close()

        open_cursors.add(driver_cursor)
        cursor.close = close
        return cursor

    @property
    def is_busy(self) -> bool:
        """Whether it is in a transaction or, where cursors are counted, one is open."""
        return self.in_atomic_block or not self.autocommit or bool(self._open_cursors)

    def close_if_idle(self) -> bool:
        """Close the connection unless it is in use; tell whether it is closed now.

        Any thread may call this: the owner starts nothing without the lock.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self.connection is None:
                return True
            if self.is_busy:
                return False
            connection, self.connection = self.connection, None
            self.forget()
            connection.close()
            return True
        finally:
            self.lock.release()


def _session_attribute(name: str) -> property:
    """Return the property by which wrappers have an attribute of their session.

    Its functions name the attribute in their code: Python then inlines them where they are used,
    which is a dozen times a query.
    """
    functions: dict[str, Any] = {}
    exec(_ACCESS.format(name=name), functions)
    return property(functions["getter"], functions["setter"])


_ACCESS = """
def getter(wrapper):
    return wrapper.session.{name}

def setter(wrapper, value):
    wrapper.session.{name} = value
"""


def _own(function: Any, module: Any) -> Any:
    """Return a method of Django's as it is found where nobody, such as a tracer, has put another in
    its place; None where somebody has.
    """
    return function if unwrap(function).__code__.co_filename == module.__file__ else None


_EXECUTE = _own(CursorWrapper.execute, utils)
_ENSURE_CONNECTION = _own(BaseDatabaseWrapper.ensure_connection, base)


class HomeCursor(CursorWrapper):
    """Django's cursor, with a shorter way to the driver for what nobody listens to. What the driver
    raises is turned into Django's errors where it is raised; what succeeds pays nothing for that.
    """

    def execute(self, sql: Any, params: Any = None) -> Any:
        session = self.db.session
        if (
            session.execute_wrappers
            or session.needs_rollback
            or CursorWrapper.execute is not _EXECUTE
            or not apps.ready
        ):
            return super().execute(sql, params)
        try:
            if params is None:  # Engines have defaults of their own.
                return self.cursor.execute(sql)
            return self.cursor.execute(sql, params)
        except Exception:
            self.db.raise_as_django()

    def fetchone(self) -> Any:
        try:
            return self.cursor.fetchone()
        except Exception:
            self.db.raise_as_django()

    def fetchmany(self, size: int | None = None) -> Any:
        try:
            return self.cursor.fetchmany() if size is None else self.cursor.fetchmany(size)
        except Exception:
            self.db.raise_as_django()

    def fetchall(self) -> Any:
        try:
            return self.cursor.fetchall()
        except Exception:
            self.db.raise_as_django()

    def close(self) -> None:
        self.cursor.close()


class SharedSession(BaseDatabaseWrapper):
    """Mixed into an engine's `DatabaseWrapper`: lets wrappers of many aliases share a session."""

    #: The NAME by which one reaches a server, but none of its homes.
    name_of_none: ClassVar[str | None] = None
    #: The layouts whose homes are reached by switching this database's session.
    shared_layouts: ClassVar[frozenset[Layout]] = frozenset()
    #: Who creates, drops and finds homes of a layout.
    home_stores: ClassVar[dict[Layout, type[HomeStore]]] = {}
    #: Who reads what a home looks like.
    catalog_class: ClassVar[type[Catalog]] = Catalog
    #: Who sends a home the statements that were captured in another.
    replay_class: ClassVar[type[Replay]] = Replay
    #: Who takes the rows of a home elsewhere, or brings them; None: no one can.
    end_class: ClassVar[type[HomeEnd] | None] = None

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        self.session = Session()
        self.owner: Any = self
        #: The wrapper, of an alias of `DATABASES`, that speaks for this one in tests.
        self.host: SharedSession = self
        self.home: Home | None = None
        self.place: object = STATIC
        super().__init__(settings_dict, alias)

    def view(self, alias: str, home: Home | None) -> Self:
        """Return the wrapper by which `alias` reaches `home` through this wrapper's session.

        Its `features` are this wrapper's: they tell of the server, and some cost a query.
        """
        view = object.__new__(type(self))
        view.session = self.session
        view.owner = self
        view.host = self
        view.home = home
        view.place = STATIC if home is None else home
        view.alias = alias
        view.settings_dict = self.settings_dict
        view.features = self.features
        view.client = self.client_class(view)
        view.creation = self.creation_class(view)
        view.introspection = self.introspection_class(view)
        view.ops = self.ops_class(view)
        view.validation = self.validation_class(view)
        return view

    def copy(self, alias: str | None = None) -> Self:
        """Return a wrapper of the same home with a session of its own."""
        if self.owner is not self:
            return self.owner.copy(alias).view(alias or self.alias, self.home)
        copy = super().copy(alias)
        copy.home = self.home
        return copy

    @property
    def reaches_shared(self) -> bool:
        """Whether statements of this alias can name tables of the shared home."""
        owner = self.owner
        return (
            owner is not self
            and "schema" in self.shared_layouts
            and owner.alias == DEFAULT_DB_ALIAS
        )

    def store(self, template: PlacementTemplate) -> HomeStore:
        """Return what creates and drops homes as `template` says; `NotSupported` if none can."""
        try:
            return self.home_stores[template.layout](self, template)
        except KeyError:
            raise NotSupported(
                f"DOMICILE['PLACEMENTS'][{template.key!r}] asks for a {template.layout} per tenant,"
                f" which {self.display_name} does not have. Name a placement of another kind."
            ) from None

    def catalog_facts(self) -> Facts:
        """Return what this alias's home looks like: object → definition.

        It is read in the current transaction, which sees its own changes. `HomeMissing` where the
        home is not there.
        """
        return self.catalog_class(self).facts()

    def catalog_fingerprint(self, relations: Collection[str] | None = None) -> str:
        """Return a digest of the facts: 32 hexadecimal digits, equal exactly where they are.

        :param relations: as `Catalog.fingerprint()` takes it.
        """
        return self.catalog_class(self).fingerprint(relations)

    def named_lock(self, key: str) -> AbstractContextManager[bool]:
        """Hold the lock `key` of this session's database; the value tells whether it was free.

        The server, or the system, releases it when the holder dies.
        """
        raise NotSupported(f"{self.display_name} has no locks by name.")

    @contextmanager
    def named_locks(self, keys: Iterable[str]) -> Iterator[set[str]]:
        """Hold those of the locks `keys` that are free; the value tells which."""
        with ExitStack() as held:
            yield {key for key in keys if held.enter_context(self.named_lock(key))}

    def connect(self) -> None:
        if self.owner is not self:
            self.owner.connect()
            return
        session, limits = self.session, self.session.limits
        session.forget()
        session.opened_at = time.monotonic()
        if limits is None:
            super().connect()
        else:
            limits.admit(session, self.alias)
            try:
                super().connect()
            finally:
                if session.connection is None:
                    limits.released(session)
        session.forget()

    def close(self) -> None:
        super().close()
        if self.session.limits is not None:
            self.session.limits.released(self.session)

    def set_autocommit(self, *args: Any, **kwargs: Any) -> None:
        with self.session.lock:
            super().set_autocommit(*args, **kwargs)

    # What Django asks for every request and query is asked here of the session, in one look.

    def validate_thread_sharing(self) -> None:
        if self.session._thread_ident != get_ident():
            super().validate_thread_sharing()

    def close_if_health_check_failed(self) -> None:
        if self.session.health_check_enabled:
            super().close_if_health_check_failed()

    def close_if_unusable_or_obsolete(self) -> None:
        session = self.session
        if (
            session.connection is None
            or session.autocommit != self.settings_dict["AUTOCOMMIT"]
            or session.errors_occurred
            or session.close_at is not None
        ):
            super().close_if_unusable_or_obsolete()
        else:
            session.health_check_done = False

    def make_cursor(self, cursor: Any) -> Any:
        return HomeCursor(cursor, self)

    def _cursor(self, name: str | None = None) -> Any:
        if "cursor" in self.host.__dict__:
            self._heed_host()
        session = self.session
        if session.limits is None:
            if (
                session.connection is None
                or session.health_check_enabled
                or BaseDatabaseWrapper.ensure_connection is not _ENSURE_CONNECTION
            ):
                return super()._cursor(name)  # type: ignore[misc]
            try:
                return self._prepare_cursor(self.create_cursor(name))  # type: ignore[attr-defined]
            except Exception:
                self.raise_as_django()
        with session.lock:
            cursor = session.track(super()._cursor(name))  # type: ignore[misc]
        session.limits.used(session)
        return cursor

    def raise_as_django(self) -> NoReturn:
        """Raise the error that is being handled, one of the driver's as Django's."""
        with self.wrap_database_errors:
            raise  # noqa: PLE0704 - the caller handles it

    def _heed_host(self) -> None:
        """Where `SimpleTestCase` forbids queries it puts stand-ins, which raise, in the place of
        methods of the aliases of `DATABASES`, the only ones that it knows.
        """
        stand_in: Any = vars(self.host).get("cursor")
        if hasattr(stand_in, "wrapped"):
            stand_in()

    def _rollback(self) -> None:
        self.session.forget()
        super()._rollback()  # type: ignore[misc]

    def on_commit(self, func: Any, robust: bool = False) -> None:
        """Run `func` after the commit, in the tenant that is active now."""
        super().on_commit(bind(func) if callable(func) else func, robust)


for _name in SESSION_ATTRIBUTES:
    setattr(SharedSession, _name, _session_attribute(_name))
