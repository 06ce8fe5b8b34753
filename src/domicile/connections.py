"""The connection handler: run-time aliases, and a `default` that depends on the active tenant.

`install()` turns `django.db.connections` into a `HomeConnectionHandler`:

- `connections["default"]` is the active tenant's connection; with no tenant active, the default
  database's.
- `connections["shared"]` is the default database's, always.
- `connections["tenant:<slug>"]` is that tenant's, whatever is active.
- Any other `connections["<family>:<name>"]` is what the function says that `register_family()` was
  given for that family: a home, or a database by its settings.
- An alias that is in no family and not in `DATABASES` may be a database that was added at run time.

Everything else is Django's own. Iterating gives the aliases of `DATABASES` as before, so that test
runners and `--database` see no more than they know; `all()`, which closes connections and resets
queries, also gives the sessions that run-time aliases have of their own in this thread.
"""

from __future__ import annotations

import threading
from asyncio import _get_running_loop
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import ConnectionHandler, load_backend
from django.utils.connection import ConnectionDoesNotExist

from domicile.backends.census import census
from domicile.backends.limits import open_connections
from domicile.backends.sharing import SharedSession
from domicile.conf import PlacementTemplate, conf
from domicile.context import innermost
from domicile.placement import SHARED_ALIAS, TENANT_PREFIX, Home
from domicile.wrappers import Wrappers, owns_session

#: What is behind a run-time alias: a home; or a database's settings, as `configured()` completes
#: them and the same object until they change.
Behind = Home | Mapping[str, Any]
Find = Callable[[str], Behind]


