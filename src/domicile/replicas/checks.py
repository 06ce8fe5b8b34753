"""System checks of how replicas are read. The numbers are listed in `docs/checks.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Error as CheckError
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from domicile.conf import conf
from domicile.replicas.reading import Level
from domicile.routing import replicated


def _error(number: int, message: str, hint: str) -> CheckError:
    return CheckError(message, hint=hint, id=f"domicile.E{number:03}")


def _warning(number: int, message: str, hint: str) -> CheckWarning:
    return CheckWarning(message, hint=hint, id=f"domicile.W{number:03}")


def check_reading(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check how reads from replicas are to be."""
    return [*_values(), *_middleware()]


def _values() -> Iterator[CheckMessage]:
    levels = [level.value for level in Level if level is not Level.BOUNDED]
    if conf().consistency not in levels:
        yield _error(
            45,
            f"DOMICILE['CONSISTENCY'] is {conf().consistency!r}.",
            f"Use one of {', '.join(map(repr, levels))}.",
        )
    if conf().position_carrier not in ("cookie", "session", "nothing"):
        yield _error(
            46,
            f"DOMICILE['POSITION_CARRIER'] is {conf().position_carrier!r}.",
            "Use 'cookie', 'session' or 'nothing'.",
        )


def _middleware() -> Iterator[CheckMessage]:
    if not replicated().readers or conf().consistency != Level.READ_YOUR_WRITES.value:
        return
    from domicile.replicas.middleware import ReadYourWritesMiddleware

    classes = [import_string(path) for path in settings.MIDDLEWARE]
    if not any(
        isinstance(one, type) and issubclass(one, ReadYourWritesMiddleware) for one in classes
    ):
        yield _warning(
            47,
            "There are replicas, and visitors may miss what they wrote with their last request.",
            "Put 'domicile.replicas.middleware.ReadYourWritesMiddleware' first in MIDDLEWARE, or"
            " set DOMICILE['CONSISTENCY'] to 'eventual'.",
        )
