"""Every kind of work on the fleet, killed at random instants: the same command once more, and all
is as if nothing had happened.

The seed is printed; with it in DOMICILE_TEST_SEED the same instants are tried again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

import domicile
from domicile.fleet.orphans import find_orphans
from domicile.fleet.runs.control import resume_run
from domicile.fleet.runs.events import HomeEnded
from domicile.fleet.site import Site
from domicile.placement import TEMPLATE_NAME, Placement
from domicile.records import MigrationRun, Move
from domicile.registry import registry
from tests import chain, servers
from tests.growing import migrations
from tests.killing import SERVERS, Runner, ask, everything, instants
from tests.moving import fill
from tests.tenants import DATABASES, domicile_settings
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

SEED = int(os.environ.get("DOMICILE_TEST_SEED") or random.SystemRandom().randrange(10**6))


@dataclass(frozen=True)
class Work:
    """A command for one tenant, and how often it is killed."""

    words: str
    rounds: int
    #: Where the tenant is before; empty: there is none yet.
    source: str = ""
    #: With what the command is refused where its work is done.
    refused: str = ""
    #: Whose template is made too.
    template: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [self.words.replace(" --", " "), *self.options, "template" * bool(self.template)]
        return " ".join(filter(None, words))


ROLES = {"ROLES": True}
MIGRATED = {"CLONE": False}
CREATE = "create acme --domain acme.example --placement"
create = partial(Work, refused="SlugTaken")
move = partial(Work, refused="NotSupported")
drop = partial(Work, "drop acme --confirm acme", refused="UnknownTenant")
WORK = [
    create(f"{CREATE} schema", 6, options=MIGRATED | ROLES),
    create(f"{CREATE} file", 3, options=MIGRATED),
    create(f"{CREATE} schema", 6, template="schema", options=ROLES),
    create(f"{CREATE} database", 4, template="database"),
    create(f"{CREATE} file", 3, template="file"),
    move("move acme --grace 0s --to schema15", 6, source="schema", options=ROLES),
    move("move acme --grace 0s --to file", 3, source="schema"),
    move("move acme --grace 0s --to schema", 3, source="file"),
    drop(4, source="schema", options=ROLES),
    drop(3, source="database"),
]


@pytest.fixture(scope="module")
def runner(django_db_setup: None) -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


@pytest.fixture(autouse=True)
def _servers() -> None:
    for alias in SERVERS:
        servers.require(alias)
    print(f"DOMICILE_TEST_SEED={SEED}")


@contextmanager
def changed(options: dict[str, Any]) -> Iterator[None]:
    """`DOMICILE`, changed, for connections that know of no other."""
    with override_settings(DOMICILE=domicile_settings(**options)):
        renew_connections()
        try:
            yield
        finally:
            drop_all()
    renew_connections()


def renew_connections() -> None:
    for alias in SERVERS:
        connections[alias].close()
        del connections[alias]


def drop_all() -> None:
    connections.close_all()
    registry.clear()
    for tenant in University._base_manager.all():
        domicile.drop_tenant(tenant)


def check_as_if_undisturbed(expected: dict[str, Any]) -> None:
    found = everything()
    for what, wanted in expected.items():
        assert found[what] == wanted, what
    assert find_orphans() == []
    assert not Move.objects.exclude(phase=Move.Phase.DONE).exists()
    for alias in SERVERS:
        assert ask(alias, "SELECT objid FROM pg_locks WHERE locktype = 'advisory'") == []


@pytest.mark.parametrize("work", WORK, ids=str)
def test_work_on_one_tenant(runner: Runner, work: Work) -> None:
    met: Counter[str] = Counter()
    with changed(work.options):
        # What is done for the first time takes longer.
        for _ in range(2):
            prepare(work)
            outcome, seconds = runner.run(work.words, work.options)
            assert outcome == {"done": True}
        expected = everything()
        for fraction, victim in instants(f"{SEED} {work}", work.rounds):
            prepare(work)
            first = runner.run_killed(work.words, work.options, fraction * seconds, victim)
            again, _ = runner.run(work.words, work.options)
            print(f"{victim} at {fraction:.0%} of {seconds:.3f} s: {first}, then {again}")
            assert "done" in again or again["refused"] == work.refused, again
            check_as_if_undisturbed(expected)
            met.update(again.keys())
    assert met["done"], "the instants did not meet the work"


def prepare(work: Work) -> None:
    drop_all()
    if work.template:
        Site.of(Placement(work.template, TEMPLATE_NAME)).drop()
    if work.source:
        fill(domicile.create_tenant("acme", placement=work.source), 100)


FORWARDS, BACKWARDS = "migrate --jobs 2 --batch 1", "migrate students 0001 --jobs 2 --batch 1"


@pytest.mark.parametrize(
    ("placement", "sources", "rounds", "options"),
    [
        ("schema", chain.sources(), 4, ROLES),
        ("schema", chain.CONCURRENT, 4, {}),
        ("file", chain.sources(), 3, {}),
    ],
    ids=["schema", "schema-concurrently", "file"],
)
def test_migrations_forwards_and_backwards(
    placement: str, sources: dict[str, str], rounds: int, options: dict[str, Any], tmp_path: Path
) -> None:
    seconds, expected = {}, {}
    with changed(options):
        for slug in ("accra", "kumasi", "tamale"):
            fill(domicile.create_tenant(slug, placement=placement), 10)
        with migrations(tmp_path, sources), Runner() as runner:
            # Content types outlive their models, so the first time is not like the others.
            for words in (FORWARDS, BACKWARDS) * 2:
                outcome, seconds[words] = runner.run(words, options)
                assert outcome == {"done": True}
                expected[words] = everything()
            for fraction, victim in instants(f"{SEED} {placement} {len(sources)}", rounds):
                for words in (FORWARDS, BACKWARDS):
                    after = fraction * seconds[words]
                    first = runner.run_killed(words, options, after, victim)
                    again, _ = runner.run(words, options)
                    print(f"{victim} at {fraction:.0%} of {seconds[words]:.3f} s: {first}")
                    assert again == {"done": True}
                    check_as_if_undisturbed(expected[words])
                    end_runs()


def end_runs() -> None:
    """What was cut off is recorded as such, and can be gone on with: there is nothing to do."""
    for run in MigrationRun.objects.filter(ended_at=None):
        hows = {event.how for event in resume_run(run.pk) if isinstance(event, HomeEnded)}
        assert hows <= {"nothing"}
    assert not MigrationRun.objects.filter(ended_at=None).exists()
