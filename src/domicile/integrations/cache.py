"""Django's cache framework: keys that belong to the active tenant."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from domicile.context import active_home


def tenant_key(key: Any, key_prefix: str, version: Any) -> str:
    """The `KEY_FUNCTION` of an entry of `CACHES` whose keys are each tenant's own.

    The parts are quoted, so that none of them can hold the colon that ends it. Where no tenant is
    active the first is empty, which is nobody's slug.
    """
    home = active_home()
    parts = ("" if home is None else home.slug, str(key_prefix), str(version))
    return ":".join([*(quote(part, safe="") for part in parts), str(key)])
