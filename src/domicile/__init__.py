"""Domicile decides where every row of a Django project lives, and takes every query there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from domicile.context import bind, current_tenant, no_tenant

if TYPE_CHECKING:
    from domicile.added import (
        aadd_database,
        add_database,
        added_databases,
        aremove_database,
        remove_database,
    )
    from domicile.backends.census import connection_stats
    from domicile.bulk import abulk_create, abulk_upsert, bulk_create, bulk_upsert
    from domicile.context import LateActivation
    from domicile.explain import explain_route
    from domicile.fleet.creation import acreate_tenant, create_tenant
    from domicile.fleet.dropping import adrop_tenant, drop_expired, drop_tenant
    from domicile.fleet.lifecycle import (
        amaintain_tenant,
        amigrate_tenant,
        arename_tenant,
        aresume_tenant,
        asuspend_tenant,
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
    from domicile.managers import DatabaseManager
    from domicile.models import Domain, Tenant
    from domicile.periods.querysets import PeriodManager
    from domicile.replicas.positions import carried_positions, carry_positions
    from domicile.replicas.reading import consistency, primary, use_replica
    from domicile.replicas.sets import close_replicas
    from domicile.replicas.switch import set_read_only
    from domicile.replicas.units import carrying, position_argument, unit_of_work
    from domicile.replicas.writes import note_write, writes_prevented

__version__ = "0.1.0"

__all__ = [
    "DatabaseManager",
    "Domain",
    "PeriodManager",
    "Tenant",
    "aadd_database",
    "abulk_create",
    "abulk_upsert",
    "acreate_tenant",
    "activate",
    "add_database",
    "added_databases",
    "adrop_tenant",
    "amaintain_tenant",
    "amigrate_tenant",
    "aremove_database",
    "arename_tenant",
    "aresume_tenant",
    "asuspend_tenant",
    "bind",
    "bulk_create",
    "bulk_upsert",
    "carried_positions",
    "carry_positions",
    "carrying",
    "close_replicas",
    "connection_stats",
    "consistency",
    "copy_tenant",
    "create_tenant",
    "current_tenant",
    "drop_expired",
    "drop_tenant",
    "explain_route",
    "export_tenant",
    "import_tenant",
    "maintain_tenant",
    "migrate_fleet",
    "migrate_tenant",
    "move_tenant",
    "no_tenant",
    "note_write",
    "position_argument",
    "primary",
    "remove_database",
    "rename_tenant",
    "resume_tenant",
    "set_read_only",
    "suspend_tenant",
    "unit_of_work",
    "use_replica",
    "writes_prevented",
]

#: Names that can only be imported once Django's settings are there, hence when they are asked for.
_MODULES = {
    "DatabaseManager": "domicile.managers",
    "Domain": "domicile.models",
    "PeriodManager": "domicile.periods.querysets",
    "Tenant": "domicile.models",
    "aadd_database": "domicile.added",
    "abulk_create": "domicile.bulk",
    "abulk_upsert": "domicile.bulk",
    "acreate_tenant": "domicile.fleet.creation",
    "add_database": "domicile.added",
    "added_databases": "domicile.added",
    "adrop_tenant": "domicile.fleet.dropping",
    "aremove_database": "domicile.added",
    "bulk_create": "domicile.bulk",
    "bulk_upsert": "domicile.bulk",
    "carried_positions": "domicile.replicas.positions",
    "carry_positions": "domicile.replicas.positions",
    "carrying": "domicile.replicas.units",
    "close_replicas": "domicile.replicas.sets",
    "connection_stats": "domicile.backends.census",
    "consistency": "domicile.replicas.reading",
    "copy_tenant": "domicile.fleet.moves.copying",
    "create_tenant": "domicile.fleet.creation",
    "drop_expired": "domicile.fleet.dropping",
    "drop_tenant": "domicile.fleet.dropping",
    "explain_route": "domicile.explain",
    "export_tenant": "domicile.fleet.moves.archive",
    "import_tenant": "domicile.fleet.moves.archive",
    "migrate_fleet": "domicile.fleet.runs.control",
    "move_tenant": "domicile.fleet.moves.move",
    "note_write": "domicile.replicas.writes",
    "position_argument": "domicile.replicas.units",
    "primary": "domicile.replicas.reading",
    "remove_database": "domicile.added",
    "set_read_only": "domicile.replicas.switch",
    "unit_of_work": "domicile.replicas.units",
    "use_replica": "domicile.replicas.reading",
    "writes_prevented": "domicile.replicas.writes",
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