class HomeConnectionHandler(ConnectionHandler):
    """Django's handler, with the aliases that `domicile.connections` describes.

    Threads have their wrappers in a plain `threading.local`; async code has them in Django's
    `Local`, which is slower, since it asks each time whether there is an event loop.
    """

    _connections: Any
    _of_thread: Any

    #: Answers alias → home for tenants that are not active; set by `install()`.
    find_home: ClassVar[Callable[[str], Home]]
    #: The same for other families of run-time aliases, by their prefixes, which end in a colon.
    families: ClassVar[dict[str, Find]] = {}
    #: Answers for what is in no family and not in `DATABASES`; None: it is nowhere.
    find_added: ClassVar[Callable[[str], Behind | None]]

    def __getitem__(self, alias: str) -> Any:
        frame = innermost.get()
        home = None if frame is None else frame.home
        if home is not None and (alias == home.alias or alias == DEFAULT_DB_ALIAS):  # noqa: PLR1714 - no tuple
            # As `_wrappers()`, without a call: each query comes here several times.
            holder = self._of_thread if _get_running_loop() is None else self._connections
            try:
                wrappers = holder.wrappers
            except AttributeError:
                wrappers = self._wrappers()
            last = wrappers.last
            if last is None or last.home is not home:
                return self._wrapper_of(home, wrappers)
            return last
        if ":" in alias:
            if alias.startswith(TENANT_PREFIX):
                return self._wrapper_of(type(self).find_home(alias), self._wrappers())
            find = self.families.get(alias[: alias.index(":") + 1])
            if find is not None:
                return self._at_run_time(alias, find(alias))
        if alias == SHARED_ALIAS:
            return self._shared()
        wrapper = self._wrappers().static.get(alias)
        return self._first(alias) if wrapper is None else wrapper

    def __setitem__(self, alias: str, wrapper: Any) -> None:
        self._wrappers().static[alias] = wrapper

    def __delitem__(self, alias: str) -> None:
        try:
            self._wrappers().pop_static(alias)
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
            if conf().count_all_connections:
                _limit(wrapper)
            census.note(wrapper)
        return wrapper

    def opened(self, alias: str) -> Any:
        """Return this thread's wrapper of an alias, of `shared` that of its database; None: it has
        none yet.
        """
        holder = self._of_thread if _get_running_loop() is None else self._connections
        try:
            wrappers: Wrappers = holder.wrappers
        except AttributeError:
            return None
        static, views, own = wrappers.static, wrappers.views, wrappers.own
        if ":" in alias:  # A tenant's, mostly; `DATABASES` may have such an alias too.
            return views.get(alias) or own.get(alias) or static.get(alias)
        return static.get(DEFAULT_DB_ALIAS if alias == SHARED_ALIAS else alias) or own.get(alias)

    def _first(self, alias: str) -> Any:
        """Return what has no wrapper yet among the static ones."""
        if alias in self.settings:
            return self.static(alias)
        wrapper = self._wrappers().own.get(alias)
        if wrapper is not None and wrapper.in_atomic_block:
            return wrapper  # Whatever becomes of the alias, a transaction ends where it began.
        behind = type(self).find_added(alias)
        if behind is None:
            self.forget(alias)
            raise self.exception_class(f"The connection '{alias}' doesn't exist.")
        return self._at_run_time(alias, behind)

    def _at_run_time(self, alias: str, behind: Behind) -> Any:
        if isinstance(behind, Home):
            return self._wrapper_of(behind, self._wrappers())
        wrapper = self._wrappers().get(alias)
        if wrapper is None or (_differs(wrapper, behind) and not wrapper.in_atomic_block):
            self.forget(alias)
            wrapper = load_backend(behind["ENGINE"]).DatabaseWrapper(behind, alias)
            if isinstance(wrapper, SharedSession):
                wrapper.host = self.static(DEFAULT_DB_ALIAS)
            _limit(wrapper)
            self._wrappers().put(alias, wrapper)
            census.note(wrapper)
        return wrapper

    def all(self, initialized_only: bool = False) -> list[Any]:
        if not initialized_only:
            for alias in self.settings:
                self.static(alias)
        wrappers = self._wrappers()
        if not wrappers.own:  # Each request asks three times.
            return list(wrappers.static.values())
        for alias in [alias for alias in wrappers.own if ":" not in alias]:
            with suppress(Exception):  # Who closes connections asks for no news.
                self._first(alias)  # Forgets one that was removed.
        return [*wrappers.static.values(), *wrappers.own.values()]

    def forget(self, alias: str) -> None:
        """Close and drop this thread's wrapper of a run-time alias."""
        wrapper = self._wrappers().pop(alias)
        if wrapper is not None and owns_session(wrapper):
            wrapper.close()
            if alias not in self.settings:
                census.retire(wrapper)

    def open(self, home: Home) -> Any:
        """Return a new wrapper for a home."""
        template = conf().placement(home.placement.template)
        host = self.static(DEFAULT_DB_ALIAS)
        if template.database is not None:
            host = self.host(template, home.through)
            if template.layout in host.shared_layouts:
                return host.view(home.alias, home)
            settings = _settings_beside(host, template.locate(home.placement.name))
        else:
            settings = self._own_settings(template, template.locate(home.placement.name))
        wrapper = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, home.alias)
        wrapper.home = home
        wrapper.host = host
        wrapper.session.limits = open_connections
        census.note(wrapper)
        return wrapper

    def host(self, template: PlacementTemplate, through: str | None = None) -> Any:
        """Return the wrapper of the database, or of the server, where a template places homes; or
        of one that holds the same rows, by its alias.
        """
        if template.database is None:
            return self._server_of(template)
        alias = through or template.database
        host = self[alias] if alias != DEFAULT_DB_ALIAS else self.static(alias)
        if not isinstance(host, SharedSession):
            raise ImproperlyConfigured(
                f"DATABASES[{alias!r}] has the engine"
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
        if wrapper is None or not _reaches(wrapper, home):
            if wrapper is not None:
                self.forget(home.alias)
            wrapper = self.open(home)
            wrapper.opened_by = conf()
            wrappers.put(home.alias, wrapper)
        wrapper.home = home  # The same one, by which it is known again without a comparison.
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


def _limit(wrapper: Any) -> None:
    """Have `MAX_CONNECTIONS` count a wrapper's session. A pool has a limit of its own, and what is
    in memory must not be closed.
    """
    in_memory = wrapper.vendor == "sqlite" and wrapper.is_in_memory_db()
    if (
        isinstance(wrapper, SharedSession)
        and not wrapper.settings_dict["OPTIONS"].get("pool")
        and not in_memory
    ):
        wrapper.session.limits = open_connections


def _differs(wrapper: Any, settings: Mapping[str, Any]) -> bool:
    """Whether a database's settings have changed since its wrapper was made."""
    return wrapper.settings_dict is not settings and bool(wrapper.settings_dict != settings)


def _reaches(wrapper: Any, home: Home) -> bool:
    """Whether a wrapper reaches a home still: no tenant has moved, and no setting has changed by
    which it was opened.
    """
    if wrapper.home is home:
        return True
    if wrapper.home != home:
        return False
    before, now, template = wrapper.opened_by, conf(), home.placement.template
    if before is now:
        return True
    if not owns_session(wrapper):
        return False
    return wrapper.in_atomic_block or before.placement(template) == now.placement(template)


def configured(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a database's settings with all that Django fills in, as a new dict."""
    databases = {DEFAULT_DB_ALIAS: deepcopy(dict(settings))}
    return connections.configure_settings(databases)[DEFAULT_DB_ALIAS]


def register_family(prefix: str, find: Find) -> None:
    """Have `connections["<prefix><name>"]` answer with what `find` says of such an alias.

    :param prefix: a word and a colon, such as `"period:"`.
    :param find: takes the whole alias and returns a `Home` of that same alias, or the settings of a
        database (see `Behind`). It is asked each time, so it should answer from memory. For an
        alias that stands for nothing it raises.
    """
    if not prefix.removesuffix(":").isidentifier() or not prefix.endswith(":"):
        raise ValueError(f"{prefix!r} cannot be a family of aliases: write a word and a colon.")
    HomeConnectionHandler.families[prefix] = find


def _settings_beside(host: Any, name: str) -> dict[str, Any]:
    return _without_pool({**host.settings_dict, "NAME": name})


def _without_pool(settings: dict[str, Any]) -> dict[str, Any]:
    """A pool per tenant would hold connections that nobody counts: `MAX_CONNECTIONS` does."""
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
    return {**settings, "OPTIONS": options}


def _nowhere(alias: str) -> None:
    """Nothing was added at run time."""


def install(
    find_home: Callable[[str], Home], find_added: Callable[[str], Behind | None] = _nowhere
) -> None:
    """Make `django.db.connections` answer for homes.

    :param find_home: knows tenants by alias.
    :param find_added: knows what was added at run time, by alias; None for anything else.

    Its class is changed, not the object: `from django.db import connections` has been run by then
    in many modules.
    """
    HomeConnectionHandler.find_home = staticmethod(find_home)
    HomeConnectionHandler.find_added = staticmethod(find_added)
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
    setting_changed.connect(_reset, dispatch_uid="domicile.connections")


def _reset(*, setting: str, **_: Any) -> None:
    """Django tells connections that the time zone has changed; views it does not know."""
    if setting in ("TIME_ZONE", "USE_TZ"):
        connections._wrappers().drop_views()  # type: ignore[attr-defined]
