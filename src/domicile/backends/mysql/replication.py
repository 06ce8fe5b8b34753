"""Positions of MariaDB: GTIDs. MySQL's are of another kind, and not understood."""

from __future__ import annotations

import time
from typing import Any

from domicile.backends.replication import Identity, Position, Replication, State, causes
from domicile.exceptions import NotSupported

_READ_ONLY = 1290
#: A deadlock; and a table that was changed under the read.
_CONFLICTS = frozenset({1213, 1412})
_NO_LOG = (
    "MariaDB at {!r} has no GTID to tell: it writes no binary log, and replays none."
    " Start the primary with --log-bin."
)


class MariaDBReplication(Replication):
    """The cluster is the GTID domain and the server id of the primary: after a promotion it is
    another, so that what was written before is not waited for. A replica therefore has to follow
    the primary itself, not another replica.
    """

    def identity(self) -> Identity:
        self._check()
        return self._identity(self._slave_status())

    def position(self) -> Position:
        self._check()
        # Not `@@last_gtid`, which is what this session wrote last: another may have written since
        # then what has to be seen.
        (place,) = self._row("SELECT @@gtid_current_pos")
        return Position(self._identity({}).cluster, 0, self._told(place))

    def state(self, primary: Position | None = None) -> State:
        self._check()
        started = time.perf_counter()
        following = self._slave_status()
        latency = (time.perf_counter() - started) * 1000
        identity = self._identity(following)
        place = Position(identity.cluster, 0, self._place(identity))
        reached = primary is not None and place.reaches(primary)
        return State(
            alive=True,
            identity=identity,
            position=place,
            lag_seconds=0.0 if reached or not following else following["Seconds_Behind_Master"],
            # A GTID counts transactions, not bytes.
            lag_bytes=0 if reached else None,
            latency_ms=latency,
            trouble=_trouble(following),
        )

    def running(self) -> int:
        return int(self._row("SHOW GLOBAL STATUS LIKE 'Threads_running'")[1]) - 1

    def wait_for(self, position: Position, milliseconds: float) -> bool:
        self._check()
        identity = self._identity(self._slave_status())
        place = Position(identity.cluster, 0, self._place(identity))
        # On a primary MASTER_GTID_WAIT only times out.
        if place.reaches(position) or not identity.is_replica:
            return place.reaches(position)
        if identity.cluster != position.cluster:
            return False
        sql = "SELECT MASTER_GTID_WAIT(%s, %s)"
        return bool(self._row(sql, position.text, milliseconds / 1000)[0] == 0)

    def bounded(self, options: dict[str, Any], seconds: float) -> dict[str, Any]:
        return {"connect_timeout": max(1, round(seconds)), **options}

    def is_read_only_error(self, error: BaseException) -> bool:
        return any(_number(cause) == _READ_ONLY and "read" in str(cause) for cause in causes(error))

    def is_conflict(self, error: BaseException) -> bool:
        return any(_number(cause) in _CONFLICTS for cause in causes(error))

    def _check(self) -> None:
        if not self.connection.mysql_is_mariadb:
            raise NotSupported(
                f"{self.connection.alias!r} is a MySQL: only MariaDB's GTIDs are understood, so"
                " its replicas cannot be measured."
            )

    def _identity(self, following: dict[str, Any]) -> Identity:
        domain, server = self._row("SELECT @@gtid_domain_id, @@server_id")
        primary = following.get("Master_Server_Id") or server
        return Identity(f"{domain}@{primary}", 0, bool(following))

    def _place(self, identity: Identity) -> str:
        name = "gtid_slave_pos" if identity.is_replica else "gtid_current_pos"
        return str(self._row(f"SELECT @@{name}")[0])

    def _told(self, text: str) -> str:
        if not text:
            raise NotSupported(_NO_LOG.format(self.connection.alias))
        return text

    def _slave_status(self) -> dict[str, Any]:
        """Return what a replica says of itself, of its first connection; empty: it is none."""
        with self.connection.cursor() as cursor:
            cursor.execute("SHOW SLAVE STATUS")
            row = cursor.fetchone()
            names = [column[0] for column in cursor.description]
            return dict(zip(names, row, strict=True)) if row else {}

    def _row(self, sql: str, *params: object) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params or None)
            return cursor.fetchone()


def _trouble(following: dict[str, Any]) -> str:
    """Return what keeps a replica from replaying; with none of it, it tells its lag."""
    if not following or following["Seconds_Behind_Master"] is not None:
        return ""
    told = following["Last_SQL_Error"] or following["Last_IO_Error"]
    return f"it does not replay: {told or 'SHOW SLAVE STATUS has no Seconds_Behind_Master'}"


def _number(error: BaseException) -> object:
    return error.args[0] if error.args else None
