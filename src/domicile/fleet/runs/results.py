"""What became of homes, as the record of a run has it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any

from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.utils import timezone

from domicile.fleet.replay.migrator import Outcome
from domicile.fleet.runs.events import HomeEnded
from domicile.fleet.runs.ledger import HomeState
from domicile.fleet.site import handler
from domicile.placement import SHARED_ALIAS
from domicile.records import MigrationRunHome as Row

#: Seconds.
_WRITE_EVERY = 1.0
_LONGEST_BACK_OFF = 60.0


class Results:
    """What became of homes, written in few statements: when a second has passed, and at the end.

    Until it is written a home counts as running; should the worker die, it is looked at again and
    found to have nothing pending.
    """

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._done: list[tuple[str, float, int, int]] = []
        self._written = monotonic()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._write()

    def gone(self, row: Row) -> HomeEnded:
        return self._ended(HomeEnded(row.run_id, row.alias, HomeState.DONE, "gone"), row.pk)

    def done(self, row: Row, own: Outcome, by_time: Sequence[Outcome] = ()) -> HomeEnded:
        """What was done to a home, and to those by time of its tenant."""
        outcomes = [own, *by_time]
        # Where its own had nothing before it, what was done is what was done to those.
        how = next((each.how for each in outcomes if each.how != "nothing"), own.how)
        names = dict.fromkeys(name for each in outcomes for name in each.migrations)
        seconds = sum(each.seconds for each in outcomes)
        event = HomeEnded(
            row.run_id,
            row.alias,
            HomeState.DONE,
            how,
            tuple(names),
            seconds,
            by_time=len(by_time),
        )
        return self._ended(event, row.pk)

    def _ended(self, event: HomeEnded, key: int) -> HomeEnded:
        self._done.append((event.how, event.seconds, event.by_time, key))
        if monotonic() - self._written > _WRITE_EVERY:
            self._write()
        return event

    def failed(self, row: Row, error: Exception) -> HomeEnded:
        text = _described(error)
        self._rows.filter(pk=row.pk).update(state=HomeState.FAILED, error=text, ended_at=Now())
        return HomeEnded(row.run_id, row.alias, HomeState.FAILED, error=text)

    def busy(self, row: Row, error: Exception) -> HomeEnded:
        text, pause = _described(error), _back_off(row.attempts)
        self._rows.filter(pk=row.pk).update(
            state=HomeState.WAITING, worker="", error=text, not_before=timezone.now() + pause
        )
        return HomeEnded(row.run_id, row.alias, HomeState.WAITING, error=text)

    def _write(self) -> None:
        """Write all in one statement; what is no longer this worker's, since it lost its locks,
        stays as it is.
        """
        done, self._done, self._written = self._done, [], monotonic()
        if done:
            self._rows.filter(pk__in=[key for *_, key in done]).update(
                how=_chosen("how", ((key, how) for how, _, _, key in done)),
                seconds=_chosen("seconds", ((key, seconds) for _, seconds, _, key in done)),
                by_time=_chosen("by_time", ((key, by_time) for _, _, by_time, key in done)),
                state=HomeState.DONE,
                error="",
                ended_at=Now(),
            )


def _chosen(name: str, values: Iterable[tuple[int, Any]]) -> RawSQL:
    """Return an expression for a field of each row, by its key."""
    quote = handler()[SHARED_ALIAS].ops.quote_name
    pairs = [part for pair in values for part in pair]
    cases = " ".join(["WHEN %s THEN %s"] * (len(pairs) // 2))
    field: Any = Row._meta.get_field(name)
    return RawSQL(f"CASE {quote('id')} {cases} END", pairs, field)


def _back_off(attempts: int) -> timedelta:
    """Return how long to leave a home alone that was busy so often; not all for the same time."""
    longest = min(_LONGEST_BACK_OFF, 2.0 ** (attempts - 1))
    return timedelta(seconds=longest * random.uniform(0.5, 1.0))


def _described(error: BaseException) -> str:
    return " ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
