"""The whole map: every database, every model's home, and the relations between databases.

It is read from the settings, the models and the registry; no database is asked how it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from domicile.added import added_databases, find_added
from domicile.conf import PlacementTemplate, conf
from domicile.explain import rule_of
from domicile.migrating import is_migrated_in
from domicile.periods.lodging import PeriodLodging
from domicile.periods.places import templates_of
from domicile.placement import AT_PERIOD, EACH_TENANT
from domicile.relations import crosses, is_declared_field
from domicile.residence import Residence, residence_of
from domicile.routing import lodging_of, readers_of, rules
from domicile.rules.base import Lodging


@dataclass(frozen=True)
class Database:
    """An entry of `DATABASES`, one that was added at run time, or the homes of all tenants."""

    alias: str
    #: "postgresql", "mysql", "sqlite3", …; of tenants, all that their homes are on.
    engine: str
    #: Name and server, as far as the settings tell.
    address: str = ""
    #: The ways in which tenants, or periods, are placed.
    placements: tuple[str, ...] = ()
    #: The database that it is a copy of; empty: none.
    replica_of: str = ""
    #: By which policy its replicas are chosen; empty: it has none.
    policy: str = ""
    is_migrated: bool = True
    is_writable: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual about it, in words."""
        if self.replica_of:
            return (f"replica of {self.replica_of}",)
        notes = {
            f"read by {self.policy}": bool(self.policy),
            "never migrated": not self.is_migrated,
            "read-only": not self.is_writable,
        }
        return (*self.placements, *(words for words, holds in notes.items() if holds))


@dataclass(frozen=True)
class House:
    """A model, and where its rows are."""

    model: str
    table: str
    #: Where it has a table: one database, or tenants and the shared home.
    aliases: tuple[str, ...]
    #: As `Route.rule` tells it.
    rule: str
    #: What else there is to know: "one table a month".
    note: str = ""

    @property
    def app(self) -> str:
        return self.model.partition(".")[0]


@dataclass(frozen=True)
class Crossing:
    """A relation between models in different databases."""

    #: "app.Model.field".
    field: str
    model: str
    alias: str
    to_model: str
    to_alias: str
    #: Whether `DOMICILE["RELATIONS"]` names it.
    is_declared: bool


@dataclass(frozen=True)
class Map:
    """Databases in the order of `DATABASES`, each with its replicas after it; models by label;
    relations by field.
    """

    databases: tuple[Database, ...]
    houses: tuple[House, ...]
    crossings: tuple[Crossing, ...]

    @cached_property
    def by_alias(self) -> Mapping[str, tuple[House, ...]]:
        """The models of each database that has any."""
        aliases = dict.fromkeys(alias for house in self.houses for alias in house.aliases)
        return {
            alias: tuple(house for house in self.houses if alias in house.aliases)
            for alias in aliases
        }

    def replicas_of(self, alias: str) -> tuple[Database, ...]:
        return tuple(database for database in self.databases if database.replica_of == alias)

    def as_record(self) -> dict[str, Any]:
        """Return it as a dict of plain values, for JSON."""
        return {
            "databases": [asdict(database) for database in self.databases],
            "models": [asdict(house) for house in self.houses],
            "relations": [asdict(crossing) for crossing in self.crossings],
        }


def draw_map() -> Map:
    """Return the map of the project as it is configured now."""
    models = [model for model in apps.get_models() if not model._meta.proxy]
    houses = sorted((_house(model) for model in models), key=lambda house: house.model)
    crossings = sorted(_crossings(models), key=lambda crossing: crossing.field)
    return Map(tuple(_databases()), tuple(houses), tuple(crossings))


def _databases() -> Iterator[Database]:
    known = {
        **settings.DATABASES,
        **{alias: find_added(alias) or {} for alias in added_databases()},
    }
    replicas = {alias: _replicas_of(alias) for alias in known}
    copies = {copy for found in replicas.values() for copy in found}
    for alias, given in known.items():
        if alias in copies:
            continue
        yield Database(
            alias,
            _engine(given),
            _address(given),
            policy=_policy(alias),
            is_migrated=is_migrated_in(alias),
            is_writable=all(lodging.is_writable for lodging in _lodgings_at(alias)),
        )
        for copy in replicas[alias]:
            told = known.get(copy, given)  # One that was found at run time is of the same engine.
            address = _address(told) if copy in known else "found at run time"
            yield Database(copy, _engine(told), address, replica_of=alias, is_migrated=False)
    if any(residence_of(model) is not Residence.SHARED for model in apps.get_models()):
        yield _tenants()
    yield from _elsewhere(known)


