"""`django.contrib.sites` keeps sites by id and host for the whole process; here, for each home."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from django.apps import apps

from domicile.context import active_home


class CachePerHome(MutableMapping[Any, Any]):
    """A dict whose keys belong to the active tenant."""

    def __init__(self) -> None:
        self._items: dict[tuple[str | None, Any], Any] = {}

    def _key(self, key: Any) -> tuple[str | None, Any]:
        home = active_home()
        return (None if home is None else home.alias, key)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._items[self._key(key)]
        except KeyError:
            raise KeyError(key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        self._items[self._key(key)] = value

    def __delitem__(self, key: Any) -> None:
        del self._items[self._key(key)]

    def __iter__(self) -> Iterator[Any]:
        home = self._key(None)[0]
        return (key for alias, key in list(self._items) if alias == home)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        self._items.clear()


def install() -> None:
    """Put such a dict in the place of `django.contrib.sites.models.SITE_CACHE`."""
    if not apps.is_installed("django.contrib.sites"):
        return
    from django.contrib.sites import models

    cache = CachePerHome()
    models.SITE_CACHE = cache

    def clear_cache(self: Any) -> None:
        """Clear the ``Site`` object cache (Django's own would put a plain dict in its place)."""
        cache.clear()

    models.SiteManager.clear_cache = clear_cache  # type: ignore[method-assign]
