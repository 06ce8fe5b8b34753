"""Sessions that belong to the home they were made in.

Sessions in a tenant's own table are nobody else's by themselves. Those that Django keeps in cookies
or in a cache are good for every tenant whose users are rows of its own: a visitor could show the
session of one tenant to another, where its user id is somebody else's. So a session takes a note of
its home when it is saved, and one that comes from another home is as good as none.

The home is the one in which the session was opened. A `SessionMiddleware` that stands before
`TenantMiddleware` opens sessions of the shared home, whatever tenant is then found.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from domicile.context import active_home
from domicile.residence import Residence, residence_of_app

#: In a session: the alias of its home. The shared home's sessions have none.
HOME_KEY = "_domicile_home"


@cache
def _users_live_in_tenants() -> bool:
    app_label = settings.AUTH_USER_MODEL.partition(".")[0]
    return residence_of_app(app_label) is not Residence.SHARED


@cache
def _homed(store: Any) -> Any:
    class SessionStore(store):
        domicile_store = store

        def __init__(self, session_key: str | None = None) -> None:
            home = active_home() if _users_live_in_tenants() else None
            self._home = None if home is None else home.alias
            super().__init__(session_key)

        def load(self) -> Any:
            return self._if_own(super().load())

        async def aload(self) -> Any:
            return self._if_own(await super().aload())

        def save(self, must_create: bool = False) -> Any:
            self._sign(self._get_session(no_load=must_create))
            return super().save(must_create)

        async def asave(self, must_create: bool = False) -> Any:
            self._sign(await self._aget_session(no_load=must_create))
            return await super().asave(must_create)

        def _if_own(self, data: Any) -> Any:
            if not data or data.get(HOME_KEY) == self._home:
                return data
            self._session_key = None
            return {}

        def _sign(self, data: Any) -> None:
            if self._home is None:
                data.pop(HOME_KEY, None)
            else:
                data[HOME_KEY] = self._home

    # Django salts what it signs with the name of the class.
    SessionStore.__qualname__, SessionStore.__module__ = store.__qualname__, store.__module__
    return SessionStore


def install() -> None:
    """Put such a class in the place of the engine's `SessionStore`.

    An engine that inherits from one of these needs its own all the same: it may load otherwise.
    """
    engine: Any = import_module(settings.SESSION_ENGINE)
    if "domicile_store" not in vars(engine.SessionStore):
        engine.SessionStore = _homed(engine.SessionStore)


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("AUTH_USER_MODEL", "DOMICILE", "INSTALLED_APPS"):
        _users_live_in_tenants.cache_clear()
    if setting == "SESSION_ENGINE":
        install()


setting_changed.connect(_reset, dispatch_uid="domicile.sessions")
