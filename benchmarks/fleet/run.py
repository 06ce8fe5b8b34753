"""What tenants' homes cost to make and to migrate: Domicile, its peers and the limit.

    python benchmarks/fleet/run.py [--tenants N] [--parts PART ...] [--alone]

One `name value limit` line is printed for each figure; the exit code is 1 when a value is over
its limit. A limit of `-` means that the figure is there for comparison.

Who takes part. django-tenants with its standard and its multiprocessing executor, django-pgschemas
sequential and parallel, both also with their way to clone a tenant, and Domicile: each in an
environment of its own (benchmarks/.environments) with the same Python, Django and psycopg
(benchmarks/requirements), each as it comes. They house the same school (project/school): 28 models
made by twenty migrations, and a new one that adds a field, an index and a model; contenttypes,
auth, sessions and admin are the tenants' own, too. PostgreSQL 18 is started for the run, without
autovacuum and without fsync, in a temporary folder: in memory where there is room, or else what is
measured is how fast the disk makes files.

The limit. Django alone, with its own engine and no tenants, migrates one home. What pg_dump writes
of that is replayed for a new home, in one message (`create.limit.dump`; `inline` is the same with
keys and identities inside `CREATE TABLE`); what `sqlmigrate` prints of the new migration, with the
row of `django_migrations`, goes to each home in one message and transaction (`migrate.N.limit`);
one query asks all homes what they have applied (`nothing.N.limit`).

The homes are made by the limit's SQL, the same for everybody, and each measurement works on a
copy of that database, made as files; only the directory of tenants is the contender's own. After
each run every home's content types, permissions and migrations, and by pg_dump the whole
definition of the first and the last, must be what Django alone makes of them: `unequal` counts
those that are not, `failed` the runs that ended with an error. Both only inform about the peers.

Create. Seconds in which a process that has done so before makes a tenant, row and home, beside
100 others: medians of twenty in turn with the limit, of five for the peers. `ready` is the claim of
a home that was made beforehand.

Migrate. Seconds of the management command over all tenants in a process of its own, the start of
Django apart; medians of nine runs at 100 tenants and of three at 300, in turn with the limit; one
of each peer. `per-tenant` is what a tenant takes more than in the fleet of 100, `memory` what the
process holds more than that of a run over ten. `nothing` is the same command once more, on the
command line, from the start of Python.

Applications. wagtail and django-oscar with all their migrations as tenants' apps, on the newest
Django. A home that Django alone migrated, one that Domicile migrated while it captured the
statements, one where they were replayed and one that was cloned must be the same, by Domicile's
fingerprint (`fingerprints.unequal`), and by pg_dump, of what their dumps restore, and the number of
rows (`dumps.unequal`).

Limits. The requirements name them all but those that are 0.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from applications import application_figures
from contenders import CONTENDERS
from creating import create_figures, ready_figures
from databases import APPLICATIONS, Database
from homes import Homes
from migrating import Migrating
from reference import Reference

from benchmarks.environments import environment
from benchmarks.report import Figure, guarded, say, show
from tests.servers import PostgresServer

PARTS = ("create", "migrate", "applications")
FLEETS = (100, 300, 1000)  # tenants
PEERS_UP_TO = 300  # beyond, the peers are left out
# A thousand schemas are 200,000 files: their making and their end would be most of what is seen.
MEMORY = Path("/dev/shm")
ROOM = 10_000_000  # bytes a tenant, and its copies
# Room for thousands of schemas, and nothing that begins by itself in the midst of a measurement.
SERVER = {
    "autovacuum": "off",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "shared_buffers": "512MB",
    "max_locks_per_transaction": 256,
}


def main() -> int:
    options = parse()
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM * options.tenants:
        os.environ.setdefault("DOMICILE_TEST_FOLDER", str(MEMORY))
    for contender in ["domicile"] if options.alone else CONTENDERS:
        environment(contender)
    server = PostgresServer(18, **SERVER)
    server.start()
    try:
        figures = [told(figure) for figure in measured(server, options)]
        show(figures, "Domicile's fleet, its peers' and the limit")
    finally:
        server.discard()
    return int(any(figure.over for figure in figures))


def told(figure: Figure) -> Figure:
    """The figures of a long run are shown as they come, also those of one that is broken off."""
    print(figure, figure.note, file=sys.stderr)
    return figure


def measured(server: PostgresServer, options: argparse.Namespace) -> Iterator[Figure]:
    if "applications" in options.parts:
        for name in APPLICATIONS:
            yield from guarded(name, application_figures(name, Database(server, name)))
    if {"create", "migrate"}.isdisjoint(options.parts):
        return
    say("making the first home by Django")
    homes = Homes(server, Reference.make(Database(server, "reference")))
    fleets = [size for size in FLEETS if size <= options.tenants] or [options.tenants]
    if "create" in options.parts:
        homes.grow(fleets[0])
        yield from guarded("create", create_figures(homes, peers=not options.alone))
        yield from guarded("create.ready", ready_figures(homes))
    if "migrate" in options.parts:
        yield from migrate_figures(homes, fleets, alone=options.alone)


def migrate_figures(homes: Homes, fleets: list[int], *, alone: bool) -> Iterator[Figure]:
    migrating = Migrating(homes)
    with_peers = [] if alone else [size for size in fleets if size <= PEERS_UP_TO]
    for size in fleets:
        homes.grow(size)
        figures = migrating.figures(
            peers=size in with_peers, peers_nothing=size == max(with_peers, default=0)
        )
        yield from guarded(f"migrate.{size}", figures)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Domicile's fleet, its peers' and the limit.")
    parser.add_argument(
        "--tenants", type=int, default=FLEETS[-1], help="of the largest fleet (%(default)s)"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--alone", action="store_true", help="Domicile and the limit only")
    options = parser.parse_args()
    if sys.version_info < (3, 12):
        parser.error("django-pgschemas needs Python 3.12 or newer, and all run on the same")
    return options


if __name__ == "__main__":
    sys.exit(main())
