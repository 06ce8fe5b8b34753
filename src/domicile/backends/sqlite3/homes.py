"""Files as homes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from domicile.backends.homes import HomeStore
from domicile.exceptions import HomeExists


class FileStore(HomeStore):
    noun = "file"
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
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)


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
