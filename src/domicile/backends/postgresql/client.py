"""`dbshell` in a tenant's home."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable

from psycopg import sql


def homed_client(client_class: type) -> type:
    class HomedClient(client_class):
        def runshell(self, parameters: Iterable[str]) -> None:
            connection = self.connection
            args, env = self.settings_to_cmd_args_env(connection.settings_dict, parameters)
            options = " ".join(_options(connection))
            given = os.environ.get("PGOPTIONS", "")
            env = {**os.environ, **(env or {}), "PGOPTIONS": f"{given} {options}".strip()}
            subprocess.run(args, env=env, check=True)

    return HomedClient


def _options(connection: object) -> Iterable[str]:
    """Yield libpq's `-c` options that put a session where the wrapper's alias lives.

    Spaces and backslashes are escaped as
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS says.
    """
    path = connection.search_path  # type: ignore[attr-defined]
    role = connection.role  # type: ignore[attr-defined]
    if path:
        names = ",".join(sql.Identifier(name).as_string(None) for name in path)
        yield "-c search_path=" + re.sub(r"([\\ ])", r"\\\1", names)
    if role:
        yield "-c role=" + re.sub(r"([\\ ])", r"\\\1", role)
