"""Tasks: each has its own tenant, whichever thread its queries run in."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, connection, connections, transaction

import domicile
from domicile.exceptions import CrossTenantError, TenantRequired
from tests.isolation.campus import PLACEMENTS, Campus, enrol, homes, truth
from tests.testproject.students.models import Club, Student


def run(main):
    async def closing():
        try:
            return await main
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(closing())


async def registrations():
    return {student.registration: student.home async for student in Student.objects.all()}


def test_many_tenants_at_once(campus: Campus):
    tenants = campus(*(f"{placement}/{letter}" for placement in PLACEMENTS for letter in "ab"))

    async def visit(tenant, number):
        async with tenant.activate():
            for step in range(2):
                key = f"{number}-{step}"
                await Student.objects.acreate(registration=key, home=tenant.slug)
                await asyncio.sleep(0)
                student = await Student.objects.aget(registration=key)
                student.name = tenant.slug
                await student.asave()
                await sync_to_async(_fail_in_transaction)(key)
                await asyncio.sleep(0)
                assert set((await registrations()).values()) == {tenant.slug}
                assert domicile.current_tenant().slug == tenant.slug
        assert domicile.current_tenant() is None

    async def main():
        await asyncio.gather(*(visit(tenant, n) for n in range(2) for tenant in tenants))

    run(main())
    keys = {f"{number}-{step}" for number in range(2) for step in range(2)}
    for tenant in tenants:
        assert truth(tenant) == dict.fromkeys(keys, tenant.slug)


def _fail_in_transaction(key):
    with transaction.atomic():
        Club.objects.count()
        with pytest.raises(IntegrityError), transaction.atomic():
            Student.objects.create(registration=key, home="nobody")


def test_async_for_half_read(campus: Campus, placement: str):
    a, b = campus.pair(placement)
    for tenant in (a, b):
        enrol(tenant, "1", "2", "3")

    async def main():
        with a.activate():
            mine = aiter(Student.objects.order_by("pk").aiterator(chunk_size=1))
            seen = [(await anext(mine)).home]
        with b.activate():
            theirs = await sync_to_async(homes)()
            seen += [student.home async for student in mine]
        return seen, theirs

    assert run(main()) == ([a.slug] * 3, [b.slug] * 3)


def test_queryset_and_instance_of_another(campus: Campus):
    a, b = campus("schema/a", "schema15/b")
    enrol(a, "1")

    async def main():
        async with a.activate():
            everybody, student = Student.objects.all(), await Student.objects.aget()
        async with b.activate():
            with pytest.raises(CrossTenantError):
                [student async for student in everybody]
            with pytest.raises(CrossTenantError):
                await student.asave()
            with pytest.raises(CrossTenantError):
                await student.adelete()
        with pytest.raises(TenantRequired):
            await Student.objects.acount()

    run(main())
    assert truth(a) == {"1": a.slug}


def test_one_activation_entered_by_two_tasks(campus: Campus):
    a, b = campus("schema/a", "schema/b")
    activation = domicile.activate(a.slug)

    async def visit(other, entered, left):
        async with other.activate():
            async with activation:
                entered.set()
                await left.wait()
                inside = domicile.current_tenant().slug
            return inside, domicile.current_tenant().slug

    async def main():
        one, two = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(visit(a, one, two), visit(b, two, one))

    assert run(main()) == [(a.slug, a.slug), (a.slug, b.slug)]


def test_a_slug_is_looked_up_without_blocking(campus: Campus):
    (a,) = campus("schema/a")

    async def main():
        async with domicile.activate(a.slug) as tenant:
            return tenant, domicile.current_tenant(), await sync_to_async(_alias)()

    assert run(main()) == (a, a, a.alias)


def _alias():
    return connection.alias


@pytest.mark.parametrize("decorate", ["bind", "activate"])
def test_coroutines_and_generators(campus: Campus, decorate: str):
    a, b = campus("schema/a", "schema/b")
    with a.activate():
        decorator = domicile.bind if decorate == "bind" else domicile.activate(a.slug)

        @decorator
        async def coroutine():
            await asyncio.sleep(0)
            return await sync_to_async(_alias)()

        @decorator
        async def steps():
            try:
                for _ in range(2):
                    yield await sync_to_async(_alias)()
            finally:
                ended.append(domicile.current_tenant())

        threaded = decorator(sync_to_async(_alias))

    ended = []
    assert inspect.iscoroutinefunction(coroutine)

    async def main():
        async with b.activate():
            seen = [await coroutine(), await threaded()]
            async for alias in steps():
                seen += [alias, domicile.current_tenant().alias]
            half_read = steps()
            await anext(half_read)
            await half_read.aclose()
            return [*seen, domicile.current_tenant().alias]

    assert run(main()) == [*[a.alias] * 3, b.alias, a.alias, b.alias, b.alias]
    assert ended == [a, a]
