"""Primaries and their replicas, of this process alone.

primary = PostgresServer(18, **LOGGING)
replica = PostgresReplica(primary)
replica.start()                     # the primary too
replica.pause(); replica.resume()   # the replay, not the server
replica.kill(); replica.start()
replica.promote(); other.follow(replica)
"""

from __future__ import annotations

import itertools
from typing import Any

import psycopg

from tests.processes import eventually
from tests.servers import MariaDBServer, PostgresServer, Server

#: Options of a PostgreSQL that others follow; any option makes the server a private one.
LOGGING = {"wal_level": "replica", "wal_keep_size": "64MB"}

_server_ids = itertools.count(1)


def postgres(server: Server, sql: str, database: str = "postgres") -> Any:
    """Do a statement in a session of its own; return its first row, if it has rows."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchone() if cursor.description else None


class PostgresReplica(PostgresServer):
    """Follows a primary by streaming, from a base backup taken at its first start."""

    def __init__(self, primary: PostgresServer, **options: object) -> None:
        quick = {"wal_retrieve_retry_interval": "50ms", "wal_receiver_status_interval": "1s"}
        super().__init__(primary.major, **LOGGING, **quick, **options)
        self.primary: PostgresServer = primary

    def initialize(self) -> None:
        self.primary.start()
        self.run(
            *[self.binaries / "pg_basebackup", "-D", self.data, "-d", self.primary.url("postgres")],
            *["-R", "-X", "stream", "-c", "fast"],
        )

    def pause(self) -> None:
        """Receive, and replay nothing."""
        postgres(self, "SELECT pg_wal_replay_pause()")
        eventually(lambda: self._pause_state() == "paused")

    def resume(self) -> None:
        postgres(self, "SELECT pg_wal_replay_resume()")

    def _pause_state(self) -> str:
        return postgres(self, "SELECT pg_get_wal_replay_pause_state()")[0]

    def promote(self) -> None:
        """Make it a primary; from here on it takes writes."""
        assert postgres(self, "SELECT pg_promote()")[0]

    def follow(self, primary: PostgresServer) -> None:
        """Follow another server of the same cluster."""
        self.primary = primary
        postgres(self, f"ALTER SYSTEM SET primary_conninfo = '{primary.url()}'")
        postgres(self, "SELECT pg_reload_conf()")

    def catch_up(self) -> None:
        """Wait until it has replayed all that the primary has written."""
        there = postgres(self.primary, "SELECT pg_current_wal_flush_lsn()::text")[0]
        reached = f"SELECT pg_last_wal_replay_lsn() >= '{there}'"
        eventually(lambda: postgres(self, reached)[0])


def mariadb(server: Server, sql: str, database: str = "") -> Any:
    """Do a statement in a session of its own; return its first row as a dict, if it has rows."""
    connection = _mariadb_session(server, database)
    try:
        return _mariadb_row(connection, sql)
    finally:
        connection.close()


def _mariadb_session(server: Server, database: str = "") -> Any:
    import MySQLdb

    return MySQLdb.connect(
        host="127.0.0.1", port=server.port, user=server.user, database=database, autocommit=True
    )


def _mariadb_row(connection: Any, sql: str) -> Any:
    from MySQLdb.cursors import DictCursor

    cursor = connection.cursor(DictCursor)
    cursor.execute(sql)
    return cursor.fetchone() if cursor.description else None


class MariaDBPrimary(MariaDBServer):
    """Writes a binary log with GTIDs that others follow."""

    def __init__(self, **options: object) -> None:
        self.server_id = next(_server_ids)
        logging = {"log-bin": "bin", "log-slave-updates": "ON", "gtid-strict-mode": "ON"}
        super().__init__(**logging, **{"server-id": self.server_id}, **options)


class MariaDBReplica(MariaDBPrimary):
    """Follows a primary by GTID, from the beginning of its log."""

    def __init__(self, primary: MariaDBPrimary, **options: object) -> None:
        super().__init__(**{"read-only": "ON"}, **options)
        self.primary = primary
        self._pausing: Any = None

    def start(self) -> None:
        fresh = not self.data.exists()
        self.primary.start()
        super().start()
        if fresh:
            self.follow(self.primary)

    def pause(self) -> None:
        """Receive, and replay nothing: it falls behind, and is not broken."""
        self._pausing = _mariadb_session(self)
        _mariadb_row(self._pausing, "FLUSH TABLES WITH READ LOCK")

    def resume(self) -> None:
        self._pausing.close()

    def break_off(self) -> None:
        """Stop replaying, as after an error: it no longer tells how far behind it is."""
        mariadb(self, "STOP SLAVE SQL_THREAD")

    def go_on(self) -> None:
        mariadb(self, "START SLAVE")

    def promote(self) -> None:
        """Make it a primary; from here on it takes writes."""
        mariadb(self, "STOP SLAVE")
        mariadb(self, "RESET SLAVE ALL")
        mariadb(self, "SET GLOBAL read_only = OFF")

    def follow(self, primary: MariaDBPrimary) -> None:
        """Follow another server of the same cluster."""
        self.primary = primary
        mariadb(self, "STOP SLAVE")
        mariadb(
            self,
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary.port},"
            f" MASTER_USER = '{primary.user}', MASTER_USE_GTID = slave_pos,"
            " MASTER_CONNECT_RETRY = 1",
        )
        mariadb(self, "START SLAVE")

    def catch_up(self) -> None:
        """Wait until it has replayed all that the primary has written."""
        there = mariadb(self.primary, "SELECT @@gtid_current_pos AS place")["place"]
        waiting = f"SELECT MASTER_GTID_WAIT('{there}', 20) AS missed"
        assert mariadb(self, waiting)["missed"] == 0
