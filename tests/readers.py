"""A database's replicas, as the rules in force have them."""

from __future__ import annotations

import threading

from domicile.replicas.sets import ReplicaSet
from domicile.routing import readers_of
from tests.processes import eventually


def watched(primary: str, *well: str) -> ReplicaSet:
    """The set of a database, asked until those replicas, and no others, are well."""
    replicas = readers_of(primary)
    assert isinstance(replicas, ReplicaSet)
    replicas.monitor.start()
    eventually(lambda: ready(replicas) == set(well))
    return replicas


def ready(replicas: ReplicaSet) -> set[str]:
    """Those that are well."""
    return {member.alias for member in replicas.table.ready}


def monitors() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("domicile-monitor")}
