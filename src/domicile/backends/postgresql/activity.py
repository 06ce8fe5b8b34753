"""What PostgreSQL says of its sessions."""

from __future__ import annotations

from typing import Any

from domicile.backends.activity import Activity

# Who may not look at another role's session gets NULL as its state: it then counts as neither.
_ACTIVITY = """
SELECT
    count(*) FILTER (WHERE here AND state <> 'idle'),
    count(*) FILTER (WHERE here AND state = 'idle'),
    count(*) FILTER (WHERE here AND state <> 'idle' AND wait_event_type = 'Lock'),
    (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()),
    extract(epoch FROM clock_timestamp() - min(backend_start) FILTER (WHERE here)),
    count(*),
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0)
FROM (
    SELECT *, datname = current_database() AND pid <> pg_backend_pid() AS here
    FROM pg_stat_activity WHERE backend_type = 'client backend'
) AS sessions
"""


def activity(connection: Any) -> Activity:
    """Return what the server says now."""
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVITY)
        in_use, idle, waiting, queries, age, sessions, limit = cursor.fetchone()
    seconds = None if age is None else float(age)
    return Activity(in_use, idle, waiting, queries, seconds, sessions, limit)
