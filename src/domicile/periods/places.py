"""Where rules `Periods` put rows: their placements, what these are beside, and the aliases."""

from __future__ import annotations

from functools import cache

from django.core.exceptions import ImproperlyConfigured

from domicile import routing
from domicile.conf import PlacementTemplate, conf
from domicile.context import active_home
from domicile.exceptions import NotSupported
from domicile.periods.calendar import Calendar
from domicile.periods.names import faults_of
from domicile.placement import AT_PERIOD, Home, is_tenant_alias
from domicile.registry import registry
from domicile.rules.periods import Periods

PREFIX = "period:"


def is_period_alias(alias: str | None) -> bool:
    """Tell whether an alias is that of one period's home, a tenant's or not."""
    if alias is None or alias.count(":") != 2:
        return False
    return alias.startswith(PREFIX) or (AT_PERIOD in alias and is_tenant_alias(alias))


def period_rules() -> list[Periods]:
    return [rule for rule in routing.rules() if isinstance(rule, Periods)]


@cache
def calendar_of(placement: str) -> Calendar:
    """Return by what periods the rules part rows in a placement."""
    rule = next((rule for rule in period_rules() if rule.placement == placement), None)
    if rule is None:
        raise ImproperlyConfigured(
            f"No rule of DOMICILE['RULES'] has the placement {placement!r} for its periods."
        )
    template = conf().placement(placement)
    faults = list(faults_of(template, rule.every)) if template.is_of_tenants else []
    if faults:
        raise ImproperlyConfigured(f"DOMICILE['PLACEMENTS'][{placement!r}]: {'; '.join(faults)}.")
    return Calendar(rule.every, rule.time_zone)


def placements(*, of_tenants: bool) -> list[str]:
    """Return the placements of the rules, each once: those of tenants' periods, or the others."""
    found = (conf().placement(each) for each in dict.fromkeys(r.placement for r in period_rules()))
    return [template.key for template in found if template.is_of_tenants is of_tenants]


def is_beside(template: PlacementTemplate, own: PlacementTemplate) -> bool:
    """Tell whether both place homes as schemas of one database."""
    return (
        template.layout == own.layout == "schema"
        and own.database is not None
        and (template.follows_tenants or template.database == own.database)
    )


def can_house(template: PlacementTemplate, own: PlacementTemplate) -> bool:
    """Tell whether tenants of a placement can have homes by time in another."""
    return not template.follows_tenants or is_beside(template, own)


def template_of(placement: str, own: PlacementTemplate) -> PlacementTemplate:
    """Return where the homes by time are of a tenant whose own is where `own` says; `NotSupported`
    where they cannot be.
    """
    template = conf().placement(placement)
    if not template.follows_tenants:
        return template
    if not is_beside(template, own):
        raise NotSupported(
            f"Tenants of placement {own.key!r} cannot have the homes by time of placement"
            f" {placement!r}: it has no DATABASE, so they are schemas beside each tenant's own, and"
            f" {own.key!r} places no schemas in a database of DATABASES. Give {placement!r} a"
            " DATABASE or an ENGINE, or choose another placement for the tenant. Nothing was done."
        )
    return template.at(str(own.database))


def templates_of(template: PlacementTemplate) -> list[PlacementTemplate]:
    """Return the same for each database where its homes can be."""
    if not template.follows_tenants:
        return [template]
    owns = [own for own in conf().placements.values() if not own.houses_periods]
    found = dict.fromkeys(own.database for own in owns if is_beside(template, own))
    return [template.at(str(database)) for database in found]


def home_of_tenant(alias: str) -> Home:
    """Return a tenant's own home by its alias; also of one that nobody but its maker sees."""
    home = active_home()
    return home if home is not None and home.alias == alias else registry.home_of(alias)
