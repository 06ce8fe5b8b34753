"""One session, many aliases.

Django keeps a session's state on the wrapper of its alias. Any number of other wrappers, one for
each alias, are views of that one: they look at its state. So tenants of one database share a
connection and a transaction, while each wrapper knows the home that its alias stands for.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from inspect import unwrap
from threading import get_ident
from typing import Any, ClassVar, NoReturn, Self

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS
from django.db.backends import utils
from django.db.backends.base import base
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from domicile.backends.catalog import Catalog, Facts
from domicile.backends.homes import HomeStore
from domicile.backends.replay import Replay
from domicile.backends.session import STATIC, Session
from domicile.backends.transfer import HomeEnd
from domicile.backends.views import view_class
from domicile.conf import Layout, PlacementTemplate, Settings
from domicile.context import bind
from domicile.exceptions import NotSupported
from domicile.placement import Home


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
        owner = self.db.owner
        if (
            owner.execute_wrappers
            or owner.needs_rollback
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
        self.session = Session(self)
        #: The wrapper whose session this one uses.
        self.owner: Any = self
        #: The wrapper, of an alias of `DATABASES`, that speaks for this one in tests.
        self.host: SharedSession = self
        self.home: Home | None = None
        #: The settings by which a home's wrapper was opened.
        self.opened_by: Settings | None = None
        self.place: object = STATIC
        super().__init__(settings_dict, alias)

    def view(self, alias: str, home: Home | None) -> Self:
        """Return the wrapper by which `alias` reaches `home` through this wrapper's session.

        Its `features` are this wrapper's: they tell of the server, and some cost a query.
        """
        engine: Any = type(self.owner)
        view: Self = object.__new__(view_class(engine))
        view.session = self.session
        view.owner = self.owner
        view.host = self
        view.home = home
        view.place = STATIC if home is None else home
        view.alias = alias
        view.settings_dict = self.settings_dict
        view.features = self.features
        view.timezone = self.timezone
        view.ops = self.ops_class(view)
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
                if self.connection is None:
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
        if self.owner._thread_ident != get_ident():
            super().validate_thread_sharing()

    def close_if_health_check_failed(self) -> None:
        if self.owner.health_check_enabled:
            super().close_if_health_check_failed()

    def close_if_unusable_or_obsolete(self) -> None:
        owner = self.owner
        if (
            owner.connection is None
            or owner.autocommit != self.settings_dict["AUTOCOMMIT"]
            or owner.errors_occurred
            or owner.close_at is not None
        ):
            super().close_if_unusable_or_obsolete()
        else:
            owner.health_check_done = False

    def make_cursor(self, cursor: Any) -> Any:
        return HomeCursor(cursor, self)

    def _cursor(self, name: str | None = None) -> Any:
        if "cursor" in self.host.__dict__:
            self._heed_host()
        session, owner = self.session, self.owner
        if session.limits is None:
            if (
                owner.connection is None
                or owner.health_check_enabled
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
