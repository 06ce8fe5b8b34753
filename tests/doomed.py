"""Commands on tenants with homes by time, killed at one of their statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes import Forker

#: Counts statements, and files that are removed, and dies before or after one of them.
SCRIPT = """
import io, os, signal
from pathlib import Path
from django.core.management import CommandError, call_command
from domicile.backends.sharing import HomeCursor
from domicile.commands import modules
from tests.marks import configured
modules()

def work(words, kind, added, left, late, options):
    def deadly(func):
        def wrapper(*args, **kwargs):
            nonlocal left
            left -= 1
            if left == 0 and not late:
                os.kill(os.getpid(), signal.SIGKILL)
            result = func(*args, **kwargs)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return wrapper

    HomeCursor.execute = deadly(HomeCursor.execute)
    Path.unlink = deadly(Path.unlink)
    with configured(kind, added, **options):
        tell(started=True, pid=os.getpid())
        call_command(*words, stdout=io.StringIO())
        tell(done=True)
"""


class Doomed(Forker):
    def __init__(self) -> None:
        super().__init__(SCRIPT)

    def dies(self, words: str, kind: str, added: Any, left: int, **options: Any) -> bool:
        """Run a command that is killed at a statement; tell whether it was, or came to its end."""
        late = left % 4 > 1
        self.fork(
            words=words.split(), kind=kind, added=added, left=left, late=late, options=options
        )
        return self.was_killed()


@pytest.fixture(scope="module")
def doomed(django_db_setup: None) -> Iterator[Doomed]:
    with Doomed() as doomed:
        yield doomed
