"""The switch by which a whole site becomes read-only: for a move, a fail-over, an upgrade.

It is in the project's cache, so that it works while no database takes a write; the processes need a
cache that they share. `DOMICILE["READ_ONLY"]` does the same for as long as it is in the settings.
"""

from __future__ import annotations

import logging
import time

from django.core.cache import cache
from django.core.signals import setting_changed

from domicile.conf import conf

logger = logging.getLogger("domicile.replicas")

_KEY = "domicile.read_only"
_REASON = "The site is read-only for a while."

#: What was last seen, and until when that holds (`time.monotonic()`).
_seen: tuple[str | None, float] = (None, 0.0)


def set_read_only(on: bool, reason: str = _REASON) -> None:
    """Refuse every write of every request and task of the site, or no longer.

    Other processes see it within `REGISTRY_MAX_AGE` seconds. Commands and plain scripts may write
    on: who switches has something to do.

    :param reason: what visitors and errors are told.
    """
    if on:
        cache.set(_KEY, reason, timeout=None)
    else:
        cache.delete(_KEY)
    _forget()


def site_refusal() -> str | None:
    """Return why the site's writes are refused; None: they are not."""
    refusal, until = _seen
    return refusal if time.monotonic() < until else _look()


def _look() -> str | None:
    global _seen  # noqa: PLW0603 - one value, replaced whole
    refusal, now = _seen[0], time.monotonic()
    try:
        refusal = _REASON if conf().read_only else cache.get(_KEY)
    except Exception as error:  # Each cache has its own.
        logger.warning("Whether the site is read-only was not to be learned: %s", error)
    _seen = (refusal, now + conf().registry_max_age)
    return refusal


def _forget(*, setting: str = "DOMICILE", **_: object) -> None:
    global _seen  # noqa: PLW0603
    if setting in ("DOMICILE", "CACHES"):
        _seen = (None, 0.0)


setting_changed.connect(_forget, dispatch_uid="domicile.replicas.switch")
