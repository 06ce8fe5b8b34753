"""System checks of how replicas are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage
from django.utils.module_loading import import_string

from domicile.conf import conf
from domicile.findings import Findings, error, gathered, warning
from domicile.replicas.reading import Level
from domicile.routing import replicated

_OURS = "domicile.replicas.middleware.ReadYourWritesMiddleware"
#: Such middlewares may stand before it.
_WRITE_NOTHING = ("django.middleware.", "domicile.")


def check_reading(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check how reads from replicas are to be."""
    return gathered(_values, _middleware)


def _values() -> Findings:
    levels = [level.value for level in Level if level is not Level.BOUNDED]
    if conf().consistency not in levels:
        yield error(
            45,
            f"DOMICILE['CONSISTENCY'] is {conf().consistency!r}.",
            f"Use one of {', '.join(map(repr, levels))}.",
        )
    if conf().position_carrier not in ("cookie", "session", "nothing"):
        yield error(
            46,
            f"DOMICILE['POSITION_CARRIER'] is {conf().position_carrier!r}.",
            "Use 'cookie', 'session' or 'nothing'.",
        )


def _middleware() -> Findings:
    from domicile.replicas.middleware import ReadYourWritesMiddleware

    ours = [_is(path, ReadYourWritesMiddleware) for path in settings.MIDDLEWARE]
    if any(ours):
        yield from _order(settings.MIDDLEWARE[: ours.index(True)])
        return
    if replicated().readers and conf().consistency == Level.READ_YOUR_WRITES.value:
        yield warning(
            47,
            "There are replicas, and visitors may miss what they wrote with their last request.",
            f"Put {_OURS!r} first in MIDDLEWARE, or set DOMICILE['CONSISTENCY'] to 'eventual'.",
        )
    if conf().read_only:
        yield warning(
            65,
            "DOMICILE['READ_ONLY'] is set, and requests may write: no middleware refuses that.",
            f"Put {_OURS!r} first in MIDDLEWARE.",
        )


def _order(before: Sequence[str]) -> Findings:
    in_session = conf().position_carrier == "session"
    may_write = [
        path
        for path in before
        if not path.startswith(_WRITE_NOTHING) and not (in_session and _is(path, SessionMiddleware))
    ]
    if may_write:
        yield warning(
            64,
            f"{', '.join(map(repr, may_write))} in MIDDLEWARE before {_OURS!r}: a visitor may miss"
            " what is written there, and a read-only site does not refuse it.",
            "Put ours first; or silence this, if the others write nothing.",
        )


def _is(path: str, kind: type) -> bool:
    named = import_string(path)
    return isinstance(named, type) and issubclass(named, kind)
