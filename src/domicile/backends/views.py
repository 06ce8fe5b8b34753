"""Views: the wrappers by which other aliases use a session, beside the one that owns it."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

#: What `BaseDatabaseWrapper.__init__` and the engines keep on a wrapper that belongs to the
#: physical connection, not to the alias. `tests/test_django_internals.py` fails when Django adds
#: to it.
SESSION_ATTRIBUTES = (
    "connection",
    "queries_log",
    "force_debug_cursor",
    "autocommit",
    "in_atomic_block",
    "savepoint_state",
    "savepoint_ids",
    "atomic_blocks",
    "commit_on_exit",
    "needs_rollback",
    "rollback_exc",
    "close_at",
    "closed_in_transaction",
    "errors_occurred",
    "health_check_enabled",
    "health_check_done",
    "_thread_sharing_lock",
    "_thread_sharing_count",
    "_thread_ident",
    "run_on_commit",
    "run_commit_hooks_on_set_autocommit_on",
    "execute_wrappers",
    "_named_cursor_idx",
    "isolation_level",
    "transaction_mode",
)

#: What Django makes with each wrapper, and no query asks for: a view makes it when it is asked.
_PARTS = ("client", "creation", "introspection", "validation")


@cache
def view_class(engine: Any) -> Any:
    """Return the class of the views of an engine's wrappers: what belongs to the session they have
    from its owner.
    """
    return type(
        engine.__name__,
        (engine,),
        {
            "__module__": engine.__module__,
            "__doc__": engine.__doc__,
            # Django makes further wrappers by `self.__class__()`: they own a session.
            "__new__": lambda cls, *args, **kwargs: engine(*args, **kwargs),
            **{name: _of_owner(name) for name in SESSION_ATTRIBUTES},
            **{name: _part(name) for name in _PARTS},
        },
    )


def _of_owner(name: str) -> property:
    """Return the property by which views have an attribute of the owner of their session.

    Its functions name the attribute in their code: Python then inlines them where they are used,
    which is a dozen times a query.
    """
    functions: dict[str, Any] = {}
    exec(_ACCESS.format(name=name), functions)
    return property(functions["getter"], functions["setter"])


_ACCESS = """
def getter(view):
    return view.owner.{name}

def setter(view, value):
    view.owner.{name} = value
"""


def _part(name: str) -> cached_property[Any]:
    return cached_property(lambda view: getattr(view, f"{name}_class")(view))
