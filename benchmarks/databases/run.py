"""What many databases cost: the router, replicas, months, and the monitor.

    python benchmarks/databases/run.py [--quick] [--parts PART ...]

One `name value limit` line is printed for each figure; the exit code is 1 when a value is over
its limit. A limit of `-` means that the figure is there for comparison.

PostgreSQL 18 is started for the run, in a temporary folder: a primary and two replicas that follow
it by streaming. Django alone and Domicile work in processes and environments of their own
(benchmarks/.environments), one after the other in blocks of some milliseconds, in another order
each round; so what slows the machine for longer than a round cancels out in the ratios. Before
anything is measured, what is read is compared with what must be there.

Route. Nanoseconds of the processor that `queryset.db` takes: the question that every query asks
once, Django's own part of it included. `none` is Django without a router, `hand` with one as
projects write it (project/routers.py), `domicile` with rules that say the same. `unplaced` is a
model that no rule names, `placed` one whose app has a database, `replicas` one whose database has
two, of which the unit of work chose one before, `write` a write of that, and `tenant-replicas` a
tenant's model where tenants are in such a database. Nanoseconds are those of the machine: the
slowest of the fastest tenth of the rounds, and the limit is for a machine that nobody else uses.

Reads. A row looked up by key, over and over, with one or ten queries in a unit of work: `1` and
`10`. `per-second` is what one client reads with none, one or two replicas; here all servers and the
client share one machine, so that more of them read no faster. `time` is the ratio to a client
without the rule, which names the same replicas in the same turn. Each client is the mean of four
processes, since alike ones differ by some hundredths. `balancing` is what the client's processor
does more for a query than where the replica is named, in parts of what that query takes. Within one
process the ways take turns, unit of work by unit of work, and their medians are compared: so it is
more certain than what compares processes, though two runs still differ by some microseconds.
`domicile` is the rule, which chooses a replica once in a unit of work; `hand` is a router written
by hand (project/routers.py), which takes any for each query, and knows nothing of units of work or
of replicas that are behind. The limit is for ten queries, a request's: with one, beginning a unit
of work and ending it shows too.

Fan-out. Readings of 24 months, each in a schema: the `newest` and the `highest` fifty, the `whole`
in the order of time, and their `count`. In multiples of 24 queries by hand: Django alone with a
model for each month's table, and the answers merged. `rule` is one queryset over all of them;
`aliases` is a query by hand to each month's alias. With `rule`, `newest` reads no further back than
it has to.

Monitor. What the threads of one process, which reads nothing more, ask of each server in a minute:
statements and their milliseconds, by the server's own log (`log_min_duration_statement`), and the
milliseconds of the client's processor.

Limits. The requirements name those of a route and of balancing. The others are ours: one statement
a second, a thousandth of the server's time, and a fan-out that takes 1.2 times what is done by
hand.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cluster import Cluster
from fanning import fan_out_figures
from reading import read_figures
from routing import route_figures
from watching import watch_figures

from benchmarks.environments import environment
from benchmarks.report import Figure, guarded, show

PARTS = {  # and seconds: of the rounds of one figure, or all of the monitor's
    "route": (route_figures, 10.0, 3.0),
    "reads": (read_figures, 24.0, 6.0),
    "fan-out": (fan_out_figures, 6.0, 2.0),
    "monitor": (watch_figures, 60.0, 12.0),
}


def main() -> int:
    options = parse()
    for contender in ("plain", "domicile"):
        environment(contender)
    cluster = Cluster()
    try:
        cluster.start()
        cluster.fill()
        figures = list(measured(cluster, options))
    finally:
        cluster.discard()
    show(figures, "Domicile's databases")
    return int(any(figure.over for figure in figures))


def measured(cluster: Cluster, options: argparse.Namespace) -> Iterator[Figure]:
    for part in options.parts:
        figures, long, quick = PARTS[part]
        yield from guarded(part, figures(cluster, quick if options.quick else long))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What many databases cost.")
    parser.add_argument("--quick", action="store_true", help="a minute, less certain")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
