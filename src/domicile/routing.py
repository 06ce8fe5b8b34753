"""The rules of the project as tables: one look-up for each model.

Nothing here sends a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections

from domicile.conf import conf
from domicile.placement import (
    AT_PERIOD,
    AT_REPLICA,
    SHARED_ALIAS,
    SHARED_ALIASES,
    Home,
    is_tenant_alias,
)
from domicile.replicas.reading import primary as at_primary
from domicile.residence import Residence, residence_of
from domicile.rules.base import Lodging, Readers, Rule

NO_HINTS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Replicated:
    """What the rules say of replicas."""

    #: Database → who serves its reads.
    readers: Mapping[str, Readers]
    #: Replica → the database that it is a copy of.
    primaries: Mapping[str, str]


@cache
def rules() -> tuple[Rule, ...]:
    """Return the declared rules; what is no rule a check names."""
    return tuple(rule for rule in conf().rules if isinstance(rule, Rule))


@cache
def replicated() -> Replicated:
    """Return what the rules say of the databases of the settings."""
    readers = {}
    for alias in settings.DATABASES:
        found = (rule.readers(alias) for rule in rules())
        first = next((answer for answer in found if answer is not None), None)
        if first is not None:
            readers[alias] = first
    primaries = {replica: alias for alias, first in readers.items() for replica in first.aliases}
    return Replicated(readers, primaries)


#: Model → where its rows are, of the models that the project has now.
_lodgings: dict[Any, Lodging | None] = {}


def lodging_of(model: Any) -> Lodging | None:
    """Return how the rows of a model are found; None: in tenants or the shared home, by its app."""
    try:
        return _lodgings[model]
    except KeyError:
        lodging = _lodging_of(subject_of(model))
        if getattr(model._meta, "apps", None) is apps and apps.models_ready:
            # Others, such as those that migrations make for themselves, come and go.
            _lodgings[model] = lodging
        return lodging


class Route:
    """The way to a model's rows, as far as it is the same for every query. Of this one nothing is:
    the rule is asked each time.
    """

    def straight(self, home: Home | None, origin: str | None, write: bool) -> str | None:
        """Return the alias while `home` is active, without a look at hints; None: it takes one.

        :param origin: the alias of the home in which a queryset without hints was made.
        """
        return None

    def near(self, alias: str) -> str:
        """Return an alias to read from what is at `alias`."""
        if not is_tenant_alias(alias):
            return nearby(alias)
        # As of all rows by time, reads of a tenant's periods are the primary's.
        if AT_PERIOD in alias:
            return alias
        home = connections[alias].home  # type: ignore[attr-defined]
        return (home and _TO_TENANTS.straight(home, alias, write=False)) or alias


class FixedRoute(Route):
    """All rows are in one database."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.is_shared = alias == DEFAULT_DB_ALIAS
        self.readers = readers_of(alias)

    def straight(self, home: Home | None, origin: str | None, write: bool) -> str:
        alias = SHARED_ALIAS if self.is_shared and home is not None else self.alias
        readers = self.readers
        if write or readers is None or _is_bound(alias, readers):
            return alias
        chosen = readers.choose()
        return alias if chosen == DEFAULT_DB_ALIAS else chosen


class TenantRoute(Route):
    """Rows are in tenants, perhaps in the shared home too; no rule has a say, nor has a replica."""

    def straight(self, home: Home | None, origin: str | None, write: bool) -> str | None:
        return origin if home is not None and home.alias == origin else None

    def near(self, alias: str) -> str:
        return alias


class ReplicatedTenantRoute(Route):
    """The same, and there are replicas."""

    def straight(self, home: Home | None, origin: str | None, write: bool) -> str | None:
        if origin is None or home is None or home.alias != origin:
            return None
        template = home.placement.template
        host, readers = _hosts.get(template) or _host_of(template)
        if write or readers is None or _is_bound(origin, readers):
            return origin
        chosen = readers.choose()
        return origin if chosen == host else f"{origin}{AT_REPLICA}{chosen}"


_TO_TENANTS = ReplicatedTenantRoute()

#: Model → route, of the models that the project has now: what is looked up first.
routes: dict[Any, Route] = {}


def route_of(model: Any) -> Route:
    """Return what is compiled for a model."""
    route = routes.get(model)
    if route is None:
        route = _route_of(model)
        if model in _lodgings:
            routes[model] = route
    return route


def _route_of(model: Any) -> Route:
    lodging, is_shared = lodging_of(model), residence_of(model) is Residence.SHARED
    if is_shared and (lodging is None or lodging.is_fixed):
        return FixedRoute(DEFAULT_DB_ALIAS if lodging is None else lodging.alias)
    if lodging is not None:
        return Route()
    return _TO_TENANTS if replicated().readers else TenantRoute()


