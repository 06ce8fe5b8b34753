"""The connection handler: run-time aliases, and a `default` that depends on the active tenant.

`install()` turns `django.db.connections` into a `HomeConnectionHandler`:

- `connections["default"]` is the active tenant's connection; with no tenant active, the default
  database's.
- `connections["shared"]` is the default database's, always.
- `connections["tenant:<slug>"]` is that tenant's, whatever is active.

Everything else is Django's own. Iterating gives the aliases of `DATABASES` as before, so that test
runners and `--database` see no more than they know; `all()`, which closes connections and resets
queries, also gives the tenants' own sessions of this thread.
"""

from __future__ import annotations

import threading
from asyncio import _get_running_loop
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import ConnectionHandler, load_backend
from django.utils.connection import ConnectionDoesNotExist

from domicile.backends.limits import open_connections
from domicile.backends.sharing import SharedSession
from domicile.conf import PlacementTemplate, conf
from domicile.context import innermost
from domicile.placement import SHARED_ALIAS, TENANT_PREFIX, Home

#: Wrappers of each kind kept per thread.
_MAX_WRAPPERS = 256


class Wrappers:
    """One thread's wrappers, or in async code one task's."""

    def __init__(self) -> None:
        #: Of the aliases of `DATABASES`.
        self.static: dict[str, Any] = {}
        #: Of run-time aliases, those used last at the end. They look at the session of a static
        #: database, and hold no state of their own.
        self.views: OrderedDict[str, SharedSession] = OrderedDict()
        #: The same, with a session of their own.
        self.own: OrderedDict[str, SharedSession] = OrderedDict()
        #: Of these the one used last, which is mostly the one that is used next.
        self.last: SharedSession | None = None

    def get(self, alias: str) -> SharedSession | None:
        wrapper = self.views.get(alias)
        if wrapper is not None:
            self.views.move_to_end(alias)
            return wrapper
        wrapper = self.own.get(alias)
        if wrapper is not None:
            self.own.move_to_end(alias)
        return wrapper

    def put(self, alias: str, wrapper: SharedSession) -> None:
        """Keep a wrapper; drop those used longest ago that hold no open connection."""
        wrappers = self.own if wrapper.owner is wrapper else self.views
        wrappers[alias] = wrapper
        surplus = max(0, len(wrappers) - _MAX_WRAPPERS)
        for other in list(islice(wrappers, surplus)):
            if wrappers is self.views or wrappers[other].connection is None:
                del wrappers[other]

    def pop(self, alias: str) -> SharedSession | None:
        self.last = None
        return self.views.pop(alias, None) or self.own.pop(alias, None)


