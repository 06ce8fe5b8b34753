"""System checks of connections: more than a server admits, and such as break at night."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections

from domicile.backends.activity import activity_of
from domicile.conf import PlacementTemplate, conf
from domicile.findings import Findings, error, warning

#: What psycopg's pool holds where its options do not say.
_POOL_SIZE = 4

Server = tuple[str, str]


def check_connections(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check what `DATABASES` says of persistent connections and pools."""
    found = (_lasting(alias, settings.DATABASES[alias]) for alias in settings.DATABASES)
    return [finding for findings in found for finding in findings]


def _lasting(alias: str, database: Mapping[str, Any]) -> Findings:
    lasts = database.get("CONN_MAX_AGE", 0) != 0
    if lasts and database.get("OPTIONS", {}).get("pool"):
        yield error(
            62,
            f"DATABASES[{alias!r}] has a pool, and CONN_MAX_AGE, which keeps connections from"
            " going back to it.",
            "Leave CONN_MAX_AGE out: the pool keeps them open.",
        )
    elif lasts and not database.get("CONN_HEALTH_CHECKS"):
        yield warning(
            61,
            f"DATABASES[{alias!r}] keeps connections by CONN_MAX_AGE and does not check them:"
            " after its server was restarted each fails once.",
            "Set CONN_HEALTH_CHECKS to True.",
        )


def check_limits(
    app_configs: Any, databases: Collection[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that the servers of these databases admit what all processes may open at once.

    As Django's own checks of databases it runs in `migrate` and in `check --database`, and where
    `PROCESSES` says how many there are.
    """
    if not conf().processes:
        return []
    seen: set[Server] = set()
    found: list[CheckMessage] = []
    for alias in databases or ():
        server = _server_of(settings.DATABASES[alias])
        if server not in seen:
            found.extend(_limit(alias, server))
        seen.add(server)
    return found


def _limit(alias: str, server: Server) -> Findings:
    limit = None
    with suppress(DatabaseError):  # One that does not answer is told by other means.
        limit = activity_of(connections[alias]).server_limit
    wanted = conf().processes * connections_to(server)
    if limit is not None and wanted > limit:
        yield warning(
            60,
            f"The server of {alias!r} admits {limit} connections, and {conf().processes} processes"
            f" may open {wanted}: {connections_to(server)} each, by pools, by threads, and by"
            " MAX_CONNECTIONS for what has a database of its own.",
            "Allow less by OPTIONS['pool']['max_size'], DOMICILE['MAX_CONNECTIONS'] or fewer"
            " processes, raise the server's max_connections, or put a pooler before it.",
        )


def connections_to(server: Server) -> int:
    """Return how many connections one process may have to a server, as (host, port)."""
    here = [each for each in settings.DATABASES.values() if _server_of(each) == server]
    sizes = [_pool_size(each) for each in here]
    pooled = sum(size for size in sizes if size is not None)
    single = conf().threads * sizes.count(None)
    if any(_houses_at(template, server) for template in conf().placements.values()):
        single += conf().max_connections
    if conf().count_all_connections:
        single = min(single, conf().max_connections)
    return pooled + single


def _houses_at(template: PlacementTemplate, server: Server) -> bool:
    """Whether homes that a template makes there have sessions of their own."""
    if template.follows_tenants:
        return False
    if template.database is None:
        return _server_of(template.settings or {}) == server
    if template.layout == "schema" or template.database not in settings.DATABASES:
        return False
    host = settings.DATABASES[template.database]
    return _server_of(host) == server and not host["ENGINE"].endswith("mysql")


def _server_of(database: Mapping[str, Any]) -> Server:
    return str(database.get("HOST", "")), str(database.get("PORT", ""))


def _pool_size(database: Mapping[str, Any]) -> int | None:
    """Return how many connections a database's pool may hold; None where it has none."""
    pool = database.get("OPTIONS", {}).get("pool")
    if not pool:
        return None
    given = {} if pool is True else pool
    return int(given.get("max_size") or given.get("min_size", _POOL_SIZE))
