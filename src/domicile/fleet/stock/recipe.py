"""What the project puts into a new home, as one digest."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed

from domicile.conf import conf
from domicile.fleet.replay.internals import Disk
from domicile.residence import Residence, residence_of, residence_of_app
from domicile.routing import lodging_of


@cache
def recipe(key: str) -> str:
    """Return a digest, equal as long as `migrate` would make equal homes in that placement.

    It is of the migrations (their files too: during development a migration changes and keeps its
    name), of the models, whose content types and permissions are written after them, and of the
    settings that tell what lives in homes.
    """
    digest = hashlib.md5(usedforsecurity=False)
    template = conf().placement(key)
    digest.update(f"{template.layout} {template.extra_schemas} {conf().roles}\n".encode())
    for part in (_migrations(), _apps(), _models()):
        for line in part:
            digest.update(line)
    return digest.hexdigest()


def _migrations() -> Iterator[bytes]:
    for (app_label, name), migration in sorted(Disk().disk_migrations.items()):
        yield f"migration {app_label} {name}\n".encode()
        yield _source(type(migration).__module__)


def _source(module: str) -> bytes:
    try:
        return Path(str(sys.modules[module].__file__)).read_bytes()
    except (KeyError, OSError):
        return b""


def _apps() -> Iterator[bytes]:
    for config in apps.get_app_configs():
        yield f"app {config.label} {residence_of_app(config.label)}\n".encode()


def _models() -> Iterator[bytes]:
    for model in apps.get_models(include_auto_created=True):
        if residence_of(model) is not Residence.SHARED:
            meta = model._meta
            rights = (meta.default_permissions, meta.permissions, str(meta.verbose_name_raw))
            yield f"model {meta.label} {meta.db_table} {rights}{_apart(model)}\n".encode()
            # Apps without migrations are told apart by their fields alone.
            yield " ".join(map(_field, meta.local_fields)).encode()


def _apart(model: Any) -> str:
    is_apart = residence_of(model) is Residence.TENANT and lodging_of(model) is not None
    return " in homes by time" if is_apart else ""


def _field(field: Any) -> str:
    words = (type(field).__name__, field.column, field.max_length, field.null, field.unique)
    return f"{words} {field.db_index}\n"


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "INSTALLED_APPS", "MIGRATION_MODULES"):
        recipe.cache_clear()


setting_changed.connect(_reset, dispatch_uid="domicile.recipe")
