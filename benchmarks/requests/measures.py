"""What is measured, as run.py says, and the promises it is held against."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from proxy import CountingProxy, Counts
from workers import Home, Worker, seed

from benchmarks.report import Figure, say
from tests.servers import PostgresServer

CLOSE = ("plain", "by-hand", "domicile")  # to each other, so they are measured most
PEERS = ("django-tenants", "django-pgschemas")
CONTENDERS = (*CLOSE, *PEERS)
SERVERS = ("wsgi", "asgi")
VIEWS = ("no", "one", "ten")
BLOCKS = {  # requests in one block, no, one and ten: some ten milliseconds
    "wsgi": dict(zip(VIEWS, (50, 20, 4), strict=True)),
    "asgi": dict(zip(VIEWS, (8, 6, 3), strict=True)),
}
PROCESSES = 4  # of each that is close: alike processes differ by some hundredths
MIN_ROUNDS = 20
PEERS_EVERY = 5  # rounds: the time goes to those that are close
LEAD = 2  # untimed requests before each block, for the processor's caches
TENANTS = 100
FEW, MANY = 10, 10_000  # tenants of the fleets compared

TIME_LIMITS = {"no": 1.10, "one": 1.05, "ten": 1.02}
STATEMENTS_LIMITS = {"no": 0, "one": 1, "ten": 1}
ROUND_TRIPS_LIMIT = 0
FLEET_LIMIT = 1.05
MEMORY_LIMIT = 1.0


@dataclass(frozen=True)
class Options:
    contenders: tuple[str, ...]
    seconds: dict[str, float]  # for the rounds of one view, by server
    many: int  # tenants of the large fleet
    flags: tuple[str, ...]

    def limit(self, contender: str, value: float) -> float | None:
        return value if contender == "domicile" and "BENCH_BARE" not in self.flags else None


def measure(server: PostgresServer, options: Options) -> Iterator[Figure]:
    say("filling the databases")
    homes = [filled(server, name, TENANTS, options) for name in options.contenders]
    for kind in SERVERS:
        yield from time_figures(homes, kind, options)
    for kind in SERVERS:
        yield from count_figures(homes, kind, options)
    if "domicile" in options.contenders:
        yield from fleet_figures(server, options)


def filled(server: PostgresServer, contender: str, tenants: int, options: Options) -> Home:
    name = f"{contender.replace('-', '_')}_{tenants}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    address = server.django_settings()
    home = Home(contender, name, address["HOST"], address["PORT"], address["USER"], options.flags)
    seed(home, tenants)
    return home


def time_figures(homes: list[Home], kind: str, options: Options) -> Iterator[Figure]:
    with contextlib.ExitStack() as stack:
        teams = []
        for home in homes:
            count = PROCESSES if home.contender in CLOSE else 1
            teams.append([stack.enter_context(Worker(home, kind)) for _ in range(count)])
        for worker in itertools.chain(*teams):
            check(worker, TENANTS)
        for view in VIEWS:
            say(f"timing {kind}, {view}")
            rounds = list(timed_rounds(teams, view, options.seconds[kind]))
            plain = statistics.median(times[0] for times in rounds) * 1000
            for number, home in enumerate(homes[1:], 1):
                limit = options.limit(home.contender, TIME_LIMITS[view])
                ratio, doubt = to_first(rounds, number)
                note = f"{doubt}, plain {plain:.2f} ms"
                yield Figure(f"{kind}.{view}.time.{home.contender}", ratio, limit, note)


def check(worker: Worker, tenants: int) -> None:
    """Every tenant's answers are checked, which also warms everything up."""
    worker.call("rotate", stop=tenants)
    worker.call("verify", contender=worker.contender, tenants=tenants)
    worker.call("freeze")


def timed_rounds(
    teams: list[list[Worker]], view: str, seconds: float
) -> Iterator[dict[int, float]]:
    """Seconds a request of each team that took part, by its number, round after round."""
    orders = itertools.cycle(itertools.permutations(range(len(teams))))
    end = time.monotonic() + seconds
    for turn, order in enumerate(orders):
        if time.monotonic() > end and turn >= MIN_ROUNDS:
            return
        everybody = turn % PEERS_EVERY == 0
        taking_part = [n for n in order if everybody or teams[n][0].contender in CLOSE]
        blocks: dict[int, list[float]] = {number: [] for number in taking_part}
        for member in range(PROCESSES):
            for number in taking_part:
                if member < len(teams[number]):
                    blocks[number].append(timed_block(teams[number][member], view))
        yield {number: statistics.fmean(times) for number, times in blocks.items()}


