"""What can be wrong with a rule `Periods`."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.apps import apps
from django.core.checks import CheckMessage
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from domicile.conf import PlacementTemplate, conf
from domicile.findings import Findings, error, warning
from domicile.periods.calendar import EVERY
from domicile.periods.names import faults_of
from domicile.periods.places import can_house, period_rules
from domicile.periods.querysets import PeriodManager
from domicile.residence import Residence, residence_of_app
from domicile.rules.periods import Periods

#: What rules of one placement must say alike: they share its homes.
_COMMON = ("every", "time_zone", "keep", "retire", "archive")
_CHOICES = {
    "every": EVERY,
    "unbounded": ("refuse", "fan_out"),
    "missing": ("make", "refuse"),
    "changed": ("refuse", "move"),
    "retire": ("drop", "detach", "archive"),
}


def check_rule(rule: Periods) -> Findings:
    yield from _model(rule)
    yield from _placement(rule)
    yield from _options(rule)


def _model(rule: Periods) -> Findings:
    try:
        model: Any = apps.get_model(rule.model)
        field = model._meta.get_field(rule.field)
    except (LookupError, ValueError, FieldDoesNotExist):
        yield _error(50, rule, "there is no such model, or field", "Name 'app.Model' and a field.")
        return
    if not isinstance(field, models.DateField):  # A DateTimeField is one.
        yield _error(
            51,
            rule,
            f"{field} is neither a date nor a moment",
            "Name a DateField or DateTimeField.",
        )
    elif field.auto_now or field.auto_now_add or field.has_db_default():
        yield _error(
            52,
            rule,
            f"{field} is set after the row's home is chosen",
            "Use default=timezone.now in place of auto_now, auto_now_add or db_default.",
        )
    if not isinstance(model._default_manager, PeriodManager):
        yield _error(
            53,
            rule,
            "the model's manager does not know of periods",
            "Declare `objects = domicile.PeriodManager()` as its first manager.",
        )
    if isinstance(model._meta.pk, models.AutoField):
        yield warning(
            54,
            f"{_named(rule)}: the primary key is counted in each home by itself, so that rows of"
            " different periods have the same.",
            "Use a UUIDField with a default, or another key that is unique everywhere.",
        )


def _placement(rule: Periods) -> Findings:
    template = conf().placements.get(rule.placement)
    if template is None or not template.houses_periods:
        yield _error(
            55,
            rule,
            f"there is no placement {rule.placement!r} for periods",
            "Declare one in DOMICILE['PLACEMENTS'] whose SCHEMA or NAME contains '{period}'.",
        )
    else:
        yield from _tenants(rule, template)
    for other in period_rules():
        if other.placement == rule.placement and any(
            getattr(other, name) != getattr(rule, name) for name in _COMMON
        ):
            yield _error(
                56,
                rule,
                f"{other.model} is in the same homes, and its rule says otherwise",
                f"Give both the same {', '.join(_COMMON)}, or each a placement of its own.",
            )
            return


def _tenants(rule: Periods, template: PlacementTemplate) -> Findings:
    label = rule.model.partition(".")[0]
    is_tenants_app = residence_of_app(label) is Residence.TENANT
    if is_tenants_app is not template.is_of_tenants:
        lives, names = ("in tenants", "both '{slug}' and") if is_tenants_app else ("once", "only")
        yield _error(
            58,
            rule,
            f"the model lives {lives}, and placement {rule.placement!r} is for"
            f" {'tenants' if template.is_of_tenants else 'what is no tenant'}'s periods",
            f"Name a placement whose SCHEMA or NAME contains {names} '{{period}}'.",
        )
    elif template.is_of_tenants and rule.every in EVERY:
        yield from _neighbours(rule, template)
        for fault in faults_of(template, rule.every):
            yield _error(
                59,
                rule,
                fault,
                "Name its homes otherwise, such as 't_{slug}_{period}': slugs have no underscore.",
            )


def _neighbours(rule: Periods, template: PlacementTemplate) -> Findings:
    for own in conf().placements.values():
        if not own.houses_periods and not can_house(template, own):
            yield _error(
                66,
                rule,
                f"placement {template.key!r} has no DATABASE, so its homes are schemas beside each"
                f" tenant's own, which tenants of placement {own.key!r} cannot have",
                f"Give {template.key!r} a DATABASE or an ENGINE, or have {own.key!r} place schemas"
                " in a DATABASE.",
            )


def _options(rule: Periods) -> Findings:
    for name, choices in _CHOICES.items():
        if getattr(rule, name) not in choices:
            yield _error(57, rule, f"{name} is {getattr(rule, name)!r}", f"One of: {choices}.")
    for name in ("ahead", "keep", "max_periods"):
        value, least = getattr(rule, name), 0 if name == "ahead" else 1
        if value is not None and (not isinstance(value, int) or value < least):
            yield _error(57, rule, f"{name} is {value!r}", f"Give a number from {least} on.")
    try:
        ZoneInfo(rule.time_zone)
    except Exception:
        hint = "Give a name such as 'Europe/Madrid'."
        yield _error(57, rule, f"time_zone is {rule.time_zone!r}", hint)
    if rule.retire == "archive" and not rule.archive:
        yield _error(57, rule, "archive names no folder", "Give the folder of the archives.")


def _error(number: int, rule: Periods, fault: str, hint: str) -> CheckMessage:
    return error(number, f"{_named(rule)}: {fault}.", hint)


def _named(rule: Periods) -> str:
    return f"Periods({rule.model!r}, field={rule.field!r})"
