"""Database servers that the demo brings along.

Several processes may use one at once, say the demo and a management command: the first one
starts it, and the last one to leave stops it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from . import DemoError

SOCKET_PATH_LIMIT = 103  # bytes: 107 on Linux, 103 on macOS
SECONDS_TO_START = 60


def account() -> dict[str, Any]:
    """Arguments for `subprocess`: database servers refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known.get("nobody")
    if entry is None:
        raise DemoError("PostgreSQL does not run as root, and there is no user postgres or nobody.")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def hand_over(path: Path) -> None:
    """Give a file or folder to the account of the servers."""
    if who := account():
        os.chown(path, who["user"], who["group"])


def reachable(path: Path) -> bool:
    """Whether the account of the servers can open this folder or run this program."""
    try:
        return subprocess.run(["test", "-x", path], **account(), check=False).returncode == 0
    except (OSError, subprocess.SubprocessError) as error:
        message = f"PostgreSQL does not run as root, and root cannot become another user: {error}"
        raise DemoError(message) from error


class Server:
    """A server, and its folder in the demo's data, which its account must be able to open."""

    name: str
    title: str
    stops_at = signal.SIGINT
    databases: Sequence[str] = ()

    def __init__(self, data: Path) -> None:
        self.data = data
        self.folder = data / self.name
        self.log = data / f"{self.name}.log"

    def fill(self, folder: Path) -> None:
        """Make the files of a new server in an empty folder."""
        raise NotImplementedError

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def ready(self, pid: int) -> bool:
        """Whether the server with that process number takes connections."""
        raise NotImplementedError

    def add_databases(self) -> None:
        """Make those of `databases` that are missing."""

    def settings(self, database: str) -> dict[str, Any]:
        """The entry of one database in `DATABASES`."""
        raise NotImplementedError

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside this block the server runs."""
        with self._open("users") as users:
            try:
                with self._door():
                    fcntl.flock(users, fcntl.LOCK_SH)
                    self._make()
                    self._start()
                    self.add_databases()
                yield
            finally:
                with self._door():
                    if self._only_user(users):
                        self._stop()

    def _open(self, name: str) -> IO[str]:
        return open(self.data / f"{self.name}.{name}", "w")

    @contextmanager
    def _door(self) -> Iterator[None]:
        """One process at a time comes or goes."""
        with self._open("door") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield

    def _only_user(self, users: IO[str]) -> bool:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _make(self) -> None:
        if self.folder.exists():
            return
        unfinished = self.data / f"{self.name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        hand_over(unfinished)
        self.fill(unfinished)
        unfinished.rename(self.folder)

    def run(self, program: str | Path, *arguments: str) -> None:
        done = subprocess.run(
            [program, *arguments],
            cwd=self.data,
            capture_output=True,
            text=True,
            check=False,
            **account(),
        )
        if done.returncode:
            raise DemoError(f"{Path(program).name} failed:\n{done.stdout}{done.stderr}")

    def _start(self) -> None:
        if self._process():
            return
        self.forget_killed()
        with open(self.log, "a") as log:
            server = subprocess.Popen(
                self.command(),
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the server
                **account(),
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while not self.ready(server.pid):
            if server.poll() is not None or time.monotonic() > deadline:
                server.kill()
                tail = "".join(self.log.read_text().splitlines(keepends=True)[-10:])
                raise DemoError(f"{self.title} did not start. {self.log} ends with:\n{tail}")
            time.sleep(0.01)

    def forget_killed(self) -> None:
        """Remove what a killed server left and would stumble over."""

    def _stop(self) -> None:
        if process := self._process():
            process.send_signal(self.stops_at)
            process.wait(timeout=SECONDS_TO_START)

    @property
    def status_file(self) -> Path:
        """The file whose first line is the process number while the server runs."""
        raise NotImplementedError

    def status(self) -> list[str]:
        """The lines of that file, empty when no server wrote one."""
        try:
            return [line.strip() for line in self.status_file.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int(self.status()[0]))
            return process if str(self.folder) in process.cmdline() else None
        except (IndexError, ValueError, psutil.NoSuchProcess):
            return None