def timed_block(worker: Worker, view: str) -> float:
    requests = BLOCKS[worker.server][view]
    return worker.call("serve", view=view, requests=requests, lead=LEAD) / requests


def to_first(rounds: list[dict[int, float]], number: int) -> tuple[float, str]:
    """A team's median ratio to the first, and within what it is certain (McGill's notch)."""
    ratios = [times[number] / times[0] for times in rounds if number in times]
    low, median, high = statistics.quantiles(ratios)
    return median, f"± {1.57 * (high - low) / len(ratios) ** 0.5:.3f}"


def count_figures(homes: list[Home], kind: str, options: Options) -> Iterator[Figure]:
    say(f"counting under {kind}")
    plain, *others = [(home.contender, counted(home, kind)) for home in homes]
    for contender, counts in others:
        for view, count in counts.items():
            base = plain[1][view]
            extra = (count.statements - base.statements) / TENANTS
            trips = (count.round_trips - base.round_trips) / TENANTS
            name = f"{kind}.{'find' if view == 'no' else view}"
            limit = options.limit(contender, STATEMENTS_LIMITS[view])
            yield Figure(f"{name}.statements.{contender}", extra, limit)
            limit = options.limit(contender, ROUND_TRIPS_LIMIT)
            yield Figure(f"{name}.round-trips.{contender}", trips, limit)


def counted(home: Home, kind: str) -> dict[str, Counts]:
    """What one request to each tenant makes of statements and round trips, by view."""
    with (
        CountingProxy(home.host, home.port) as proxy,
        Worker(home.through(proxy.port), kind) as worker,
    ):
        worker.call("rotate", stop=TENANTS)
        worker.call("serve", view="one", requests=TENANTS)
        return {view: smaller_pass(worker, view, proxy) for view in VIEWS}


def smaller_pass(worker: Worker, view: str, proxy: CountingProxy) -> Counts:
    passes = []
    for _ in range(3):  # In one of them, or two, a process may look for changes of tenants.
        proxy.take()
        worker.call("serve", view=view, requests=TENANTS)
        passes.append(proxy.take())
    return min(passes, key=lambda counts: (counts.statements, counts.round_trips))


def fleet_figures(server: PostgresServer, options: Options) -> Iterator[Figure]:
    many = options.many
    say(f"making {many} tenants")
    homes = [filled(server, "domicile", tenants, options) for tenants in (FEW, many)]
    with Worker(homes[0], "wsgi") as small, Worker(homes[1], "wsgi") as large:
        large.call("rotate", stop=TENANTS)
        large.call("serve", view="no", requests=TENANTS)
        say(f"timing {FEW} and {many} tenants")
        bytes_each = large.call("grown", start=TENANTS, stop=many)
        check(small, FEW)
        large.call("rotate", stop=many, step=many // FEW)
        large.call("serve", view="one", requests=TENANTS)
        large.call("freeze")
        rounds = list(timed_rounds([[small], [large]], "one", options.seconds["wsgi"]))
        ratio, doubt = to_first(rounds, 1)
        limit = options.limit("domicile", FLEET_LIMIT)
        note = f"{doubt}, {FEW} tenants of each"
        yield Figure(f"fleet.{many}.time.domicile", ratio, limit, note)
        limit = options.limit("domicile", MEMORY_LIMIT)
        yield Figure(f"fleet.{many}.memory.domicile", bytes_each / 1024, limit, "KB a tenant")
        yield from whole_fleet_figures(small, large, options)


def whole_fleet_figures(small: Worker, large: Worker, options: Options) -> Iterator[Figure]:
    many = options.many
    say(f"asking all {many} tenants")
    before = large.call("resident")
    large.call("rotate", stop=many)
    large.call("serve", view="one", requests=many)
    held = (large.call("resident") - before) / many / 1024
    ratio, doubt = to_first(
        list(timed_rounds([[small], [large]], "one", options.seconds["wsgi"])), 1
    )
    note = f"{doubt}, every tenant in turn"
    yield Figure(f"fleet.{many}.all-time.domicile", ratio, None, note)
    yield Figure(f"fleet.{many}.all-memory.domicile", held, None, "KB of the process a tenant")
