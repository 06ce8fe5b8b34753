"""What it takes to bring one new migration to all tenants, and to find that there is none."""

import math
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass

from contenders import DOMICILE, PEERS, Way
from databases import Database
from homes import Homes
from reference import HOME, Facts, rows

from benchmarks.report import Figure, guarded, say

FEW = 10  # tenants of the run that a larger one's memory is held against
ROUNDS = {100: 9, 300: 3}  # of the limit and of Domicile, by tenants; otherwise one
NOTHING_ROUNDS = 3  # of Domicile

LIMIT = 1.5  # times the limit
TIMES_FASTER = {100: 10, 300: 20}  # than the fastest peer, by tenants
PER_TENANT_LIMIT = 1.15  # times what a tenant takes in the smallest fleet
NOTHING_LIMITS = {1000: 1.5}  # seconds, by tenants, start of Django included
MEMORY_LIMIT = 50.0  # megabytes


@dataclass(frozen=True)
class Run:
    """One run over a fleet."""

    start: float  # seconds until Django was ready
    seconds: float  # from there on
    peak: float  # megabytes
    unequal: int  # homes that are not what Django alone makes of them
    failed: int  # of this run and those that follow, how many ended with an error
    nothing: float = 0.0  # seconds of a run that follows, start included


class Migrating:
    """Measures fleet after fleet, each larger than the last, and compares them."""

    def __init__(self, homes: Homes) -> None:
        self.homes = homes
        self.few_peak = 0.0  # megabytes, of a run over few tenants
        self.per_tenant = 0.0  # seconds, in the smallest fleet
        self.fastest = math.inf  # seconds, of the peers

    def figures(self, *, peers: bool, peers_nothing: bool) -> Iterator[Figure]:
        """Domicile's and the limit's; the peers', too, and how long these find nothing to do."""
        if not self.few_peak:
            self.few_peak = self.run(DOMICILE, tenants=FEW).peak
        limits, runs = [], []
        for _ in range(ROUNDS.get(self.homes.size, 1)):
            limits.append(self.limit())
            runs.append(self.run(DOMICILE, nothing_rounds=NOTHING_ROUNDS))
        seconds = statistics.median(run.seconds for run in runs)
        yield from self.own_figures(runs, seconds)
        yield from self.limit_figures(seconds, statistics.median(limits))
        if peers:
            yield from self.peers_figures(seconds, int(peers_nothing))

    def own_figures(self, runs: list[Run], seconds: float) -> Iterator[Figure]:
        tenants, name = self.homes.size, f"migrate.{self.homes.size}.domicile"
        start = statistics.median(run.start for run in runs)
        yield Figure(name, seconds, note=f"s, start of Django ({start:.2f} s) apart")
        yield Figure(f"{name}.unequal", max(run.unequal for run in runs), 0, "homes")
        yield Figure(f"{name}.failed", sum(run.failed for run in runs), 0, "runs with an error")
        if self.per_tenant:
            ratio = seconds / tenants / self.per_tenant
            yield Figure(f"{name}.per-tenant", ratio, PER_TENANT_LIMIT, "times the first fleet's")
        else:
            self.per_tenant = seconds / tenants
        more = max(run.peak for run in runs) - self.few_peak
        note = f"MB more than over {FEW} tenants ({self.few_peak:.0f} MB)"
        yield Figure(f"memory.{tenants}.domicile", more, MEMORY_LIMIT, note)
        nothing = statistics.median(run.nothing for run in runs)
        limit = NOTHING_LIMITS.get(tenants)
        yield Figure(f"nothing.{tenants}.domicile", nothing, limit, "s, start included")

    def limit_figures(self, seconds: float, limit: float) -> Iterator[Figure]:
        name = f"migrate.{self.homes.size}"
        yield Figure(f"{name}.limit", limit, note="s, the same SQL in a loop")
        yield Figure(f"{name}.domicile.to-limit", seconds / limit, LIMIT, "times the limit")
        yield Figure(f"nothing.{self.homes.size}.limit", self.query(), note="s, one query")

    def peers_figures(self, seconds: float, nothing_rounds: int) -> Iterator[Figure]:
        self.fastest = math.inf
        name = f"migrate.{self.homes.size}"
        for way in PEERS:
            figures = self.peer_figures(way, nothing_rounds)
            yield from guarded(f"{name}.{way.name}", figures, limit=None)
        times = TIMES_FASTER.get(self.homes.size)
        limit = 1 / times if times else None
        note = "of the fastest peer's time"
        yield Figure(f"{name}.domicile.to-peers", seconds / self.fastest, limit, note)

    def peer_figures(self, way: Way, nothing_rounds: int) -> Iterator[Figure]:
        tenants, run = self.homes.size, self.run(way, nothing_rounds=nothing_rounds)
        if not run.unequal:
            self.fastest = min(self.fastest, run.seconds)
        yield Figure(f"migrate.{tenants}.{way.name}", run.seconds, note="s")
        yield Figure(f"migrate.{tenants}.{way.name}.unequal", run.unequal, note="homes")
        yield Figure(f"migrate.{tenants}.{way.name}.failed", run.failed, note="runs")
        if nothing_rounds:
            yield Figure(f"nothing.{tenants}.{way.name}", run.nothing, note="s")

    def limit(self) -> float:
        """Seconds for one message to each home."""
        say(f"migrating {self.homes.size} tenants: the limit")
        with (
            self.homes.database.copied("migrated_limit") as database,
            database.connect() as connection,
        ):
            begin = time.perf_counter()
            for slug in self.homes.slugs:
                connection.execute(self.homes.reference.migration.replace(HOME, slug))
            return time.perf_counter() - begin

    def query(self) -> float:
        """Seconds to ask how much every home has applied."""
        asked = " UNION ALL ".join(
            f"SELECT '{slug}', count(*) FROM {slug}.django_migrations" for slug in self.homes.slugs
        )
        with self.homes.database.connect() as connection:
            begin = time.perf_counter()
            connection.execute(asked).fetchall()
            return time.perf_counter() - begin

    def run(self, way: Way, *, tenants: int | None = None, nothing_rounds: int = 0) -> Run:
        """Of all homes, or of the first so many, beside which the others just stand."""
        slugs = self.homes.slugs[:tenants]
        say(f"migrating {len(slugs)} tenants: {way.name}")
        with self.homes.database.copied("migrated") as database:
            with database.worker(way.contender) as worker:
                worker.call("seed", slugs=slugs)
            begin = time.perf_counter()
            with database.worker(way.contender) as worker:
                worker.call("ready")
                start = time.perf_counter() - begin
                answer = worker.call("run", management=way.command)
                peak = worker.call("peak")
            unequal = self.unequal(database, slugs)
            more = [finding_nothing(database, way) for _ in range(nothing_rounds)]
        errors = [answer["error"], *(error for _, error in more)]
        tell(errors)
        nothing = statistics.median(seconds for seconds, _ in more) if more else 0.0
        return Run(start, answer["seconds"], peak, unequal, sum(map(bool, errors)), nothing)

    def unequal(self, database: Database, slugs: list[str]) -> int:
        """Homes that are not what Django alone makes of them: all by rows, two in every detail."""
        wanted = self.homes.reference.facts
        with database.connect() as connection:
            wrong = {slug for slug in slugs if rows(connection, slug) != wanted.rows}
        wrong |= {slug for slug in (slugs[0], slugs[-1]) if Facts.of(database, slug) != wanted}
        return len(wrong)


def finding_nothing(database: Database, way: Way) -> tuple[float, str]:
    """Seconds of the command line, from the start of Python, and its error."""
    error = ""
    begin = time.perf_counter()
    try:
        database.django(way.contender, *way.command)
    except subprocess.SubprocessError as raised:
        error = str(raised)
    return time.perf_counter() - begin, error


def tell(errors: list[str]) -> None:
    """In short, for people; how many there were, and what they left undone, are figures."""
    for error in filter(None, errors):
        print(textwrap.shorten(error, 300), file=sys.stderr, flush=True)
