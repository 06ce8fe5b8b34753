"""What was registered with `on_commit` runs in the tenant that registered it."""

from __future__ import annotations

import pytest
from django.db import connections, transaction

import domicile
from tests.isolation.campus import Campus, enrol, homes, in_thread, rolled_back, truth


def note(seen):
    def hook():
        tenant = domicile.current_tenant()
        seen.append((tenant and tenant.slug, homes() if tenant else None))

    return hook


def test_hooks_run_where_they_were_registered(campus: Campus, placement: str):
    a, b = campus.pair(placement)
    seen = []
    with a.activate(), transaction.atomic():
        enrol(a, "1")
        transaction.on_commit(note(seen))
        with b.activate(), transaction.atomic():
            enrol(b, "1")
            transaction.on_commit(note(seen))
            with domicile.no_tenant():
                transaction.on_commit(note(seen), using="shared")
        transaction.on_commit(note(seen))
        with b.activate():
            transaction.on_commit(note(seen), using=a.alias)
    assert sorted(seen, key=str) == sorted(
        [(a.slug, [a.slug])] * 2 + [(b.slug, [b.slug])] * 2 + [(None, None)], key=str
    )
    assert domicile.current_tenant() is None


def test_hooks_of_a_rolled_back_savepoint_are_dropped(campus: Campus, placement: str):
    a, b = campus.pair(placement)
    seen = []
    with a.activate(), transaction.atomic():
        with rolled_back():
            enrol(a, "1")
            transaction.on_commit(note(seen))
            with b.activate(), transaction.atomic():
                transaction.on_commit(note(seen), using=a.alias)
        transaction.on_commit(note(seen))
        assert seen == []
    assert seen == [(a.slug, [])]


def test_nested_tenants_of_one_database_commit_or_roll_back_together(campus: Campus):
    for template, inner_stays in (("schema", False), ("schema15", False), ("database", True)):
        a, b = campus.pair(template)
        with a.activate(), rolled_back():
            enrol(a, "1")
            with b.activate(), transaction.atomic():
                enrol(b, "1")
        assert truth(a) == {}
        assert truth(b) == ({"1": b.slug} if inner_stays else {})


def test_savepoint_rolled_back_in_another_tenant(campus: Campus, placement: str):
    a, b = campus.pair(placement)
    with a.activate(), transaction.atomic():
        enrol(a, "1")
        with rolled_back():
            enrol(a, "2")
            with b.activate(), transaction.atomic():
                enrol(b, "1")
            assert homes() == [a.slug] * 2
        # The rollback took back whatever had been set since the savepoint.
        enrol(a, "3")
        assert homes() == [a.slug] * 2
        with b.activate():
            assert set(homes()) <= {b.slug}
    assert truth(a) == {"1": a.slug, "3": a.slug}


def test_hook_registered_outside_runs_outside(campus: Campus):
    (a,) = campus("schema/a")
    seen = []
    with transaction.atomic():
        transaction.on_commit(note(seen))
        with a.activate():
            transaction.on_commit(note(seen), using="shared")
    assert seen == [(None, None), (a.slug, [])]


def test_failing_hook_leaves_no_tenant_behind(campus: Campus):
    a, b = campus("schema/a", "schema/b")
    seen = []
    with b.activate():
        with pytest.raises(ZeroDivisionError), transaction.atomic(), a.activate():
            transaction.on_commit(lambda: 1 / 0)
        assert domicile.current_tenant() == b
        with transaction.atomic():
            transaction.on_commit(lambda: 1 / 0, robust=True)
            transaction.on_commit(note(seen))
    assert seen == [(b.slug, [])]


def test_transaction_of_another_thread_is_its_own(campus: Campus, placement: str):
    a, b = campus.pair(placement)
    with a.activate(), transaction.atomic():
        homes()
        assert in_thread(lambda: connections[b.alias].in_atomic_block) is False
        assert in_thread(b.activate()(homes)) == []
