"""Plain threads: they start with no tenant, and never see another thread's."""

from __future__ import annotations

import random
from threading import Barrier

import pytest
from django.db import IntegrityError, connection, transaction

import domicile
from domicile.exceptions import TenantRequired
from tests.isolation.campus import (
    PLACEMENTS,
    Campus,
    enrol,
    homes,
    in_thread,
    in_threads,
    rolled_back,
    truth,
)
from tests.testproject.students.models import Student

THREADS = 6
STEPS = 25


def test_thread_starts_with_no_tenant(campus: Campus, placement: str):
    a, _ = campus.pair(placement)
    enrol(a, "1")
    with a.activate():
        with pytest.raises(TenantRequired):
            in_thread(homes)
        assert in_thread(domicile.current_tenant) is None
        assert in_thread(domicile.bind(homes)) == [a.slug]
        bound = domicile.bind(domicile.current_tenant)
    assert in_thread(bound) == a
    assert domicile.current_tenant() is None


def test_one_activation_entered_by_many_threads(campus: Campus):
    a, b = campus("schema/a", "schema/b")
    activation, barrier = a.activate(), Barrier(4)

    def work(other):
        with other.activate(), activation:
            barrier.wait()
            seen = [domicile.current_tenant().slug, connection.alias]
            barrier.wait()
        barrier.wait()
        return [*seen, domicile.current_tenant()]

    seen = in_threads([lambda other=other: work(other) for other in (a, b, a, b)])
    assert seen == [[a.slug, a.alias, None]] * 4


def test_threads_that_mix_tenants(campus: Campus):
    tenants = campus(*(f"{placement}/{letter}" for placement in PLACEMENTS for letter in "ab"))
    barrier = Barrier(THREADS)
    written = in_threads(
        [lambda number=number: _mix(number, tenants, barrier) for number in range(THREADS)]
    )
    for tenant in tenants:
        mine = {key for keys in written for slug, key in keys if slug == tenant.slug}
        assert truth(tenant) == dict.fromkeys(mine, tenant.slug)


def _mix(number, tenants, barrier):
    dice, written = random.Random(number), []
    for step in range(STEPS):
        # Those in a file take turns for seconds where many write at once.
        tenant = dice.choice([t for t in tenants if "file" not in t.slug or number == 0])
        if step % 5 == 0:
            barrier.wait()
        with tenant.activate():
            written += _step(dice, tenant, f"{number}-{step}")
            assert set(homes()) <= {tenant.slug}
    return written


def _step(dice, tenant, key):
    """Do one thing that leaves a session somewhere; return the rows that are committed."""
    match dice.randrange(4):
        case 0:
            enrol(tenant, key)
            return [(tenant.slug, key)]
        case 1:
            with transaction.atomic():
                enrol(tenant, key)
            return [(tenant.slug, key)]
        case 2:
            with rolled_back():
                enrol(tenant, key)
            return []
        case _:
            with transaction.atomic():
                enrol(tenant, key)
                with pytest.raises(IntegrityError), transaction.atomic():
                    Student.objects.create(registration=key, home=tenant.slug)
                assert Student.objects.get(registration=key).home == tenant.slug
            return [(tenant.slug, key)]
