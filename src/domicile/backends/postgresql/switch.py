"""The statements that set a session to a home."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import ClientCursor, sql
from psycopg.pq import PipelineStatus


@dataclass(frozen=True, slots=True)
class Switch:
    """Statements that set role and path, quoted, in the order in which they are sent."""

    statements: tuple[bytes, ...]
    prefix: bytes

    @classmethod
    def to(cls, search_path: tuple[str, ...], role: str | None, *, roles: bool) -> Switch:
        """Return the switch to a path (empty: as the server is set up) and to a role.

        `role` None with `roles` on means the role that logged in.
        """
        statements: list[sql.Composable] = []
        if roles:
            statements.append(
                sql.SQL("SET ROLE {}").format(sql.Identifier(role))
                if role
                else sql.SQL("RESET ROLE")
            )
        if search_path:
            names = sql.SQL(", ").join(map(sql.Identifier, search_path))
            statements.append(sql.SQL("SET search_path TO {}").format(names))
        else:
            statements.append(sql.SQL("RESET search_path"))
        return cls.of(*(statement.as_bytes(None) for statement in statements))

    @classmethod
    def of(cls, *statements: bytes) -> Switch:
        return cls(statements, b"; ".join(statements) + b"; ")

    def after_probe(self, schema: str) -> Switch:
        """Return the same switch behind a statement that fails where there is no such schema.

        `SET search_path` takes any name, and tables would then be found in the next schema of the
        path: in the shared home, which may have tables of the same names. A cast to `regnamespace`
        looks the name up (https://www.postgresql.org/docs/current/datatype-oid.html).
        """
        name = sql.Literal(sql.Identifier(schema).as_string(None))
        probe = sql.SQL("SELECT {}::pg_catalog.regnamespace").format(name)
        return Switch.of(probe.as_bytes(None), *self.statements)

    def send(self, connection: Any) -> None:
        """Send it by itself: one message, or one command each inside a pipeline."""
        cursor = ClientCursor(connection)
        if connection.pgconn.pipeline_status == PipelineStatus.OFF:
            cursor.execute(self.prefix)
        else:
            for statement in self.statements:
                cursor.execute(statement)


class Way:
    """How a session gets to a home, and what this process knows of that.

    :param path: the schemas to read from, the home's own first; empty: as the server is set up.
    :param role: the role to be; with `roles` on, None means the one that logged in.
    """

    #: Tables of the next home of the path have, or may have, the same names.
    has_twins = False
    #: The path that the server reports of a session there; None: not known yet.
    reported: bytes | None = None
    #: The home was seen, and is not looked for again before then (`time.monotonic()`).
    there_until = 0.0

    def __init__(self, path: tuple[str, ...], role: str | None, *, roles: bool) -> None:
        self.path = path
        self.role = role
        self.roles = roles
        self.switch = Switch.to(path, role, roles=roles)

    @cached_property
    def looking_switch(self) -> Switch:
        """The switch, failing where the home is not there."""
        return self.switch.after_probe(self.path[0]) if self.path else self.switch
