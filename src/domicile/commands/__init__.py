"""The actions of `tenants`, a module for each subject.

Each module has `add_parsers(actions)`, and for each action a function `do_<action>(output,
**options)` that prints by `domicile.console.Output`. Options that argparse gives to every command,
such as `verbosity`, are among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from domicile.exceptions import DomicileError
from domicile.fleet.tables import own_tables

if TYPE_CHECKING:
    from domicile.console import Output
    from domicile.fleet.migrations import Progress

_MODULES = ("life", "clone", "migrate", "check", "move")


def modules() -> list[ModuleType]:
    return [import_module(f"{__name__}.{name}") for name in _MODULES]


def handler(action: str) -> Callable[..., None]:
    """Return the function that does an action."""
    name = f"do_{action}"
    return next(getattr(module, name) for module in modules() if hasattr(module, name))


@contextmanager
def errors_told() -> Iterator[None]:
    """Have what went wrong told in a line, as far as Domicile knows what to do about it."""
    try:
        with own_tables():
            yield
    except DomicileError as error:
        raise CommandError(str(error)) from error


def add_verbosity(*parsers: Any) -> None:
    """Take `-v` after the action too; Django takes it only before."""
    for parser in parsers:
        parser.add_argument("-v", "--verbosity", type=int, default=argparse.SUPPRESS)


def telling(output: Output, prefix: str = "") -> Progress:
    """Return what prints each step, as Django's own commands do from verbosity 2 on."""
    return lambda step: output.line(f"  {prefix}{step}")
