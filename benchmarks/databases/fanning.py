"""Reads of 24 months at once, beside a query for each month that somebody wrote by hand."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from statistics import median

from cluster import Cluster
from rounds import median_of, rounds

from benchmarks.report import Figure, say

LIMIT = 1.2
READS = {"newest": 2, "highest": 1, "whole": 1, "count": 2}  # how often in one block
# Who merges, and what a month's query is sent to: a table in its schema, or the month's alias.
WAYS = {"hand": "plain", "aliases": "domicile", "rule": "domicile"}


def fan_out_figures(cluster: Cluster, seconds: float) -> Iterator[Figure]:
    with ExitStack() as stack:
        by_settings = {
            settings: stack.enter_context(cluster.worker(settings, replicas=0))
            for settings in set(WAYS.values())
        }
        workers = {way: by_settings[settings] for way, settings in WAYS.items()}
        for way, worker in workers.items():
            worker.call("verify", way=way)
            worker.call("freeze")
        for read, loops in READS.items():
            say(f"reading 24 months, {read}")
            blocks = {
                way: partial(worker.call, read, loops=loops, way=way)
                for way, worker in workers.items()
            }
            found = rounds(blocks, seconds)
            hand = median(values["hand"] for values in found) / loops * 1000
            for way, limit in (("aliases", None), ("rule", LIMIT)):
                value, doubt = median_of([values[way] / values["hand"] for values in found])
                note = f"{doubt}, by hand {hand:.2f} ms"
                yield Figure(f"fan-out.{read}.time.{way}", value, limit, note)