class HomeConnectionHandler(ConnectionHandler):
    """Django's handler, with the aliases that `domicile.connections` describes.

    Threads have their wrappers in a plain `threading.local`; async code has them in Django's
    `Local`, which is slower, since it asks each time whether there is an event loop.
    """

    _connections: Any
    _of_thread: Any

    #: Answers alias → home for tenants that are not active; set by `install()`.
    find_home: ClassVar[Callable[[str], Home]]

    def __getitem__(self, alias: str) -> Any:
        frame = innermost.get()
        home = None if frame is None else frame.home
        if home is not None and alias in (home.alias, DEFAULT_DB_ALIAS):
            wrappers = self._wrappers()
            last = wrappers.last
            if last is None or last.home is not home:
                return self._wrapper_of(home, wrappers)
            return last
        if alias.startswith(TENANT_PREFIX):
            return self._wrapper_of(type(self).find_home(alias), self._wrappers())
        return self._shared() if alias == SHARED_ALIAS else self.static(alias)

    def __setitem__(self, alias: str, wrapper: Any) -> None:
        self._wrappers().static[alias] = wrapper

    def __delitem__(self, alias: str) -> None:
        try:
            del self._wrappers().static[alias]
        except KeyError:
            raise AttributeError(alias) from None  # As Django's does.

    def static(self, alias: str) -> Any:
        """Return the wrapper of an alias of `DATABASES`, the real one also for `default`."""
        static = self._wrappers().static
        wrapper = static.get(alias)
        if wrapper is None:
            if alias not in self.settings:
                raise self.exception_class(f"The connection '{alias}' doesn't exist.")
            wrapper = static[alias] = self.create_connection(alias)
        return wrapper

    def all(self, initialized_only: bool = False) -> list[Any]:
        if not initialized_only:
            for alias in self.settings:
                self.static(alias)
        wrappers = self._wrappers()
        return [*wrappers.static.values(), *wrappers.own.values()]

    def forget(self, alias: str) -> None:
        """Close and drop this thread's wrapper of a run-time alias."""
        wrapper = self._wrappers().pop(alias)
        if wrapper is not None and wrapper.owner is wrapper:
            wrapper.close()

    def open(self, home: Home) -> Any:
        """Return a new wrapper for a home."""
        template = conf().placement(home.placement.template)
        host = self.static(DEFAULT_DB_ALIAS)
        if template.database is not None:
            host = self.host(template)
            if template.layout in host.shared_layouts:
                return host.view(home.alias, home)
            settings = _settings_beside(host, template.locate(home.placement.name))
        else:
            settings = self._own_settings(template, template.locate(home.placement.name))
        wrapper = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, home.alias)
        wrapper.home = home
        wrapper.host = host
        wrapper.session.limits = open_connections
        return wrapper

    def host(self, template: PlacementTemplate) -> Any:
        """Return the wrapper of the database, or of the server, where a template places homes."""
        if template.database is None:
            return self._server_of(template)
        host = self.static(template.database)
        if not isinstance(host, SharedSession):
            raise ImproperlyConfigured(
                f"DATABASES[{template.database!r}] has the engine"
                f" {host.settings_dict['ENGINE']!r}; tenants need one of domicile.backends."
            )
        return host

    def _server_of(self, template: PlacementTemplate) -> SharedSession:
        """Return the wrapper that makes and drops the homes of a template with its own settings."""
        alias = f"placement:{template.key}"
        engine = load_backend(template.settings["ENGINE"]).DatabaseWrapper  # type: ignore[index]
        settings = self._own_settings(template, engine.name_of_none)
        wrapper = self._wrappers().get(alias)
        if wrapper is None or wrapper.settings_dict != settings:
            self.forget(alias)
            wrapper = engine(settings, alias)
            self._wrappers().put(alias, wrapper)
        return wrapper

    def _wrapper_of(self, home: Home, wrappers: Wrappers) -> SharedSession:
        wrapper = wrappers.get(home.alias)
        if wrapper is None or (wrapper.home is not home and wrapper.home != home):
            if wrapper is not None:  # The tenant has moved.
                self.forget(home.alias)
            wrapper = self.open(home)
            wrappers.put(home.alias, wrapper)
        wrappers.last = wrapper
        return wrapper

    def _shared(self) -> Any:
        default = self.static(DEFAULT_DB_ALIAS)
        wrappers = self._wrappers()
        shared = wrappers.get(SHARED_ALIAS)
        if shared is None or shared.owner is not default:
            if not isinstance(default, SharedSession):
                raise ConnectionDoesNotExist(
                    f"The connection '{SHARED_ALIAS}' doesn't exist: DATABASES['default'] has the"
                    f" engine {default.settings_dict['ENGINE']!r}, not one of domicile.backends."
                )
            shared = default.view(SHARED_ALIAS, None)
            wrappers.put(SHARED_ALIAS, shared)
        return shared

    def _wrappers(self) -> Wrappers:
        """Return this thread's (or, in async code, this task's) wrappers."""
        holder = self._of_thread if _get_running_loop() is None else self._connections
        try:
            return holder.wrappers
        except AttributeError:
            wrappers = holder.wrappers = Wrappers()
            return wrappers

    def _own_settings(self, template: PlacementTemplate, name: str | None) -> dict[str, Any]:
        settings = {**(template.settings or {}), "NAME": name}
        configured = self.configure_settings({DEFAULT_DB_ALIAS: settings})
        return _without_pool(configured[DEFAULT_DB_ALIAS])


def _settings_beside(host: Any, name: str) -> dict[str, Any]:
    return _without_pool({**host.settings_dict, "NAME": name})


def _without_pool(settings: dict[str, Any]) -> dict[str, Any]:
    """A pool per tenant would hold connections that nobody counts: `MAX_CONNECTIONS` does."""
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
    return {**settings, "OPTIONS": options}


def install(find_home: Callable[[str], Home]) -> None:
    """Make `django.db.connections` answer for homes; `find_home` knows tenants by alias.

    Its class is changed, not the object: `from django.db import connections` has been run by then
    in many modules.
    """
    HomeConnectionHandler.find_home = staticmethod(find_home)
    if isinstance(connections, HomeConnectionHandler):
        return
    opened = {
        alias: connections[alias]
        for alias in connections
        if hasattr(connections._connections, alias)  # type: ignore[attr-defined]
    }
    connections.__class__ = HomeConnectionHandler
    connections._of_thread = threading.local()  # type: ignore[attr-defined]
    connections._wrappers().static.update(opened)  # type: ignore[attr-defined]
