"""Which homes of the fleet are meant: all, or some by slug, by pattern and by field."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from django.core.exceptions import FieldError, ValidationError

from domicile.exceptions import UnknownTenant
from domicile.placement import Home, Placement, tenant_alias
from domicile.registry import tenant_model, visible_tenants

_WILD = frozenset("*?[")
#: Rows of tenants fetched at a time.
_CHUNK = 500


@dataclass(frozen=True)
class Selection:
    """Visible tenants: those that `only` names (all, if empty), less those that `exclude` names,
    whose fields are as `where` says.

    `only` and `exclude` hold slugs and patterns (`uni-*`, `?ccra`, `[a-m]*`); `where` look-ups of
    the tenant model, such as `{"status": "active"}`.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    where: Mapping[str, Any] = field(default_factory=dict)

    def __contains__(self, slug: str) -> bool:
        return (not self.only or _matches(slug, self.only)) and not _matches(slug, self.exclude)

    @property
    def at_most(self) -> int:
        """How many there can be, as far as that is known without a look."""
        if self.only and not any(map(_is_pattern, self.only)):
            return len(set(self.only))
        return sys.maxsize

    def check(self) -> None:
        """Raise `UnknownTenant` where a slug of `only` is nobody's, or no visible tenant's."""
        slugs = {name for name in self.only if not _is_pattern(name)}
        found = visible_tenants().filter(slug__in=slugs).values_list("slug", flat=True)
        missing = sorted(slugs - set(found)) if slugs else []
        if missing:
            raise UnknownTenant(
                f"There is no tenant {', '.join(map(repr, missing))}, or it is not complete."
                " `tenants list` shows which there are."
            )

    def homes(self) -> Iterator[Home]:
        """Yield the homes by slug, fetched in parts.

        :raises FieldError, ValidationError: `where` names no field of the tenant model, or a value
            that the field cannot have.
        """
        rows = self._tenants().values_list("slug", "placement_template", "placement_name")
        for slug, template, name in rows.iterator(chunk_size=_CHUNK):
            if slug in self:
                yield Home(tenant_alias(slug), Placement(template, name))

    def _tenants(self) -> Any:
        tenants = visible_tenants().filter(**self.where)
        if self.only and not any(map(_is_pattern, self.only)):
            tenants = tenants.filter(slug__in=self.only)
        return tenants


def current_homes(slugs: Iterable[str]) -> dict[str, Home]:
    """Return the homes of visible tenants by slug, as they are in the database this instant."""
    rows = visible_tenants().filter(slug__in=list(slugs))
    return {
        slug: Home(tenant_alias(slug), Placement(template, name))
        for slug, template, name in rows.values_list("slug", "placement_template", "placement_name")
    }


def conditions(given: Iterable[str]) -> dict[str, str]:
    """Return `FIELD=VALUE` words as look-ups of the tenant model, each tried once.

    :raises ValueError: a word has no `=`, or its field or value cannot be.
    """
    found: dict[str, str] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"A condition is FIELD=VALUE, not {word!r}.")
        try:
            tenant_model()._base_manager.filter(**{name: value})
        except (FieldError, ValidationError, ValueError) as error:
            raise ValueError(f"{word!r} cannot be asked of a tenant: {error}") from error
        found[name] = value
    return found


def _is_pattern(name: str) -> bool:
    return not _WILD.isdisjoint(name)


def _matches(slug: str, names: Iterable[str]) -> bool:
    return any(fnmatchcase(slug, name) for name in names)
