"""Where else to read what a replica could not answer."""

from __future__ import annotations

from typing import Any

from django.db import connections

from domicile.backends.replication import replication_of
from domicile.exceptions import HomeMissing
from domicile.placement import AT_REPLICA, is_tenant_alias
from domicile.routing import primary_of, readers_of


def other_than(using: str, tried: list[str], error: Exception) -> str | None:
    """Return the alias to read from after an error at `using`; None: the error is the answer.

    :param tried: the replicas that failed; this one is added.
    """
    whose = primary_of(using)
    if whose == using:
        return None
    tenant, at, replica = using.partition(AT_REPLICA) if is_tenant_alias(using) else ("", "", using)
    primary = primary_of(replica)
    readers: Any = readers_of(primary)
    if readers is None or replica in tried or connections[using].in_atomic_block:
        return None
    if not _is_the_servers(using, replica, readers, error):
        return None
    tried.append(replica)
    chosen = readers.choose_other(*tried)
    if chosen == primary:
        return whose
    return f"{tenant}{at}{chosen}"


def _is_the_servers(using: str, replica: str, readers: Any, error: Exception) -> bool:
    """Whether the error is the server's, not the statement's."""
    if isinstance(error, HomeMissing):  # Of a tenant that is new, and not replayed yet.
        return True
    connection = connections[using]
    replication = replication_of(connection)
    if connection.connection is None or replication.is_cut_off():
        connection.close()
        readers.failed(replica, error)
        return True
    return replication.is_conflict(error)
