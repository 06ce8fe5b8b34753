"""Copies a tenant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domicile.exceptions import TenantUnavailable
from domicile.fleet.migrations import Progress, silent
from domicile.fleet.moves.by_time import copy_by_time
from domicile.fleet.moves.destination import placement_named
from domicile.fleet.moves.founding import founded, inherited
from domicile.fleet.moves.history import History, applied_through
from domicile.fleet.moves.move import refuse_transaction
from domicile.fleet.moves.transfer import copy_rows, make_tables, open_end
from domicile.fleet.site import handler
from domicile.fleet.sole_work import find_tenant, in_shared_home, sole_work_on
from domicile.models import VISIBLE
from domicile.periods.tenants import refuse_put_aside


@in_shared_home
def copy_tenant(
    tenant: Any,
    slug: str,
    *,
    name: str = "",
    placement: str = "",
    domains: Iterable[str] = (),
    progress: Progress = silent,
) -> Any:
    """Copy a tenant: a new one with the rows that this one has at one instant, while others go on
    writing; return it. It has the original's own fields, except unique ones, and no domain of it.
    Its homes by time are copied too; those in other databases each as it is at an instant of its
    own.

    :param slug: the copy's. `name`: the original's if empty.
    :param placement: as for `move_tenant()`; that of the original if empty.
    :param domains: host names of the copy.
    :raises InvalidName, NameTaken: as for `create_tenant()`.
    :raises RowsDiffer: something did not arrive.
    :raises TenantBusy: another process works on one of them.
    :raises NotSupported: homes by time of it were put aside, or a home has rows that no model
        holds and that cannot be copied as they are.
    """
    refuse_transaction()
    with sole_work_on(find_tenant(tenant).slug):
        original = find_tenant(tenant)
        if original.status not in VISIBLE:
            raise TenantUnavailable(
                f"{original.slug!r} is {original.get_status_display()}, so it cannot be copied."
            )
        refuse_put_aside(original.home, "copied")
        key = placement_named(placement).key if placement else original.placement.template
        with (
            founded(
                slug,
                name=name or original.name,
                placement=key,
                domains=domains,
                progress=progress,
                **inherited(original),
            ) as copy,
            open_end(handler(), original.home) as source,
            open_end(handler(), copy.home) as target,
        ):
            history = History(applied_through(source.connection))
            make_tables(source, target, history)
            with source.snapshot():
                copy_rows(source, target, history, progress)
                copy_by_time(source, copy, progress)
    return copy
