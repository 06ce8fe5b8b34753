"""The one reader of settings: the `DOMICILE` dict as frozen dataclasses.

Nothing here raises on a wrong value that a check can name (`domicile.checks`); what cannot be read
at all raises `ImproperlyConfigured`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

if TYPE_CHECKING:
    from domicile.rules.base import Rule

Layout = Literal["schema", "database"]
#: What slugs, and the names of tenants' own homes, which may end in a number, and the names of
#: periods look like, in the names of homes.
_HOLES = {
    "{slug}": r"[a-z][a-z0-9-]*(?:_[0-9]+)?",
    "{period}": r"[0-9]{4}(?:_q[0-9]|(?:_[0-9]{2}){0,2})(?:_detached)?",
}
#: Between the key of a placement that is beside tenants' own and a database.
_AT = "@"

DEFAULT_RESOLVERS = (
    "domicile.resolvers.SubdomainResolver",
    "domicile.resolvers.DomainResolver",
)


@dataclass(frozen=True)
class PlacementTemplate:
    """One way to house a tenant, or the rows of a period: an entry of `DOMICILE["PLACEMENTS"]`.

    Either in a static database (`database`, an alias of `DATABASES`), as a schema of it or as
    another database on its server; or by settings of its own (`settings`), as in `DATABASES`.
    """

    key: str
    layout: Layout
    pattern: str
    database: str | None = None
    settings: Mapping[str, Any] | None = None
    #: Schemas that a tenant in a schema also reads from, after its own.
    extra_schemas: tuple[str, ...] = ("public",)
    #: It houses periods, whose names take the place of `{slug}` in `pattern`; or, where there is
    #: `{period}` in it too, the periods of tenants: such a name is "slug/period".
    houses_periods: bool = False
    #: The tenant whose periods are meant, where these are one tenant's.
    slug: str = ""

    @classmethod
    def from_settings(cls, key: str, entry: Mapping[str, Any]) -> PlacementTemplate:
        layout: Layout = "schema" if "SCHEMA" in entry else "database"
        pattern = str(entry.get("SCHEMA") or entry.get("NAME") or "")
        houses_periods = "{period}" in pattern
        is_beside_tenants = layout == "schema" and houses_periods and "{slug}" in pattern
        if "DATABASE" not in entry and "ENGINE" not in entry and not is_beside_tenants:
            raise ImproperlyConfigured(
                f"DOMICILE['PLACEMENTS'][{key!r}] names neither a DATABASE (an alias of DATABASES)"
                " nor an ENGINE of its own. Only a SCHEMA with '{slug}' and '{period}' can do"
                " without: it is in the database of each tenant's own home."
            )
        if not houses_periods and "{slug}" not in pattern:
            raise ImproperlyConfigured(
                f"DOMICILE['PLACEMENTS'][{key!r}] needs a SCHEMA or a NAME that contains"
                f" '{{slug}}', '{{period}}' or both (it has {pattern!r}), or all tenants, or all"
                " periods, would share one home."
            )
        if houses_periods and "{slug}" not in pattern:
            pattern = pattern.replace("{period}", "{slug}")
        own = {name: value for name, value in entry.items() if name != "DATABASE"}
        return cls(
            key=key,
            layout=layout,
            pattern=pattern,
            database=entry.get("DATABASE"),
            settings=own if "ENGINE" in entry else None,
            extra_schemas=tuple(entry.get("EXTRA_SCHEMAS", ("public",))),
            houses_periods=houses_periods,
        )

    @property
    def is_of_tenants(self) -> bool:
        """Whether what it houses is of one tenant each."""
        return not self.houses_periods or "{period}" in self.pattern

    @property
    def follows_tenants(self) -> bool:
        """Whether what it houses is in whatever database the tenant's own home is in."""
        return self.database is None and self.settings is None

    def at(self, database: str) -> PlacementTemplate:
        """Return the template of those homes that follow tenants to one database."""
        return replace(self, key=f"{self.key}{_AT}{database}", database=database)

    def locate(self, name: str) -> str:
        """Return the schema's or database's own name for a placement's `name`."""
        if self.houses_periods and self.is_of_tenants:
            slug, _, period = name.partition("/")
            return self.pattern.replace("{slug}", slug).replace("{period}", period)
        return self.pattern.replace("{slug}", name)

    def within(self, slug: str) -> PlacementTemplate:
        """Return the template of one tenant's periods: its homes, and nobody else's, fit it.

        :param slug: its slug; or the name of its own home, where these are beside it.
        """
        return replace(self, pattern=self.pattern.replace("{slug}", slug), slug=slug)

    @property
    def beginning(self) -> str:
        """How the names of all its homes begin."""
        return self.pattern.partition("{")[0]

    def name_at(self, located: str) -> str | None:
        """Return the `name` that is located there; None where no name is."""
        if self.houses_periods and self.is_of_tenants:
            found = self._expression.fullmatch(located)
            return None if found is None else f"{self.slug or found['slug']}/{found['period']}"
        before, *between, after = self.pattern.split("{slug}")
        name = located[len(before) :]
        name = name[: (len(name) - sum(map(len, between)) - len(after)) // (len(between) + 1)]
        return name if name and self.locate(name) == located else None

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        """What the homes of tenants' periods are called."""
        expression, seen = "", set[str]()
        for part in re.split(r"(\{slug\}|\{period\})", self.pattern):
            name = part[1:-1]
            if part in seen:
                expression += f"(?P={name})"
            elif part in _HOLES:
                expression += f"(?P<{name}>{_HOLES[part]})"
                seen.add(part)
            else:
                expression += re.escape(part)
        return re.compile(expression)


@dataclass(frozen=True)
class Settings:
    """`DOMICILE`, read once. Field names are the keys in lower case."""

    tenant_model: str = ""
    domain_model: str = ""
    tenant_apps: tuple[str, ...] = ()
    shared_apps: tuple[str, ...] = ()
    placements: Mapping[str, PlacementTemplate] = field(default_factory=dict)
    default_placement: str = ""
    shared_urlconf: str | None = None
    base_domains: tuple[str, ...] = ()
    public_hosts: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = DEFAULT_RESOLVERS
    header: str = "X-Tenant"
    trusted_proxies: tuple[str, ...] = ()
    path_prefix: str = "t"
    session_key: str = "tenant"
    user_attribute: str = "tenant"
    roles: bool = False
    #: Open connections of tenants with a database of their own, in one process.
    max_connections: int = 100
    #: Count those of `DATABASES` too.
    count_all_connections: bool = False
    #: Processes that run at the same time, and threads of each; 0: not said.
    processes: int = 0
    threads: int = 1
    #: Seconds to wait for one of them to become idle.
    connection_wait: float = 5.0
    #: Seconds within which every process sees a change of tenants or domains.
    registry_max_age: float = 5.0
    #: Hosts and slugs kept in memory.
    registry_size: int = 20_000
    #: Seconds, the `Retry-After` of a 503.
    retry_after: int = 120
    initial_data: str | None = None
    #: New tenants are clones of a template, where that can be.
    clone: bool = True
    #: Homes kept ready for new tenants: in each placement so many, or by placement.
    ready: int | Mapping[str, int] = 0
    base_engines: Mapping[str, str] = field(default_factory=dict)
    #: Where models live, by `domicile.rules`; the first that has a say about a model wins.
    rules: tuple[Rule, ...] = ()
    #: Foreign keys that may cross databases: "app.Model.field".
    relations: tuple[str, ...] = ()
    #: A write to one database while the `atomic()` of another is open: error, warn or allow.
    writes_outside_atomic: str = "allow"
    #: How fresh reads from replicas are: strong, read_your_writes or eventual.
    consistency: str = "read_your_writes"
    #: Milliseconds to wait for a replica that has not replayed what must be visible.
    position_wait: float = 30.0
    #: Seconds for which a position is carried, and then replayed wherever replicas are well.
    position_max_age: float = 300.0
    #: Seconds to read from the primary after a write of which no position is known.
    write_window: float = 10.0
    #: What carries positions to a visitor's next request: cookie, session or nothing.
    position_carrier: str = "cookie"
    position_cookie: str = "domicile_position"
    #: The header between services; None: it is neither read nor sent.
    position_header: str | None = None
    #: Nothing may be written, anywhere.
    read_only: bool = False
    #: Keys of `DOMICILE` that mean nothing (a check names them).
    unknown: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Settings:
        known = {f.name for f in fields(cls)} - {"unknown"}
        values: dict[str, Any] = {
            key.lower(): tuple(value) if isinstance(value, (list, set)) else value
            for key, value in given.items()
            if key.lower() in known
        }
        values["placements"] = {
            key: PlacementTemplate.from_settings(key, entry)
            for key, entry in given.get("PLACEMENTS", {}).items()
        }
        houses = [key for key, each in values["placements"].items() if not each.houses_periods]
        values.setdefault("default_placement", next(iter(houses), ""))
        unknown = tuple(key for key in given if key.lower() not in known or key != key.upper())
        return cls(**values, unknown=unknown)

    def placement(self, key: str) -> PlacementTemplate:
        """Return the template of that key, or of that of `PlacementTemplate.at()`;
        `ImproperlyConfigured` where there is none.
        """
        try:
            return self.placements[key]
        except KeyError:
            template = self._placement_at(key)
        if template is None:
            raise ImproperlyConfigured(
                f"There is no placement {key!r} in DOMICILE['PLACEMENTS'], only:"
                f" {', '.join(self.placements) or 'none at all'}."
            )
        return template

    def _placement_at(self, key: str) -> PlacementTemplate | None:
        name, _, database = key.partition(_AT)
        template = self.placements.get(name)
        follows = template is not None and template.follows_tenants
        return template.at(database) if follows and template and database else None

    def ready_homes(self, key: str) -> int:
        """Return how many homes are to be ready in a placement."""
        if self.placement(key).houses_periods:
            return 0
        return self.ready if isinstance(self.ready, int) else self.ready.get(key, 0)

    @cached_property
    def both_apps(self) -> frozenset[str]:
        return frozenset(self.tenant_apps) & frozenset(self.shared_apps)


@cache
def conf() -> Settings:
    """Return the project's settings."""
    return Settings.from_dict(getattr(django_settings, "DOMICILE", {}))


def _reset(*, setting: str, **_: Any) -> None:
    if setting == "DOMICILE":
        conf.cache_clear()


setting_changed.connect(_reset, dispatch_uid="domicile.conf")
