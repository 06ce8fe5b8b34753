"""How many homes of a run a worker takes at a time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from domicile.fleet.runs.options import RunOptions
from domicile.fleet.runs.work import Worker


@pytest.mark.parametrize(
    ("homes", "jobs", "batch"), [(1, 2, 1), (9, 2, 5), (100, 2, 50), (1000, 4, 50), (30, 4, 8)]
)
def test_at_most_what_falls_to_each(homes: int, jobs: int, batch: int) -> None:
    assert RunOptions(jobs=jobs).homes_at_a_time(homes) == batch
    assert RunOptions(jobs=jobs, batch=7).homes_at_a_time(homes) == 7


def test_the_last_batches_are_small() -> None:
    nobody: Any = None
    worker = Worker(1, RunOptions(jobs=2, batch=50), nobody, threading.Event())
    assert [worker._size(waiting) for waiting in (100, 9, 3)] == [5, 5, 2]
    worker._set_pace(5, 0.01)
    assert [worker._size(waiting) for waiting in (100, 30, 9, 3)] == [20, 15, 5, 5]
    worker._set_pace(20, 4.0)
    assert [worker._size(waiting) for waiting in (100, 3)] == [5, 2]
