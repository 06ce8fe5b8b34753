"""What MySQL and MariaDB say of their sessions."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError

from domicile.backends.activity import Activity

# A session that is in a transaction sleeps between its statements; only InnoDB knows of it, and
# tells those with the privilege PROCESS; anew when nobody has asked for a tenth of a second
# (https://dev.mysql.com/doc/refman/8.4/en/innodb-information-schema-internal-data.html).
_IN_TRANSACTION = "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx"
_WAITING = f"{_IN_TRANSACTION} WHERE trx_state = 'LOCK WAIT'"
_SESSIONS = "SELECT id, command, state, db <=> DATABASE() FROM information_schema.processlist"
_NUMBERS = "SELECT @@max_connections, CONNECTION_ID()"


def activity(connection: Any) -> Activity:
    """Return what the server says now; when a session connected it does not say."""
    with connection.cursor() as cursor:
        cursor.execute(_NUMBERS)
        limit, own = cursor.fetchone()
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
        queries = int(cursor.fetchone()[1])
        cursor.execute(_SESSIONS)
        sessions = list(cursor.fetchall())
        working = _ids(cursor, _IN_TRANSACTION)
        waiting = _ids(cursor, _WAITING)
    here = [row for row in sessions if row[3] and row[0] != own]
    used = {row[0] for row in here if row[1] != "Sleep"} | working & {row[0] for row in here}
    stuck = {row[0] for row in here if "lock" in (row[2] or "").lower()} | waiting & used
    return Activity(
        in_use=len(used),
        idle=len(here) - len(used),
        waiting=len(stuck),
        queries=queries,
        server_sessions=len(sessions),
        server_limit=limit,
    )


def _ids(cursor: Any, query: str) -> set[int]:
    try:
        cursor.execute(query)
    except DatabaseError:
        return set()
    return {row[0] for row in cursor.fetchall()}
