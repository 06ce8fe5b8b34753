"""`kill -9` of a process that creates a tenant: nobody sees the half, and the next call is fine."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from django.test import override_settings

import domicile
from domicile.exceptions import TenantBusy, UnknownTenant
from domicile.fleet.site import Site
from domicile.placement import TEMPLATE_NAME, Placement
from domicile.registry import registry
from tests.creating import Creator
from tests.processes import eventually, in_turns
from tests.tenants import DATABASES, domicile_settings
from tests.testproject.students.models import Student
from tests.testproject.universities.models import Hostname, University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

SEED = 20261121


@pytest.fixture(scope="module")
def creator(django_db_setup: None) -> Iterator[Creator]:
    with Creator() as creator:
        yield creator


@pytest.fixture(scope="module")
def migrating_creator(django_db_setup: None) -> Iterator[Creator]:
    with Creator(TESTPROJECT_MIGRATES="1") as creator:
        yield creator


def kinds_of_steps(placement: str) -> list[str]:
    """The kind of each step of an undisturbed run, which is then dropped."""
    steps: list[str] = []
    domicile.create_tenant(
        "steps", placement=placement, progress=lambda step: steps.append(step.kind)
    )
    domicile.drop_tenant("steps")
    return steps


def template_of(placement: str) -> Site:
    return Site.of(Placement(placement, TEMPLATE_NAME))


def check_nobody_sees(slug: str) -> None:
    registry.clear()
    assert registry.by_slug(slug) is None
    assert registry.by_host(f"{slug}.example") is None
    assert not University.objects.visible().exists()
    with pytest.raises(UnknownTenant), domicile.activate(slug):
        pass


def check_can_be_created(slug: str, placement: str) -> None:
    def created() -> bool:
        try:
            domicile.create_tenant(slug, placement=placement, domains=[f"{slug}.example"])
        except TenantBusy:
            return False  # The server has not noticed yet that the holder of the lock is dead.
        return True

    eventually(created)
    with domicile.activate(slug):
        Student.objects.create(registration="1", name="Ama", home=slug)
        assert Student.objects.get().home == slug
    domicile.drop_tenant(slug)
    assert not University.objects.exists()
    assert not Hostname.objects.exists()


def check_each_kill(creator: Creator, placement: str, kinds: list[str]) -> None:
    for number in in_turns(range(1, len(kinds))):
        pid = creator.start("acme", placement, stop_at=number)
        assert creator.outcome()["stopped"] == kinds[number - 1]
        check_nobody_sees("acme")
        with pytest.raises(TenantBusy, match="acme"):
            domicile.create_tenant("acme", placement=placement)
        creator.end(pid)
        check_nobody_sees("acme")
        check_can_be_created("acme", placement)


def test_killed_at_each_step(creator: Creator, placement: str) -> None:
    kinds_of_steps(placement)  # The template is there from now on.
    kinds = kinds_of_steps(placement)
    assert kinds == ["row", "home", "clone", "complete"]
    check_each_kill(creator, placement, kinds)


def test_killed_at_each_step_of_migrating(migrating_creator: Creator, placement: str) -> None:
    with override_settings(DOMICILE=domicile_settings(CLONE=False)):
        kinds = kinds_of_steps(placement)
        assert kinds[:3] == ["row", "home", "migration"]
        check_each_kill(migrating_creator, placement, [*kinds[:3], kinds[-1]])


def test_killed_while_the_template_is_made(creator: Creator, placement: str) -> None:
    template_of(placement).drop()
    kinds = kinds_of_steps(placement)
    assert kinds[:3] == ["row", "template", "template"]
    template_of(placement).drop()
    pid = creator.start("acme", placement, stop_at=2)
    assert creator.outcome()["stopped"] == "template"
    # Nobody waits for it: there are migrations.
    assert set(kinds_of_steps(placement)) == {"row", "home", "migration", "complete"}
    creator.end(pid)
    check_nobody_sees("acme")
    eventually(lambda: "clone" in kinds_of_steps(placement))
    check_can_be_created("acme", placement)


@pytest.mark.parametrize("placement", ["schema", "file"])
def test_killed_when_it_was_complete(creator: Creator, placement: str) -> None:
    kinds_of_steps(placement)  # The first may make the template.
    kinds = kinds_of_steps(placement)
    pid = creator.start("acme", placement, stop_at=len(kinds))
    assert creator.outcome()["stopped"] == "complete"
    creator.end(pid)
    registry.clear()
    assert registry.by_host("acme.example")
    with domicile.activate("acme"):
        assert not Student.objects.exists()
    eventually(lambda: _drops("acme"))


def _drops(slug: str) -> bool:
    try:
        domicile.drop_tenant(slug)
    except TenantBusy:
        return False
    return True


def test_killed_at_random_instants(creator: Creator) -> None:
    durations = {
        placement: min(duration_of(creator, placement) for _ in range(3))
        for placement in ("schema", "file")
    }
    instants = random.Random(SEED)
    cut_off = 0
    for turn in range(20):
        placement = ("schema", "file")[turn % 2]
        pid = creator.start("acme", placement)
        time.sleep(durations[placement] * (turn + instants.random()) / 20)
        creator.end(pid)
        registry.clear()
        if registry.by_slug("acme"):
            eventually(lambda: _drops("acme"))
            continue
        cut_off += 1
        check_nobody_sees("acme")
        check_can_be_created("acme", placement)
    assert cut_off >= 10, "the instants did not meet the work"


def duration_of(creator: Creator, placement: str) -> float:
    started = time.monotonic()
    creator.start("acme", placement)
    assert creator.outcome()["done"]
    duration = time.monotonic() - started
    assert "ended" in creator.hear()
    domicile.drop_tenant("acme")
    return duration
