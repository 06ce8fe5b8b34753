"""Which of Django's engines a Domicile engine stands on."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from domicile.conf import conf


def base_engine(vendor: str) -> ModuleType:
    """Return the `base` module of the engine beneath `domicile.backends.<vendor>`.

    It is Django's own unless `DOMICILE["BASE_ENGINES"]` names another for this vendor, such as
    `{"postgresql": "django.contrib.gis.db.backends.postgis"}`.
    """
    name = conf().base_engines.get(vendor, f"django.db.backends.{vendor}")
    return import_module(f"{name}.base")
