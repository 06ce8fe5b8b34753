"""What system checks find: each with a number that stays, which `docs/checks.md` lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

Findings = Iterator[CheckMessage]


def error(number: int, message: str, hint: str) -> Error:
    """Return a fault; the hint names the fix."""
    return Error(message, hint=hint, id=f"domicile.E{number:03}")


def warning(number: int, message: str, hint: str, of: object = None) -> Warning:
    """Return a doubt, which may be of one object; the hint names the fix."""
    return Warning(message, hint=hint, obj=of, id=f"domicile.W{number:03}")


def gathered(*parts: Callable[[], Findings]) -> list[CheckMessage]:
    """Return what all parts of a check find, as Django asks for it."""
    return [finding for part in parts for finding in part()]
