"""What a tenant costs a request: Domicile and its peers as ratios to plain Django.

    python benchmarks/requests/run.py [--quick] [--bare] [--tuned] [--contenders NAME ...]

One `name value limit` line is printed for each figure; the exit code is 1 when a value is over
its limit. A limit of `-` means that the figure is there for comparison.

The contenders are plain Django on one schema, django-tenants, django-pgschemas and Domicile, each
in an environment of its own (benchmarks/.environments) with the same Python, Django and psycopg
(benchmarks/requirements); and `by-hand`, which is the limit that tenants in schemas have anyway:
plain Django that sends `SET search_path` in the message of a request's first query, and heeds
nothing else (project/by_hand). They serve the same project (project/): a student looked up by key
never, once or ten times. Around it stands the middleware that `startproject` writes, for that is
what a request costs at least in most projects; `--bare` leaves it out, which makes any overhead
look its worst and is beyond the limits. The peers run as they come; `--tuned` switches on their
option to send fewer SETs. PostgreSQL 18 is started for the run, in a temporary folder, with one
database for each contender and one schema for each of a hundred tenants. Before anything is
measured, every tenant is asked for its rows, and they must be its own.

Time. Each contender has long-lived processes that call Django's own WSGIHandler or ASGIHandler,
without a socket, with the hosts of the hundred tenants in turn, and close each response, so that
request_finished fires. Plain Django, `by-hand` and Domicile have four each, since processes that do
the same differ by one or two hundredths; a peer has one. Under WSGI the connection stays open
(CONN_MAX_AGE None); under ASGI, where each request has a thread of its own, Django's pool holds it.
The processes work one after the other in blocks of some ten milliseconds, in another order each
round, the peers in every fifth round only; a contender's mean in a round is divided by plain's in
the same round, and the median of these is the figure. So what slows the machine for longer than a
round cancels out. The table says within what the median is certain; on a busy machine that can be
more than a narrow limit leaves.

Statements and round trips. In a pass that is not timed the same requests go through a proxy at
the server's door. It reads the server's answers: each CommandComplete is a statement executed,
however many of them one message carried. Bytes of the client that follow an answer begin a round
trip. Reported is what a request makes more than plain's does. `find` is the view without a query:
whatever is sent there is sent to find the tenant. Of two passes the smaller counts, because once
in some seconds a registry may ask whether it is still up to date.

Fleet. Domicile with ten and with 10,000 tenants, each with a schema and a table of its own. `time`
compares ten tenants of each, once the process has seen all 10,000 hosts; `all` takes the 10,000
in turn, where PostgreSQL has to read its catalog for each. `memory` is in kilobytes: what Python's
allocator holds more for each host once seen.

Limits. The requirements name those of one and of ten queries, of statements and round trips, of
the fleet and of memory; where `by-hand` is over a limit, nobody can be under it. For the view
without a query they name none, and 1.10 is ours.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from measures import CONTENDERS, MANY, Options, measure

from benchmarks.environments import environment
from benchmarks.report import show
from tests.servers import PostgresServer


def main() -> int:
    options = parse()
    for contender in options.contenders:
        environment(contender)
    server = PostgresServer(18, autovacuum="off")
    server.start()
    try:
        figures = list(measure(server, options))
    finally:
        server.discard()
    show(figures, "Domicile and its peers, against plain")
    return int(any(figure.over for figure in figures))


def parse() -> Options:
    parser = argparse.ArgumentParser(description="Domicile's requests against plain Django's.")
    parser.add_argument(
        "--quick", action="store_true", help="a minute, less certain, a smaller fleet"
    )
    parser.add_argument("--bare", action="store_true", help="no middleware but the contender's")
    parser.add_argument("--tuned", action="store_true", help="the peers' SET only when it changes")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    given = parser.parse_args()
    if sys.version_info < (3, 12):
        parser.error("django-pgschemas needs Python 3.12 or newer, and all run on the same")
    wanted = {"BENCH_BARE": given.bare, "BENCH_TUNED": given.tuned}
    flags = tuple(name for name, on in wanted.items() if on)
    contenders = tuple(c for c in CONTENDERS if c in {"plain", *given.contenders})
    seconds = {"wsgi": 5.0, "asgi": 10.0} if given.quick else {"wsgi": 20.0, "asgi": 45.0}
    return Options(contenders, seconds, 2_000 if given.quick else MANY, flags)


if __name__ == "__main__":
    sys.exit(main())
