"""The tables of the default database that work on the fleet needs, and whether they are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, DatabaseError

from domicile.exceptions import DomicileError, TablesMissing, first_line
from domicile.fleet.runs.databases import pending_in
from domicile.fleet.site import handler
from domicile.placement import SHARED_ALIAS
from domicile.registry import domain_model, tenant_model


@contextmanager
def own_tables() -> Iterator[None]:
    """Raise `TablesMissing`, in the place of what a database says, where tables of Domicile, of
    tenants or of domains are not there, or are behind their migrations.
    """
    try:
        yield
    except DomicileError:
        raise
    except DatabaseError as error:
        lacking = _lacking()
        if not lacking:
            raise
        raise TablesMissing(
            f"The default database has no {lacking} yet. Run `databases migrate`, or `migrate` for"
            f" that database alone. (It said: {first_line(error)})"
        ) from error


def _lacking() -> str:
    """Return in words what is not there; nothing where all is, or where it cannot be asked."""
    shared = handler()[SHARED_ALIAS]
    if shared.needs_rollback:
        return ""
    models = [tenant_model(), domain_model(), *apps.get_app_config("domicile").get_models()]
    with suppress(DatabaseError):
        there = shared.introspection.table_names()
        missing = [m._meta.db_table for m in models if m._meta.db_table not in there]
        if missing:
            return _listed("table", missing)
        labels = {model._meta.app_label for model in models}
        pending = pending_in(DEFAULT_DB_ALIAS)
        return _listed("migration", [name for name in pending if name.split(".")[0] in labels])
    return ""


def _listed(noun: str, names: list[str]) -> str:
    more = f" (nor {len(names) - 1} more)" if len(names) > 1 else ""
    return f"{noun} {names[0]!r}{more}" if names else ""
