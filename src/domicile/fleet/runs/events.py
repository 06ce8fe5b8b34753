"""What a run over the fleet tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The homes are listed: `homes` have something to do, in themselves or in their tenant's homes
    by time, of which there are `by_time`; `unchanged` have not.
    """

    run: int
    homes: int
    unchanged: int
    by_time: int = 0


@dataclass(frozen=True, slots=True)
class HomeEnded:
    """A home is done, has failed, or waits (`error` says why) to be tried again; `by_time` of its
    tenant's homes by time were migrated with it.
    """

    run: int
    alias: str
    state: str
    how: str = ""
    migrations: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""
    by_time: int = 0


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nobody works on the run any more. `waiting` homes were not tried, as it was stopped."""

    run: int
    state: str
    done: int
    failed: int
    waiting: int
    unchanged: int
    seconds: float
    #: Homes by time that were migrated with those of their tenants.
    by_time: int = 0

    @property
    def succeeded(self) -> bool:
        return not self.failed and not self.waiting


RunEvent = RunStarted | HomeEnded | RunEnded
