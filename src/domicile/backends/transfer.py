"""What an engine can do with the rows of a whole home: hold them still, carry them, close it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

from domicile.exceptions import HomeBusy
from domicile.placement import Home

#: Seconds that one attempt to hold a home may keep its writers waiting: less than the second after
#: which PostgreSQL looks for deadlocks, so that nobody's transaction is broken by an attempt.
ATTEMPT = 0.4
#: How the servers' words end where a retired home refuses somebody.
MOVED_AWAY = "was moved away"


class HomeEnd(ABC):
    """A home from which rows are taken, or to which they are brought, through a session of its own.

    What it does is not part of any transaction of the thread's other sessions.
    """

    def __init__(self, connection: Any, home: Home) -> None:
        self.connection = connection
        self.home = home
        #: Finds the ends that are held and retired with this one, at the same instants: other homes
        #: of its tenant that the same session reaches.
        self.beside: Callable[[], Sequence[HomeEnd]] = tuple

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.connection.close()

    def other(self, home: Home) -> Self:
        """Return another home of this database as an end, through the same session."""
        return type(self)(self.connection.owner.view(home.alias, home), home)

    def execute(self, statement: Any, params: Any = None) -> list[tuple[Any, ...]]:
        """Send a statement; return its rows, if it has any."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    # As a source

    def prepare(self, patience: float) -> None:  # noqa: B027
        """Do what holding the home needs and what takes long; `HomeBusy` where others use what it
        needs for longer than `patience` seconds.
        """

    def unprepare(self) -> None:  # noqa: B027
        """Undo `prepare()`, also that of a process that died."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """Read the rows of one instant, while others go on writing."""

    @abstractmethod
    def attempt(self) -> bool:
        """Try for `ATTEMPT` seconds to keep all others from writing; tell whether they are kept.

        The hold ends with `release()`, with `retire()`, or with this process.
        """

    @abstractmethod
    def release(self) -> None:
        """Let others write again."""

    @contextmanager
    def frozen(self, patience: float) -> Iterator[None]:
        """Keep others from writing, after at most `patience` seconds; `HomeBusy` where they do not
        stop. Those who come meanwhile wait; readers go on.
        """
        self.persist(self.attempt, patience)
        try:
            yield
        finally:
            self.release()

    def persist(self, attempt: Callable[[], bool], patience: float) -> None:
        """Try again and again, for at most `patience` seconds; `HomeBusy` after."""
        deadline, pause = time.monotonic() + patience, 0.05
        while not attempt():
            if time.monotonic() >= deadline:
                raise HomeBusy(
                    f"{self.home.alias!r} is being written to: a transaction did not end within"
                    f" {patience:g} s. Wait for it, or allow more by --lock-timeout."
                )
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def retired_name(self, number: int) -> str:
        """Return the name under which what is retired is kept; empty: that of the home."""
        return ""

    @abstractmethod
    def retire(self, number: int) -> None:
        """End the hold so that whoever waits, or comes later, is refused with `HomeMoved`: all of
        it happens at one instant, or none.

        :param number: that of `retired_name()`.
        """

    @abstractmethod
    def is_retired(self, name: str) -> bool:
        """Tell whether that has happened. Waits for a retirement that is on its way."""

    def hide(self, name: str) -> None:  # noqa: B027
        """Keep also readers from what is retired, once the tenant lives elsewhere. Repeatable."""

    def row_tables(self) -> list[str]:
        """Return the tables that have any rows."""
        connection = self.connection
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
        quoted = connection.ops.quote_name
        return [table for table in tables if self.execute(f"SELECT 1 FROM {quoted(table)} LIMIT 1")]

    # As a target

    def build_like(self, source: HomeEnd) -> bool:
        """Make the source's tables by its catalog, where this engine can; tell whether it did."""
        return False

    @abstractmethod
    def loading(self, keep: frozenset[str] = frozenset()) -> AbstractContextManager[None]:
        """Empty all tables but those to keep, and take rows in any order; on leaving, references
        are checked.
        """

    def reset_sequences(self, models: list[Any]) -> None:  # noqa: B027
        """Have the next keys be greater than all that there are."""

    def link_shared(self, models: list[Any]) -> None:  # noqa: B027
        """Add the foreign keys to shared tables that a home far from these had to do without."""

    def raw_from(self, source: HomeEnd) -> Callable[[], RawTransfer] | None:
        """Return what carries rows from a source without looking into them, where it can."""
        return None


class RawTransfer(ABC):
    """Carries all tables of a home to another of the same engine, as they are."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Return the tables to carry."""

    @abstractmethod
    def carry(self, table: str) -> None:
        """Carry one."""

    @abstractmethod
    def tallies(self, table: str) -> tuple[Any, Any]:
        """Return what `RowsDiffer` compares of one: rows and checksum, here and there."""

    @abstractmethod
    def left_behind(self) -> list[str]:
        """Return the tables with rows for which there is no table at the target."""

    @abstractmethod
    def finish(self) -> None:
        """Carry what is no row, such as the state of sequences."""
