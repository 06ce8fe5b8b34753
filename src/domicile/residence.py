"""Which models live in tenants, which in the shared home, and which in both."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed

from domicile.conf import conf


class Residence(Enum):
    """Where the tables of an app are."""

    SHARED = "shared"
    TENANT = "tenant"
    BOTH = "both"


def app_labels(names: tuple[str, ...]) -> frozenset[str]:
    """Return the labels of apps given by label, by module or by path of their config class."""
    known = {config.label: config for config in apps.get_app_configs()}
    labels = set()
    for name in names:
        found = [
            label
            for label, config in known.items()
            if name in (label, config.name, f"{type(config).__module__}.{type(config).__name__}")
        ]
        labels.update(found or [name])
    return frozenset(labels)


@cache
def _tenant_labels() -> tuple[frozenset[str], frozenset[str]]:
    tenant = app_labels(conf().tenant_apps)
    return tenant, tenant & app_labels(conf().shared_apps)


@cache
def residence_of_app(app_label: str) -> Residence:
    """Return where the tables of that app are: shared, unless the settings say otherwise."""
    tenant, both = _tenant_labels()
    if app_label in both:
        return Residence.BOTH
    return Residence.TENANT if app_label in tenant else Residence.SHARED


def residence_of(model: Any) -> Residence:
    """Return where the table of a model, or of an instance's model, is."""
    return residence_of_app(model._meta.app_label)


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "INSTALLED_APPS"):
        _tenant_labels.cache_clear()
        residence_of_app.cache_clear()


setting_changed.connect(_reset, dispatch_uid="domicile.residence")
