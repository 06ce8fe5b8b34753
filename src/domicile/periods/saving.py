"""Rows are saved where their time says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from domicile.exceptions import PeriodChanged
from domicile.periods.lodging import PeriodLodging
from domicile.periods.places import is_period_alias
from domicile.periods.sessions import atomic_at
from domicile.placement import is_tenant_alias, owner_of
from domicile.router import EXPLICIT_HINT, refuse_copy, tenant_of_rows
from domicile.routing import lodging_of

#: The home in which rows are looked for while one is checked for being unique.
checked_at: ContextVar[str | None] = ContextVar("domicile_period_checked_at", default=None)


def period_lodging(model: Any) -> PeriodLodging | None:
    """Return how rows of a model are found, where that is by time."""
    lodging = lodging_of(model)
    return lodging if isinstance(lodging, PeriodLodging) else None


def lodging_for(instance: Any, using: str | None, *, write: bool = True) -> PeriodLodging | None:
    """Return how rows like this are found, where that is by time: of a tenant app in the tenant
    that `using` is of, or else in that of the row, or the active one.
    """
    lodging = period_lodging(type(instance))
    if lodging is None or not lodging.is_of_tenants:
        return lodging
    if using is None or not is_tenant_alias(using):
        hints = {} if using is None else {EXPLICIT_HINT: True}
        return lodging.of_tenant(tenant_of_rows(type(instance), instance, hints, write=write))
    if write:
        refuse_copy(instance, using)  # It would be taken for a row that moves.
    return lodging.of_tenant(owner_of(using))


def prepare(model: Any) -> None:
    """Have the instances of a model saved by time: called by its manager, once for each class.

    The methods are the model's own, so that no other model's have to ask.
    """

    def save_base(
        self: Any,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Any = None,
    ) -> None:
        save: Any = super(model, self).save_base
        lodging = None if raw else lodging_for(self, using)
        if lodging is None:
            return save(raw, force_insert, force_update, using, update_fields)
        right = _home_of(self, lodging, update_fields)
        lives = self._state.db
        if is_period_alias(lives) and lives != right:
            with _moving(self, lodging, right, update_fields):
                return save(raw, True, False, right, None)
        if is_period_alias(using) and using != right:
            raise _changed(self, lodging, str(using))
        return save(raw, force_insert, force_update, right, update_fields)

    def _perform_unique_checks(self: Any, unique_checks: Any) -> Any:
        check: Any = super(model, self)._perform_unique_checks
        lodging = lodging_for(self, self._state.db, write=False)
        if lodging is None:
            return check(unique_checks)
        token = checked_at.set(lodging.for_write({"instance": self}))
        try:
            return check(unique_checks)
        finally:
            checked_at.reset(token)

    for method in (save_base, _perform_unique_checks):
        if method.__name__ not in vars(model):
            setattr(model, method.__name__, method)


def _home_of(instance: Any, lodging: PeriodLodging, update_fields: Any) -> str:
    """Return the home that a row is to be in, which is made if it is not there."""
    field, lives = lodging.field, instance._state.db
    is_kept = field.attname not in instance.__dict__ or (
        update_fields is not None and not {field.name, field.attname} & set(update_fields)
    )
    if is_kept and is_period_alias(lives):
        return str(lives)
    return lodging.homes.for_writing(lodging.period_of(instance))


@contextmanager
def _moving(
    instance: Any, lodging: PeriodLodging, right: str, update_fields: Any
) -> Iterator[None]:
    """Take a row out of the home that it was in, once it is saved in another: where these are in
    one database in one transaction, elsewhere so that it may be in both, and never in none.
    """
    lives = instance._state.db
    if lodging.rule.changed == "refuse" or update_fields is not None:
        raise _changed(instance, lodging, lives)
    key, before = instance.pk, instance._state.adding
    with atomic_at([lives, right]):
        instance._state.adding = True
        try:
            yield
            lodging.model._base_manager.using(lives).filter(pk=key)._raw_delete(lives)
        except BaseException:
            instance._state.adding, instance._state.db = before, lives
            raise


def _changed(instance: Any, lodging: PeriodLodging, alias: str) -> PeriodChanged:
    here, there = lodging.homes.parse(alias), lodging.period_of(instance)
    cure = "declare changed='move' to have the row moved, or make a new row."
    if lodging.rule.changed == "move":
        cure = "Save it whole, without update_fields and without an alias, to have it moved."
    return PeriodChanged(
        f"{instance._meta.label} {instance.pk!r} is in the home of {here}, and its"
        f" {lodging.rule.field!r} is in {there}: {cure}"
    )
