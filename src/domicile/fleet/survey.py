"""What is seen of homes: what they have applied, whether they are alike, how they differ."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from django.db import connections

from domicile.backends.catalog import Facts
from domicile.backends.homes import Applied, HomeStore
from domicile.conf import conf
from domicile.connections import HomeConnectionHandler
from domicile.exceptions import NotSupported
from domicile.placement import Home

T = TypeVar("T")
Reading = Callable[[HomeStore, Sequence[str]], dict[str, T]]


def applied_in(homes: Iterable[Home]) -> dict[Home, Applied]:
    """Return the migrations that each home has applied; homes that are not there are left out."""
    return _read(homes, lambda store, names: store.applied(names))


def fingerprints_of(homes: Iterable[Home]) -> dict[Home, str]:
    """Return what tells each home's looks from others'; homes that are not there are left out.

    Those of different engines cannot be compared.
    """
    return _read(homes, lambda store, names: store.fingerprints(names))


def differences(home: Home, model: Home) -> list[str]:
    """Return in words how `home` differs from `model`; nothing where they are alike.

    `HomeMissing` where one of them is not there, `NotSupported` where their engines differ.
    """
    (here, name), (there, other) = _place(home), _place(model)
    if here.connection.vendor != there.connection.vendor:
        raise NotSupported(
            f"{home.alias!r} is in {here.connection.display_name} and {model.alias!r} in"
            f" {there.connection.display_name}: what they look like cannot be compared."
        )
    return drift(here.facts(name), there.facts(other))


def drift(facts: Facts, model: Facts) -> list[str]:
    """Return in words how facts differ from those of a model."""
    missing = _outermost(model.keys() - facts.keys())
    extra = _outermost(facts.keys() - model.keys())
    changed = [name for name in facts.keys() & model.keys() if facts[name] != model[name]]
    return [
        *(f"{name} is missing" for name in missing),
        *(f"{name} is not in the others" for name in extra),
        *(
            f"{name} is {facts[name] or 'plain'}, not {model[name] or 'plain'}"
            for name in sorted(changed)
        ),
    ]


def facts_beside(home: Home) -> Facts:
    """Return what a home looks like that is beside its tenant's own, which no fact then names."""
    store, name = _place(home)
    facts = store.facts(name)
    if home.beside is None:
        return facts
    own = re.escape(conf().placement(home.beside.template).locate(home.beside.name))
    named = re.compile(rf'(?<![\w"])("?){own}\1\.')
    return {fact: named.sub("", definition) for fact, definition in facts.items()}


def _outermost(names: Iterable[str]) -> list[str]:
    """Leave out what belongs to a table that is named itself: its columns, its indexes, …"""
    names = sorted(names)
    tables = [name.partition(" ")[2] for name in names if name.startswith("table ")]
    owned = tuple(f" {table}{end}" for table in tables for end in (".", "\0"))
    return [
        name
        for name in names
        if name.startswith("table ") or not any(part in f"{name}\0" for part in owned)
    ]


def _read(homes: Iterable[Home], reading: Reading[T]) -> dict[Home, T]:
    """Ask each placement's store once for all its homes."""
    named: dict[str, dict[str, Home]] = defaultdict(dict)
    for home in homes:
        template = conf().placement(home.placement.template)
        named[template.key][template.locate(home.placement.name)] = home
    found: dict[Home, T] = {}
    for key, by_name in named.items():
        answers = reading(_store(key), list(by_name))
        found.update({by_name[name]: answer for name, answer in answers.items()})
    return found


def _place(home: Home) -> tuple[HomeStore, str]:
    """Return who keeps a home, and under which name."""
    template = conf().placement(home.placement.template)
    return _store(template.key), template.locate(home.placement.name)


def _store(key: str) -> HomeStore:
    handler: HomeConnectionHandler = connections  # type: ignore[assignment]
    template = conf().placement(key)
    store: HomeStore = handler.host(template).store(template)
    return store
