"""Where rules `Periods` put rows: their placements, what these are beside, and the aliases."""

from __future__ import annotations

from functools import cache

from django.core.exceptions import ImproperlyConfigured

from domicile import routing
from domicile.conf import PlacementTemplate, conf
from domicile.context import active_home
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
    return template.layout == own.layout == "schema" and (
        template.database is not None and template.database == own.database
    )


def home_of_tenant(alias: str) -> Home:
    """Return a tenant's own home by its alias; also of one that nobody but its maker sees."""
    home = active_home()
    return home if home is not None and home.alias == alias else registry.home_of(alias)