def _known() -> dict[str, Mapping[str, Any]]:
    """Return the settings of each database that has an alias of its own."""
    added = {alias: find_added(alias) or {} for alias in added_databases()}
    return {**settings.DATABASES, **added}


def _elsewhere(known: Collection[str]) -> Iterator[Database]:
    """Yield what else rules name: databases by period, and those that are missing."""
    found = filter(None, map(lodging_of, apps.get_models()))
    lodgings = {_alias_of(lodging): lodging for lodging in found}
    for alias, lodging in lodgings.items():
        if alias in known:
            continue
        if isinstance(lodging, PeriodLodging):
            template = conf().placement(lodging.rule.placement)
            yield Database(alias, _engine_of(template), placements=(_told(template),))
        else:
            yield Database(alias, "?", "not in DATABASES")


def _tenants() -> Database:
    templates = [each for each in conf().placements.values() if not each.houses_periods]
    engines = dict.fromkeys(map(_engine_of, templates))
    told = tuple(map(_told, templates))
    return Database(EACH_TENANT, ", ".join(engines), placements=told)


def _engine_of(template: PlacementTemplate) -> str:
    if template.follows_tenants:
        return ", ".join(dict.fromkeys(map(_engine_of, templates_of(template))))
    return _engine(template.settings or settings.DATABASES.get(template.database or "", {}))


def _told(template: PlacementTemplate) -> str:
    if template.follows_tenants:
        return f"{template.key} (beside each tenant's own)"
    if template.database is None:
        return f"{template.key} ({_engine_of(template)})"
    preposition = "in" if template.layout == "schema" else "beside"
    return f"{template.key} ({preposition} {template.database})"


def _lodgings_at(alias: str) -> list[Any]:
    found = (lodging_of(model) for model in apps.get_models())
    return [lodging for lodging in found if lodging is not None and lodging.alias == alias]


def _replicas_of(alias: str) -> tuple[str, ...]:
    readers = readers_of(alias)
    return () if readers is None else tuple(readers.aliases)


def _policy(alias: str) -> str:
    rule = next((rule for rule in rules() if rule.readers(alias) is not None), None)
    if rule is None:
        return ""
    policy = getattr(rule, "policy", "")
    return policy if isinstance(policy, str) else type(rule).__name__


def _engine(given: Mapping[str, Any]) -> str:
    return str(given.get("ENGINE", "?")).rpartition(".")[2]


def _address(given: Mapping[str, Any]) -> str:
    name = str(given.get("NAME") or "")
    if _engine(given) == "sqlite3":
        return PurePath(name).name
    port = f":{given['PORT']}" if given.get("PORT") else ""
    return f"{name} at {given['HOST']}{port}" if given.get("HOST") else name


def _house(model: type[Model]) -> House:
    aliases = _aliases_of(model)
    note = "" if model._meta.managed else "unmanaged"
    lodging = lodging_of(model)
    if isinstance(lodging, PeriodLodging):
        note = f"one per {lodging.rule.every}"
    decided = dict.fromkeys(rule_of(model, alias) for alias in aliases)
    return House(model._meta.label, model._meta.db_table, aliases, ", ".join(decided), note)


def _aliases_of(model: type[Model]) -> tuple[str, ...]:
    """Return where a model has a table, the place outside of tenants first."""
    lodging, residence = lodging_of(model), residence_of(model)
    here = DEFAULT_DB_ALIAS if lodging is None else _alias_of(lodging)
    if residence is Residence.TENANT and lodging is not None:
        return (here,)
    return {
        Residence.SHARED: (here,),
        Residence.BOTH: (here, EACH_TENANT),
        Residence.TENANT: (EACH_TENANT,),
    }[residence]


def _alias_of(lodging: Lodging) -> str:
    if isinstance(lodging, PeriodLodging) and lodging.is_of_tenants:
        return f"{EACH_TENANT}{AT_PERIOD}{lodging.rule.placement}"
    return lodging.alias


def _crossings(models: list[type[Model]]) -> Iterator[Crossing]:
    for model in models:
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            other = field.related_model
            if isinstance(other, type) and crosses(model, other):
                yield Crossing(
                    f"{model._meta.label}.{field.name}",
                    model._meta.label,
                    _aliases_of(model)[0],
                    other._meta.label,
                    _aliases_of(other)[0],
                    is_declared_field(field),
                )
