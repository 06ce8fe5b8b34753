"""The active tenant: a `ContextVar`, so that it is right in threads, tasks and coroutines.

Activations form an immutable chain from the innermost outwards. Leaving one cuts the chain at the
frame that it entered, found by identity; so it does not matter whether an inner activation is
still open (a suspended generator), whether one object was entered by two threads at once, or
whether a decorated function calls itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async

from domicile.placement import Home

F = TypeVar("F", bound=Callable[..., Any])


class Frame(NamedTuple):
    """One activation: a home (None is the shared one), its tenant, and what was active before."""

    home: Home | None
    tenant: Any
    opener: Activation
    outer: Frame | None


#: Makes one of its fields in a tuple, in one call of C: each activation does.
_frame = functools.partial(tuple.__new__, Frame)
#: What is active. Read by itself where a function call would be felt: once a query.
innermost: ContextVar[Frame | None] = ContextVar("domicile_active_tenant", default=None)


def active_home() -> Home | None:
    """Return the home of the active tenant, None where none is active."""
    frame = innermost.get()
    return None if frame is None else frame.home


def current_tenant() -> Any:
    """Return the active tenant (an instance of the tenant model), None where none is active."""
    frame = innermost.get()
    return None if frame is None else frame.tenant


class Scope:
    """Entered by `with`, `async with`, or as a decorator.

    One object may be entered any number of times, by any number of threads and tasks. As a
    decorator it takes functions, coroutine functions, generators and async generators; a generator
    is inside while it runs and not while it is suspended.
    """

    #: The innermost of what was entered. Each knows its `opener` and its `outer`.
    innermost: ClassVar[ContextVar[Any]]

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        frame = self.innermost.get()
        while frame is not None and frame.opener is not self:
            frame = frame.outer
        if frame is not None:
            self.innermost.set(frame.outer)

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(self, *exc_info: Any) -> None:
        self.__exit__()

    def __call__(self, func: F) -> F:
        return wrapped_in(func, lambda: self)


class Activation(Scope):
    """Makes a home the active one, and its tenant."""

    innermost = innermost

    def __init__(self, home: Home | None, tenant: Any = None) -> None:
        self.home = home
        self.tenant = tenant

    def __enter__(self) -> Any:
        innermost.set(_frame((self.home, self.tenant, self, innermost.get())))
        return self.tenant


class LateActivation(Activation):
    """An activation whose tenant is looked up when it is entered, not when it is made.

    What `activate("acme")` returns: where it decorates a function there is no database to ask yet.
    """

    def __init__(self, find: Callable[[], tuple[Home | None, Any]]) -> None:
        self._find = find

    def _enter(self, home: Home | None, tenant: Any) -> Any:
        innermost.set(_frame((home, tenant, self, innermost.get())))
        return tenant

    def __enter__(self) -> Any:
        return self._enter(*self._find())

    async def __aenter__(self) -> Any:
        return self._enter(*await sync_to_async(self._find)())


def no_tenant() -> Activation:
    """Return an activation of the shared home: inside it no tenant is active."""
    return Activation(None)


def current_activation() -> Activation:
    """Return an activation of what is active now, to be entered later or elsewhere."""
    frame = innermost.get()
    return no_tenant() if frame is None else Activation(frame.home, frame.tenant)


def bind(func: F) -> F:
    """Return `func` so that it runs in the tenant active now, wherever and whenever it is called.

    Plain threads start with an empty context (https://docs.python.org/3/library/contextvars.html),
    so `Thread(target=bind(work))` is how work goes on for the same tenant in a thread of its own.
    """
    activation = current_activation()
    return wrapped_in(func, lambda: activation)


def wrapped_in(func: Any, enter: Callable[[], Any]) -> Any:
    """Return `func` so that each call of it, or each step, is inside what `enter` returns."""
    if iscoroutinefunction(func):

        @functools.wraps(func)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            async with enter():
                return await func(*args, **kwargs)

    elif inspect.isasyncgenfunction(func):

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return astepwise(func(*args, **kwargs), enter)

    elif inspect.isgeneratorfunction(func):

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return Stepwise(func(*args, **kwargs), enter)

    else:

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with enter():
                return func(*args, **kwargs)

    return wrapper


class Stepwise:
    """An iterator, each of whose steps, and whose end, runs inside an activation of its own."""

    def __init__(self, iterator: Any, enter: Callable[[], Any]) -> None:
        self._iterator = iter(iterator)
        self._enter = enter

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        with self._enter():
            return next(self._iterator)

    def send(self, value: Any) -> Any:
        with self._enter():
            return self._iterator.send(value)

    def throw(self, error: BaseException) -> Any:
        with self._enter():
            return self._iterator.throw(error)

    def close(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            with self._enter():
                close()


async def astepwise(iterator: Any, enter: Callable[[], Any]) -> Any:
    """The same for an asynchronous iterator."""
    steps = aiter(iterator)
    try:
        while True:
            async with enter():
                try:
                    item = await anext(steps)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        close = getattr(steps, "aclose", None)
        if close is not None:
            async with enter():
                await close()
