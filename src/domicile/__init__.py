"""Domicile decides where every row of a Django project lives, and takes every query there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from domicile.context import bind, current_tenant, no_tenant

if TYPE_CHECKING:
    from domicile.context import LateActivation
    from domicile.fleet.lifecycle import (
        acreate_tenant,
        adrop_tenant,
        amaintain_tenant,
        amigrate_tenant,
        arename_tenant,
        aresume_tenant,
        asuspend_tenant,
        create_tenant,
        drop_expired,
        drop_tenant,
        maintain_tenant,
        migrate_tenant,
        rename_tenant,
        resume_tenant,
        suspend_tenant,
    )
    from domicile.fleet.moves.archive import export_tenant, import_tenant
    from domicile.fleet.moves.copying import copy_tenant
    from domicile.fleet.moves.move import move_tenant
    from domicile.fleet.runs.control import migrate_fleet
    from domicile.models import Domain, Tenant

__version__ = "0.1.0"

__all__ = [
    "Domain",
    "Tenant",
    "acreate_tenant",
    "activate",
    "adrop_tenant",
    "amaintain_tenant",
    "amigrate_tenant",
    "arename_tenant",
    "aresume_tenant",
    "asuspend_tenant",
    "bind",
    "copy_tenant",
    "create_tenant",
    "current_tenant",
    "drop_expired",
    "drop_tenant",
    "export_tenant",
    "import_tenant",
    "maintain_tenant",
    "migrate_fleet",
    "migrate_tenant",
    "move_tenant",
    "no_tenant",
    "rename_tenant",
    "resume_tenant",
    "suspend_tenant",
]

#: Names that can only be imported once Django's settings are there, hence when they are asked for.
_MODULES = {
    "Domain": "domicile.models",
    "Tenant": "domicile.models",
    "copy_tenant": "domicile.fleet.moves.copying",
    "export_tenant": "domicile.fleet.moves.archive",
    "import_tenant": "domicile.fleet.moves.archive",
    "migrate_fleet": "domicile.fleet.runs.control",
    "move_tenant": "domicile.fleet.moves.move",
}
_LIFECYCLE = "domicile.fleet.lifecycle"


def activate(tenant: Any) -> LateActivation:
    """Return what makes a tenant, given as an instance or by slug, the active one.

    For `with`, `async with`, or as a decorator of functions, coroutines and generators. A slug is
    looked up when it is entered; `UnknownTenant` where there is none.
    """
    from domicile.context import LateActivation
    from domicile.registry import target_of

    return LateActivation(target_of(tenant))


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, _LIFECYCLE)), name)
