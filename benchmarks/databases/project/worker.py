"""Works on command: `python worker.py`, with one of settings/ in DJANGO_SETTINGS_MODULE.

`Worker` in benchmarks/workers.py is the other end.
"""

import contextlib
import gc
import heapq
import itertools
import random
import time
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import django
from answering import answer
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.utils import ConnectionRouter
from months import MONTHS, SPAN, moments, values
from routers import HandWritten

PEOPLE = 100
FIRST = 50  # rows of a slice
LOOPS = 2000


class Commands:
    """Each public method is a command; its result is the answer."""

    def __init__(self) -> None:
        self.is_ruled = apps.is_installed("domicile")
        self.keys = itertools.cycle(range(1, PEOPLE + 1))
        self.unit: Callable[[], Any] = contextlib.nullcontext
        if self.is_ruled and self._readers() is not None:
            from domicile import unit_of_work

            self.unit = unit_of_work

    def freeze(self) -> None:
        gc.collect()
        gc.freeze()

    # What is in the databases -------------------------------------------------------------------

    def fill(self) -> None:
        """The people, and the readings, whose months' homes are made by that."""
        from people.models import Person
        from sensors.models import Reading

        call_command("migrate", verbosity=0)
        with connections["users"].schema_editor() as editor:
            editor.create_model(Person)
        names = [f"person {pk}" for pk in range(1, PEOPLE + 1)]
        Person.objects.bulk_create([Person(name=name, email="at@bench.test") for name in names])
        readings = [
            Reading(taken_at=at, value=value) for at, value in zip(moments(), values(), strict=True)
        ]
        Reading.objects.bulk_create(readings)
        for alias in ("users", "timeseries"):
            with connections[alias].cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")

    # The router ----------------------------------------------------------------------------------

    def route(self, model: str, write: bool = False) -> float:
        """Nanoseconds of this thread's processor that a query spends to learn its alias."""
        queryset = apps.get_model(model)._default_manager.all()
        queryset._for_write = write
        with self.unit():
            self._routed(queryset, LOOPS // 10)
            return self._routed(queryset, LOOPS) / LOOPS * 1e9

    def route_of_tenant(self) -> float:
        from directories.domicile.models import University

        from domicile.placement import Placement

        tenant = University(slug="t1", status="active", placement=Placement("schema", "t1"))
        with tenant.activate():
            return self.route("students.Student")

    def _routed(self, queryset: Any, loops: int) -> float:
        begin = time.thread_time()
        for _ in range(loops):
            queryset.db  # noqa: B018 - it asks the routers
        return time.thread_time() - begin

    def aliases(self, model: str, units: int) -> list[str]:
        """Where the reads of so many units of work go."""
        found = set()
        for _ in range(units):
            with self.unit():
                found.add(apps.get_model(model)._default_manager.all().db)
        return sorted(found)

    # Reading from replicas -----------------------------------------------------------------------

    def settle(self, seconds: float = 20) -> None:
        """Wait until every replica is known to be well."""
        readers = self._readers()
        end = time.monotonic() + seconds
        while readers is not None and any(member.trouble for member in readers.members):
            if time.monotonic() > end:
                raise RuntimeError(f"no use: {readers.members}")
            self.read(units=1, queries=1)
            time.sleep(0.05)

    def _readers(self) -> Any:
        from domicile.routing import readers_of

        return readers_of("users")

    def read(self, units: int, queries: int) -> float:
        """Seconds of units of work of so many queries."""
        from people.models import Person

        return self._read(itertools.repeat(Person.objects.get, units), queries)

    def read_named(self, units: int, queries: int) -> float:
        """The same from each replica in turn, which is named, and no unit of work begun."""
        return self._read(itertools.islice(itertools.cycle(self._named().values()), units), queries)

    def _named(self) -> dict[str, Callable[..., object]]:
        from people.models import Person

        return {alias: Person.objects.db_manager(alias).get for alias in settings.REPLICAS}

    def _read(self, finders: Iterable[Callable[..., object]], queries: int) -> float:
        unit = self.unit
        begin = time.perf_counter()
        for find in finders:
            with unit():
                self._look_up(find, queries)
        return time.perf_counter() - begin

    def _look_up(self, find: Callable[..., object], queries: int) -> None:
        keys = self.keys
        for _ in range(queries):
            find(pk=next(keys))

    def take_turns(self, units: int, queries: int) -> dict[str, list[list[float]]]:
        """Seconds, and those of this thread's processor, of each unit of work of so many queries,
        by who says which replica is read: the reader, who names it; a router written by hand; or
        the rule. They take turns, in another order each time.
        """
        from people.models import Person

        named, by_hand = self._named(), ConnectionRouter([HandWritten()])
        turns = itertools.cycle(named.values())

        def name() -> None:
            self._look_up(next(turns), queries)

        def ask_router() -> None:
            for _ in range(queries):  # A function for `_look_up` would cost it a call more.
                named[by_hand.db_for_read(Person)](pk=next(self.keys))

        def follow_rule() -> None:
            with self.unit():
                self._look_up(Person.objects.get, queries)

        ways = {"named": name, "hand": ask_router, "domicile": follow_rule}
        times: dict[str, list[list[float]]] = {way: [] for way in ways}
        for _ in range(units):
            for way in random.sample(list(ways), len(ways)):
                begin, processor = time.perf_counter(), time.thread_time()
                ways[way]()
                seconds = [time.perf_counter() - begin, time.thread_time() - processor]
                times[way].append(seconds)
        return times

    # The monitor ---------------------------------------------------------------------------------

    def rest(self, seconds: float) -> float:
        """Seconds of the processor that other threads use while this one does nothing."""
        process, thread = time.process_time(), time.thread_time()
        time.sleep(seconds)
        return (time.process_time() - process) - (time.thread_time() - thread)

    # Readings of many months ---------------------------------------------------------------------

    def newest(self, loops: int, way: str) -> float:
        return self._timed(loops, lambda: self._first("taken_at", way))

    def highest(self, loops: int, way: str) -> float:
        return self._timed(loops, lambda: self._first("value", way))

    def whole(self, loops: int, way: str) -> float:
        return self._timed(loops, lambda: self._whole(way))

    def count(self, loops: int, way: str) -> float:
        return self._timed(loops, lambda: self._count(way))

    def verify(self, way: str) -> None:
        """Are all readings found, in their order?"""
        assert [row.taken_at for row in self._whole(way)] == moments()
        newest, highest = moments()[: -FIRST - 1 : -1], sorted(values(), reverse=True)[:FIRST]
        assert [row.taken_at for row in self._first("taken_at", way)] == newest
        assert [row.value for row in self._first("value", way)] == highest
        assert self._count(way) == len(moments())

    def _parts(self, way: str) -> list[Any]:
        """The querysets that are sent: one by the rule, or one for each month."""
        from sensors import models

        if way == "rule":
            managers = [models.Reading.objects]
        elif way == "aliases":
            names = [f"period:months:{month:%Y-%m}" for month in MONTHS]
            managers = [models.Reading.objects.using(name) for name in names]
        else:
            managers = [model.objects.using("timeseries") for model in models.BY_HAND]
        return [manager.filter(taken_at__range=SPAN) for manager in managers]

    def _first(self, column: str, way: str) -> list[Any]:
        parts = [part.order_by(f"-{column}")[:FIRST] for part in self._parts(way)]
        return list(itertools.islice(_merged(parts, column, reverse=True), FIRST))

    def _whole(self, way: str) -> list[Any]:
        return list(_merged([part.order_by("taken_at") for part in self._parts(way)], "taken_at"))

    def _count(self, way: str) -> int:
        return sum(part.count() for part in self._parts(way))

    def _timed(self, loops: int, work: Callable[[], object]) -> float:
        begin = time.perf_counter()
        for _ in range(loops):
            work()
        return time.perf_counter() - begin


def _merged(parts: list[Any], column: str, reverse: bool = False) -> Any:
    if len(parts) == 1:
        return parts[0]
    return heapq.merge(*parts, key=attrgetter(column), reverse=reverse)


def commands() -> Commands:
    django.setup()
    return Commands()


if __name__ == "__main__":
    answer(commands)
