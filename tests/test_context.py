"""The active tenant, without a database."""

from __future__ import annotations

import asyncio
import contextvars
import functools

import pytest

import domicile
from domicile.context import Activation, active_home, current_activation
from domicile.placement import Home, Placement, tenant_alias
from tests.isolation.campus import in_thread


def activation(slug: str) -> Activation:
    return Activation(Home(tenant_alias(slug), Placement("schema", slug)), slug)


a, b, c = map(activation, "abc")
now = domicile.current_tenant


@pytest.fixture(autouse=True)
def _nothing_stays():
    yield
    assert now() is None
    assert active_home() is None


def test_nested_and_left_in_order():
    with a as entered:
        assert (entered, now(), active_home().slug) == ("a", "a", "a")
        with b:
            assert now() == "b"
            with domicile.no_tenant():
                assert now() is None
            assert now() == "b"
        assert now() == "a"


def test_left_by_an_exception():
    with a:
        with pytest.raises(ZeroDivisionError), b:
            _ = 1 / 0
        assert now() == "a"
    with pytest.raises(ZeroDivisionError), a, b:
        _ = 1 / 0


def test_one_object_entered_again():
    with a:
        with b, a:
            assert now() == "a"
        assert now() == "a"
        with a, b:
            assert now() == "b"
        assert now() == "a"


def test_decorated_function_that_calls_itself():
    @a
    def count(number):
        assert now() == "a"
        with b:
            if number:
                count(number - 1)
            assert now() == "b"
        assert now() == "a"

    count(3)
    with c:
        count(1)
        assert now() == "c"


def test_decorated_function_that_raises():
    @a
    def fail():
        raise ZeroDivisionError

    with b:
        with pytest.raises(ZeroDivisionError):
            fail()
        assert now() == "b"


def suspended(inside):
    with inside:
        yield now()
        yield now()


def test_plain_generator_left_suspended():
    with a:
        steps = suspended(b)
        assert next(steps) == "b"
    assert now() is None
    steps.close()
    assert now() is None


def test_generator_closed_after_its_outer_activation():
    with a:
        steps = suspended(b)
        next(steps)
    with c:
        steps.close()
        assert now() == "c"


def test_activations_left_out_of_order():
    for one, other in ((a, b), (b, a)):
        one.__enter__()
        other.__enter__()
        one.__exit__()
        assert now() is None
        other.__exit__()
        assert now() is None


@pytest.mark.parametrize("decorate", ["activation", "bind"])
def test_decorated_generator(decorate: str):
    def steps():
        try:
            received = yield now()
            yield (now(), received)
        except ZeroDivisionError:
            yield ("thrown", now())
        finally:
            ended.append(now())

    with a:
        wrapped = a(steps) if decorate == "activation" else domicile.bind(steps)
    ended = []
    with b:
        generator = wrapped()
        assert next(generator) == "a"
        assert now() == "b"
        assert generator.send("sent") == ("a", "sent")
        assert next(generator, "end") == "end"
        generator = wrapped()
        next(generator)
        assert generator.throw(ZeroDivisionError()) == ("thrown", "a")
        generator.close()
        assert now() == "b"
    assert ended == ["a", "a"]


def test_bind_of_nothing_is_nothing():
    bound = domicile.bind(now)
    with a:
        assert bound() is None
        assert now() == "a"


def test_bind_keeps_partials_methods_and_names():
    with a:
        bound = domicile.bind(functools.partial(lambda number: (now(), number), 1))
        named = domicile.bind(test_bind_of_nothing_is_nothing)
    assert bound() == ("a", 1)
    assert named.__name__ == "test_bind_of_nothing_is_nothing"


def test_current_activation_is_entered_elsewhere():
    with a:
        here = current_activation()

    def work():
        with here:
            return now()

    assert in_thread(work) == "a"


def test_threads_and_copied_contexts():
    with a:
        assert in_thread(now) is None
        copied = contextvars.copy_context()
    assert copied.run(now) == "a"


def test_tasks_do_not_meet():
    async def visit(one):
        async with one:
            await asyncio.sleep(0)
            seen = now()
            with b:
                await asyncio.sleep(0)
            return seen, now()

    async def main():
        with c:
            seen = await asyncio.gather(visit(a), visit(b), visit(a))
            return [*seen, now()]

    assert asyncio.run(main()) == [("a", "a"), ("b", "b"), ("a", "a"), "c"]


def test_task_cancelled_inside():
    async def forever():
        async with a:
            await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return now()

    assert asyncio.run(main()) is None
