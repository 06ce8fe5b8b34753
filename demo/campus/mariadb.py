"""MariaDB, where the machine has it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .servers import SOCKET_PATH_LIMIT, Server, reachable


def program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class MariaDB(Server):
    """Only its own account and root can open the folder of its socket, so there is no password."""

    name = "mariadb"
    title = "MariaDB"
    stops_at = signal.SIGTERM
    databases = ("legacy", "employees")

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.socket = self.folder / "socket"

    def missing(self) -> str:
        """Why there is no MariaDB here, or nothing."""
        server = program("mariadbd")
        if not (server and program("mariadb-install-db") and reachable(Path(server))):
            return "MariaDB is not installed."
        if find_spec("MySQLdb") is None:
            return "MariaDB's driver (mysqlclient) is not installed."
        if len(os.fsencode(self.socket)) > SOCKET_PATH_LIMIT:
            return f"The path {self.socket} is too long for MariaDB."
        return ""

    def settings(self, database: str) -> dict[str, Any]:
        return {
            "ENGINE": "domicile.backends.mysql",
            "NAME": database,
            "USER": "root",
            "HOST": str(self.socket),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }

    def fill(self, folder: Path) -> None:
        self.run(
            *[program("mariadb-install-db") or "", "--no-defaults", f"--datadir={folder}"],
            *["--auth-root-authentication-method=normal", "--skip-test-db"],
            "--innodb-log-file-size=16M",
        )

    def command(self) -> Sequence[str | Path]:
        return [
            *[program("mariadbd") or "", "--no-defaults", "--datadir", self.folder],
            *["--skip-networking", f"--socket={self.socket}", f"--pid-file={self.status_file}"],
            *["--character-set-server=utf8mb4", "--innodb-buffer-pool-size=32M"],
            *["--innodb-log-file-size=16M", f"--tmpdir={self.folder}"],
        ]

    @property
    def status_file(self) -> Path:
        return self.folder / "pid"

    def ready(self, pid: int) -> bool:
        from MySQLdb import OperationalError

        try:
            self.connect().close()
        except OperationalError:
            return False
        return True

    def add_databases(self) -> None:
        connection = self.connect()
        for name in self.databases:
            connection.query(f"CREATE DATABASE IF NOT EXISTS {name}")
        connection.close()

    def connect(self, database: str = "") -> Any:
        from MySQLdb import connect

        socket = str(self.socket)
        return connect(unix_socket=socket, user="root", database=database, charset="utf8mb4")
