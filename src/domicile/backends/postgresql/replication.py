"""Positions of PostgreSQL: the system's identifier, the time-line and the LSN."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from domicile.backends.replication import Identity, Position, Replication, State, causes

#: `pg_stat_wal_receiver` tells the time-line at once, to members of `pg_monitor`; the control file
#: tells it to everybody, some minutes after a promotion.
_IDENTITY = """
    (SELECT system_identifier::text FROM pg_control_system()),
    CASE WHEN pg_is_in_recovery() THEN greatest(
        (SELECT timeline_id FROM pg_control_checkpoint()),
        (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
        (SELECT received_tli FROM pg_stat_wal_receiver)
    ) ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
    pg_is_in_recovery()
"""
#: After a record that fills a page this function is past the next page's header, where a replica
#: that has replayed it is not: 24 bytes, and 40 in a segment's first page.
_WRITTEN = """
    (SELECT '0/0'::pg_lsn + CASE
        WHEN place % pg_size_bytes(current_setting('wal_segment_size')) = 40 THEN place - 40
        WHEN place % current_setting('wal_block_size')::int = 24 THEN place - 24
        ELSE place END
    FROM (SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn) AS written (place))::text
"""
_PLACE = f"""
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text ELSE {_WRITTEN} END
"""
_STATE = f"""
    SELECT {_IDENTITY}, {_PLACE},
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
"""
_RUNNING = """
    SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()
"""
_READ_ONLY = "25006"
_CONFLICTS = frozenset({"40001", "40P01"})
#: Seconds between two looks: the first, and the longest.
_LOOKS = (0.001, 0.02)
#: Drivers round anything less up to it.
_LEAST_TIMEOUT = 2


class PostgresReplication(Replication):
    position_sql: ClassVar[str] = f"SELECT {_IDENTITY}, {_WRITTEN}"

    def identity(self) -> Identity:
        return Identity(*self._row(f"SELECT {_IDENTITY}"))

    def position(self) -> Position:
        # Not `pg_current_wal_lsn()`: with `synchronous_commit` off it is behind what was committed.
        cluster, timeline, _, text = self._row(self.position_sql)
        return Position(cluster, timeline, text)

    def state(self, primary: Position | None = None) -> State:
        started = time.perf_counter()
        cluster, timeline, is_replica, text, seconds = self._row(_STATE)
        latency = (time.perf_counter() - started) * 1000
        place = Position(cluster, timeline, text)
        missing = None if primary is None else place.behind(primary)
        caught_up = missing == 0 or not is_replica
        return State(
            alive=True,
            identity=Identity(cluster, timeline, is_replica),
            position=place,
            # Clocks differ: a replica cannot be ahead of the primary.
            lag_seconds=0.0 if caught_up else seconds and max(0.0, seconds),
            lag_bytes=missing,
            latency_ms=latency,
        )

    def running(self) -> int:
        count: int = self._row(_RUNNING)[0]
        return count

    def wait_for(self, position: Position, milliseconds: float) -> bool:
        deadline = time.monotonic() + milliseconds / 1000
        pause, longest = _LOOKS
        while True:
            cluster, timeline, _, text = self._row(f"SELECT {_IDENTITY}, {_PLACE}")
            place = Position(cluster, timeline, text)
            left = deadline - time.monotonic()
            if place.reaches(position) or left <= 0 or cluster != position.cluster:
                return place.reaches(position)
            time.sleep(min(pause, left))
            pause = min(pause * 2, longest)

    def bounded(self, options: dict[str, Any], seconds: float) -> dict[str, Any]:
        timeout = max(_LEAST_TIMEOUT, round(seconds))
        bounds: dict[str, Any] = {"connect_timeout": timeout, "tcp_user_timeout": timeout * 1000}
        pool = options.get("pool")
        if pool:
            given = {} if pool is True else pool
            bounds["pool"] = {"timeout": timeout, **given}
        return {**bounds, **options, **({"pool": bounds["pool"]} if pool else {})}

    def is_read_only_error(self, error: BaseException) -> bool:
        return any(_sqlstate(cause) == _READ_ONLY for cause in causes(error))

    def is_conflict(self, error: BaseException) -> bool:
        return any(_sqlstate(cause) in _CONFLICTS for cause in causes(error))

    def _row(self, sql: str) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()


def _sqlstate(error: BaseException) -> str | None:
    state: str | None = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state
