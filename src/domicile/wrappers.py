"""The wrappers that one thread has at hand."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Any

from domicile.backends.sharing import SharedSession

#: Wrappers of each kind kept per thread.
_MAX_WRAPPERS = 256


class Wrappers:
    """One thread's wrappers, or in async code one task's."""

    def __init__(self) -> None:
        #: Of the aliases of `DATABASES`.
        self.static: dict[str, Any] = {}
        #: Of run-time aliases, those used last at the end. They look at the session of a static
        #: database, and hold no state of their own.
        self.views: OrderedDict[str, SharedSession] = OrderedDict()
        #: The same, with a session of their own.
        self.own: OrderedDict[str, Any] = OrderedDict()
        #: Of these the one used last, which is mostly the one that is used next.
        self.last: SharedSession | None = None

    def get(self, alias: str) -> Any:
        wrapper: Any = self.views.get(alias)
        if wrapper is not None:
            if len(self.views) >= _MAX_WRAPPERS:  # Before, none has to go.
                self.views.move_to_end(alias)
            return wrapper
        wrapper = self.own.get(alias)
        if wrapper is not None:
            self.own.move_to_end(alias)
        return wrapper

    def put(self, alias: str, wrapper: Any) -> None:
        """Keep a wrapper; drop those used longest ago that hold no open connection."""
        wrappers = self.own if owns_session(wrapper) else self.views
        wrappers[alias] = wrapper
        surplus = max(0, len(wrappers) - _MAX_WRAPPERS)
        for other in list(islice(wrappers, surplus)):
            if wrappers is self.views or wrappers[other].connection is None:
                self.pop(other)

    def pop(self, alias: str) -> Any:
        self.last = None
        view = self.views.pop(alias, None)
        if view is not None:
            return view
        owner = self.own.pop(alias, None)
        if owner is not None:
            self._drop_views(owner)
        return owner

    def pop_static(self, alias: str) -> Any:
        """Drop the wrapper of an alias of `DATABASES`; raises `KeyError` where there is none."""
        owner = self.static.pop(alias)
        self.last = None
        self._drop_views(owner)
        return owner

    def drop_views(self) -> None:
        """Drop them all: what they are was known from settings that have changed."""
        self.last = None
        self.views.clear()

    def _drop_views(self, owner: Any) -> None:
        """They would open a session of a wrapper that nobody closes any more."""
        for other in [key for key, view in self.views.items() if view.owner is owner]:
            del self.views[other]


def owns_session(wrapper: Any) -> bool:
    """Whether a wrapper is no view; one of another engine than ours never is."""
    return getattr(wrapper, "owner", wrapper) is wrapper
