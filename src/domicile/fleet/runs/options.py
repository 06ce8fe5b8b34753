"""How a run over the fleet is to go: part of its record, so that any process can go on with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from domicile.fleet.runs.selection import Selection

#: Homes that a worker takes when it is not known yet how long they take.
FIRST_BATCH = 5
#: Homes that a worker takes at a time, at most, unless the run says otherwise.
_MAX_BATCH = 50


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """`jobs` and `batch` of 0 are chosen by what there is to do and by the machine."""

    #: Workers at a time.
    jobs: int = 0
    #: Each worker is a process of its own, not a thread.
    processes: bool = False
    #: The dotted path of a function that takes a run's id and has it worked on elsewhere.
    hand_out: str = ""
    #: Homes to be migrated first; where one fails the others are left alone.
    canary: int = 0
    #: Homes that a worker takes at a time.
    batch: int = 0
    #: Record migrations as applied, without running them.
    fake: bool = False
    #: Go on with the other homes when one fails.
    keep_going: bool = True
    #: Seconds to wait for a table that somebody else uses; None: as long as the server does.
    lock_timeout: float | None = 5.0
    #: How often a home that is busy is tried again.
    retries: int = 5
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        for name in ("jobs", "canary", "batch", "retries"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is a number from 0 on, not {getattr(self, name)}.")
        if self.lock_timeout is not None and self.lock_timeout <= 0:
            raise ValueError(f"lock_timeout is more than 0 s, or None; not {self.lock_timeout}.")
        if self.processes and self.hand_out:
            raise ValueError("Workers are processes of this machine or tasks elsewhere, not both.")

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> Self:
        chosen = recorded["selection"]
        selection = Selection(tuple(chosen["only"]), tuple(chosen["exclude"]), chosen["where"])
        return cls(**{**recorded, "selection": selection})

    def as_record(self) -> dict[str, Any]:
        return asdict(self)

    def workers(self, homes: int) -> int:
        """Return how many workers are worth it for that many homes."""
        return max(1, min(self.jobs or min(4, os.cpu_count() or 1), homes))

    def homes_at_a_time(self, homes: int) -> int:
        """Return how many of so many homes that wait a worker takes at a time, at most: as many as
        fall to each, so that the last batches are small and all workers end together.
        """
        return self.batch or max(1, min(_MAX_BATCH, -(-homes // self.workers(homes))))
