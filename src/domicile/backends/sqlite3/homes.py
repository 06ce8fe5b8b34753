"""Files as homes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from domicile.backends.homes import HomeStore, Original
from domicile.exceptions import HomeExists, HomeMissing

#: What SQLite writes beside a file.
_BESIDE = ("-wal", "-shm", "-journal")
_HOLE = re.compile(r"\{(slug|period)\}")


class FileStore(HomeStore):
    noun = "file"
    clones = True
    renames = True
    #: Of the last part of the path, on every common file system, less what SQLite appends.
    max_name_bytes = 255 - len("-journal")

    def validate(self, name: str) -> None:
        super().validate(Path(name).name)

    def exists(self, name: str) -> bool:
        return Path(name).exists()

    def create(self, name: str) -> None:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            raise HomeExists(f"There is a file {path} already.") from None

    def drop(self, name: str) -> None:
        for suffix in ("", *_BESIDE):
            Path(f"{name}{suffix}").unlink(missing_ok=True)

    def names(self) -> set[str]:
        return {name for name in self._found("") if self.template.name_at(name)}

    def traces(self) -> set[str]:
        """What SQLite wrote beside a file outlives one that was removed by hand."""
        beside = {name.removesuffix(suffix) for suffix in _BESIDE for name in self._found(suffix)}
        return self.names() | {name for name in beside if self.template.name_at(name)}

    def _found(self, suffix: str) -> list[str]:
        folder, start = os.path.split(self.template.beginning)
        rest = self.template.pattern[len(self.template.beginning) :]
        named = escape(_HOLE.sub("*", rest)).replace("[*]", "*")
        pattern = f"{escape(start)}{named}{suffix}"
        return [str(path) for path in Path(folder).glob(pattern) if path.is_file()]

    def clone(self, original: Original, target: str) -> None:
        """SQLite copies what was committed, also while others read and write the source."""
        self.create(target)
        source = Path(original.name).as_uri()
        try:
            with (
                closing(sqlite3.connect(f"{source}?mode=ro", uri=True)) as there,
                closing(sqlite3.connect(f"{Path(target).as_uri()}?mode=rw", uri=True)) as here,
            ):
                there.backup(here)
            if original.label:
                with self.visit(target) as connection:
                    original.label.take_from(connection)
            self.check_clone(original, target)
        except BaseException:
            self.drop(target)
            raise

    def rename(self, old: str, new: str) -> None:
        """A link is made only where nothing is yet, and what is beside the file is merged first."""
        if not self.exists(old):
            raise HomeMissing(f"There is no file {old} to rename.")
        with closing(sqlite3.connect(f"{Path(old).as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        try:
            os.link(old, new)
        except FileExistsError:
            raise HomeExists(f"There is a file {new} already.") from None
        self.drop(old)


@contextmanager
def named_lock(connection: Any, key: str) -> Iterator[bool]:
    """Hold a lock on a file beside the database, or, of one in memory, in the temp folder."""
    digest = hashlib.sha256(f"{connection.settings_dict['NAME']}:{key}".encode())
    folder = Path(str(connection.settings_dict["NAME"])).parent
    if connection.is_in_memory_db() or not folder.is_dir():
        folder = Path(tempfile.gettempdir())
    path = folder / f".domicile-{digest.hexdigest()[:16]}.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        free = _locks(descriptor) and _is_at(path, descriptor)
        yield free
        if free:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether the file is still the one that others would open: its last holder removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
