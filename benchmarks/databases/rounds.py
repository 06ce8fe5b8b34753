"""Blocks of work in turn, so that what slows the machine for longer than a round cancels out."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MIN_ROUNDS = 12


def rounds(blocks: Mapping[str, Callable[[], Any]], seconds: float) -> list[dict[str, Any]]:
    """What each block answered, by its name, round after round, each time in another order."""
    return list(_rounds(blocks, time.monotonic() + seconds))


def _rounds(blocks: Mapping[str, Callable[[], Any]], end: float) -> Iterator[dict[str, Any]]:
    names = list(blocks)
    for turn in itertools.count():
        if time.monotonic() > end and turn >= MIN_ROUNDS:
            return
        first = turn % len(names)
        order = names[first:] + names[:first]
        if turn // len(names) % 2:
            order.reverse()
        yield {name: blocks[name]() for name in order}


def median_of(values: Sequence[float]) -> tuple[float, str]:
    """The median, and within what it is certain (McGill's notch)."""
    low, median, high = statistics.quantiles(values)
    return median, f"± {1.57 * (high - low) / len(values) ** 0.5:.3f}"


def best(values: Sequence[float]) -> float:
    """The slowest of the fastest tenth: what slows the machine down is in the others."""
    return statistics.quantiles(values, n=10)[0]
