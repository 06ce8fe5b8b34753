"""How statements that were captured in one home are sent to another, as an engine does it best."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

from django.db import transaction


class Statement(NamedTuple):
    """SQL as it goes to a cursor; `params` None: without a look at its percent signs. A parameter
    that is a function is called when the statement is sent.
    """

    sql: str
    params: tuple[Any, ...] | None = None


#: Sends a home, by its wrapper, all it is to be sent; waits at most so long for each lock.
Comparing = Callable[[Any, float | None], None]


class Replay:
    """Sends statements to the home of one wrapper; each engine has its own."""

    #: How many rows one statement adds: engines limit how many selects may be united, and how many
    #: parameters there may be.
    rows_at_a_time: ClassVar[int] = 100
    #: Whether `VALUES` can stand where a query can.
    has_values: ClassVar[bool] = False
    #: An expression for the time now, the same as Django would write; None: there is none.
    now: ClassVar[str | None] = None

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def packed(self, statements: Iterable[Statement]) -> list[Statement]:
        """Return statements as they will be sent, to many homes, inside a transaction."""
        return list(statements)

    def send(self, statements: Sequence[Statement]) -> None:
        """Send statements, in order."""
        with self.connection.cursor() as cursor:
            for sql, params in statements:
                values = params and [each() if callable(each) else each for each in params]
                cursor.execute(sql, values)

    def compared(
        self, messages: Sequence[Statement], relations: Collection[str] | None, fingerprint: str
    ) -> Comparing | None:
        """Return what does a home of its kind in one message and leaves no trace where it comes out
        different from this one; None where the engine has no such thing.

        :param messages: what `packed()` returned.
        :param relations: what is compared; None: all there is. `fingerprint`: this home's, of it.
        """
        return None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all that follows, or nothing; changes of the schema too, where those can be undone."""
        with transaction.atomic(using=self.connection.alias):
            yield

    @contextmanager
    def waiting(self, seconds: float | None) -> Iterator[None]:
        """Wait at most so long for each lock (None: as the server is set up)."""
        yield

    def settle(self) -> Sequence[Statement]:
        """Return what checks rows now that would be checked at the end of the transaction."""
        return ()

    def clear_unfinished(self, sql: str) -> None:
        """Remove what a statement that was cut off has left, where it was no transaction."""

    def was_busy(self, error: BaseException) -> bool:
        """Tell whether a statement gave up waiting for a lock."""
        return False

    def was_lost(self, error: BaseException) -> bool:
        """Tell whether the connection is gone."""
        return False