def _lodging_of(model: Any) -> Lodging | None:
    of_tenant = residence_of(model) is Residence.TENANT
    asked = (rule for rule in rules() if rule.reaches_tenants or not of_tenant)
    answers = (rule.lodging(model) for rule in asked)
    return next((answer for answer in answers if answer is not None), None)


def subject_of(model: Any) -> Any:
    """Return the model whose home is this one's: what a proxy stands for, whose many-to-many table
    it is, and the root of what it inherits from, since their rows are read by joins.
    """
    meta = model._meta
    if not hasattr(meta, "concrete_model"):  # What Django's cache in a database has for a model.
        return model
    subject = meta.auto_created or meta.concrete_model or model
    while subject._meta.parents:
        subject = next(iter(subject._meta.parents))._meta.concrete_model
    return subject


def readers_of(alias: str) -> Readers | None:
    """Return who else serves reads of a database; None: only itself."""
    return replicated().readers.get(DEFAULT_DB_ALIAS if alias in SHARED_ALIASES else alias)


class Source(NamedTuple):
    """Whose rows are read by an alias, and the alias itself where it is a replica's."""

    primary: str
    replica: str | None = None


#: Alias → source, where nothing that is found at run time makes it another: each row is looked up.
sources: dict[str | None, Source] = {}
#: At most so many.
_SOURCES = 4096


def primary_of(alias: str) -> str:
    """Return the alias whose rows are read by `alias`: a replica's primary, otherwise itself."""
    return source_of(alias).primary


def source_of(alias: str) -> Source:
    known = sources.get(alias)
    if known is not None:
        return known
    lasting = _lasting_primary(alias)
    primary = lasting or _primary_now(alias)
    source = Source(primary, None if primary == alias else alias)
    if lasting is not None:
        if len(sources) >= _SOURCES:
            sources.clear()
        sources[alias] = source
    return source


def _lasting_primary(alias: str) -> str | None:
    """Return the primary, where nothing that is found at run time makes it another."""
    from domicile.periods.places import is_period_alias

    found = replicated()
    primary = found.primaries.get(alias) if found.readers else alias
    if primary is None and is_tenant_alias(alias):
        primary = alias.partition(AT_REPLICA)[0]
    is_itself = alias in settings.DATABASES or alias in SHARED_ALIASES or is_period_alias(alias)
    return alias if primary is None and is_itself else primary


def _primary_now(alias: str) -> str:
    for primary, readers in replicated().readers.items():
        if alias in readers.aliases:
            return primary
    return alias


def database_of(alias: str) -> str:
    """Return the alias by which two aliases are compared: all of one cluster count as one."""
    return DEFAULT_DB_ALIAS if alias in SHARED_ALIASES else primary_of(alias)


def reading(model: Any, hints: Mapping[str, Any] = NO_HINTS) -> str | None:
    """Return the alias to read a model's rows from, which may be a replica's; None: by its app."""
    lodging = lodging_of(model)
    return None if lodging is None else nearby(lodging.for_read(hints))


def writing(model: Any, hints: Mapping[str, Any] = NO_HINTS) -> str | None:
    """Return the alias to write a model's rows to; None: by its app."""
    lodging = lodging_of(model)
    return None if lodging is None else lodging.for_write(hints)


def reading_primary() -> AbstractContextManager[object]:
    """Read no replica: what is read here decides what is written, as in `full_clean()`."""
    return at_primary() if replicated().readers else nullcontext()


def _is_bound(alias: str, readers: Readers) -> bool:
    """Whether what is read at `alias` has to come from there itself, which is in `atomic()`. What
    `TestCase` opens counts, but for a replica that is simulated in the same transaction.
    """
    opened = connections.opened(alias)  # type: ignore[attr-defined]
    if opened is None or not opened.in_atomic_block:
        return False
    return not (
        getattr(readers, "is_simulated", False)
        and all(getattr(block, "_from_testcase", False) for block in opened.atomic_blocks)
    )


def nearby(alias: str) -> str:
    """Return an alias to read from what is at `alias`: a replica's, outside its `atomic()`."""
    return _straight_to(alias).straight(None, None, write=False)


@lru_cache(maxsize=1024)
def _straight_to(alias: str) -> FixedRoute:
    return FixedRoute(alias)


#: Placement → the database where it has its homes, and who else serves its reads.
_hosts: dict[str, tuple[str | None, Readers | None]] = {}


def _host_of(template: str) -> tuple[str | None, Readers | None]:
    host = conf().placement(template).database
    found = _hosts[template] = (host, None if host is None else readers_of(host))
    return found


def reset() -> None:
    """Forget what was compiled."""
    for compiled in (rules, replicated, _straight_to):
        compiled.cache_clear()
    sources.clear()
    _hosts.clear()
    _lodgings.clear()
    routes.clear()


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "INSTALLED_APPS", "DATABASES"):
        reset()


setting_changed.connect(_reset, dispatch_uid="domicile.routing")
