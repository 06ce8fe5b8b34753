"""Who works on a tenant: one process at a time, which no tenant is active in.

A lock of the shared database, which the server releases when its holder dies, tells work that goes
on from work that was cut off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from domicile.context import no_tenant
from domicile.exceptions import TenantBusy, UnknownTenant
from domicile.fleet.site import Site, handler
from domicile.guards import refuse_beside_transaction
from domicile.placement import SHARED_ALIAS
from domicile.registry import tenant_model


def in_shared_home(func: Callable[..., Any]) -> Callable[..., Any]:
    """Run with no tenant active: these functions may be called from inside one."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with no_tenant():
            return func(*args, **kwargs)

    return wrapper


def find_tenant(tenant: Any) -> Any:
    """Return a fresh instance of a tenant, in whatever state, by slug or by instance."""
    slug = getattr(tenant, "slug", tenant)
    found = tenant_model()._base_manager.filter(slug=slug).first()
    if found is None:
        raise UnknownTenant(f"There is no tenant {slug!r}. `tenants list` shows which there are.")
    return found


@contextmanager
def sole_work_on(slug: str) -> Iterator[None]:
    """Keep every other process from working on a tenant; `TenantBusy` where one does already."""
    with sole_work_on_each([slug]) as mine:
        if not mine:
            raise TenantBusy(
                f"Another process is creating, migrating or dropping {slug!r}. Try again when it is"
                " done."
            )
        yield


@contextmanager
def sole_work_on_each(slugs: Iterable[str]) -> Iterator[set[str]]:
    """Keep every other process from working on those tenants that none works on; the value tells
    which these are.
    """
    keys = {f"domicile:tenant:{slug}": slug for slug in slugs}
    with handler()[SHARED_ALIAS].named_locks(keys) as held:
        yield {keys[key] for key in held}


def refuse_transaction(what: str, site: Site) -> None:
    """Raise `WriteOutsideAtomic`, where the project wants that, if a transaction is open which
    would not take back what is done to a home and to the row that tells of it.
    """
    refuse_beside_transaction(what, handler()[SHARED_ALIAS], site.store.connection)
