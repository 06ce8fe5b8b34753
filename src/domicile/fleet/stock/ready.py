"""Homes made before there is a tenant for them, so that a sign-up takes one claim.

Each has a row that tells of it. While a home is made or claimed its lock is held; a row whose lock
is free and that has no fingerprint is of a home whose maker died.
"""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from django.db import transaction

from domicile.conf import conf
from domicile.context import no_tenant
from domicile.exceptions import HomeMissing, NotSupported
from domicile.fleet.migrations import Progress, Step, migrate_home, silent
from domicile.fleet.site import Site, handler
from domicile.fleet.stock.recipe import recipe
from domicile.fleet.stock.template import cloned
from domicile.placement import SHARED_ALIAS, Placement
from domicile.records import ReadyHome
from domicile.registry import tenant_model

READY_PREFIX = "_ready-"
#: So many does a claim try, while others claim too.
_TRIED = 32


class Stock(NamedTuple):
    """How many homes of a placement are ready, and how many the settings want."""

    placement: str
    ready: int
    wanted: int


@no_tenant()
def ready_stock() -> list[Stock]:
    """Return the stock of each placement that wants or has some."""
    stocks = [
        Stock(key, _usable(key).count(), conf().ready_homes(key)) for key in conf().placements
    ]
    return [stock for stock in stocks if stock.ready or stock.wanted]


@no_tenant()
def fill_ready(progress: Progress = silent) -> list[Stock]:
    """Make homes until each placement has as many as `DOMICILE["READY"]` says, and drop those that
    are too many, were not finished, or are behind the project; return the stock.
    """
    for key in conf().placements:
        _drop_unusable(key)
        wanted = conf().ready_homes(key)
        for home in _homes(key)[wanted:]:
            _discard(home)
        while _homes(key).count() < wanted:
            progress(Step("ready", _make(key).name))
    return ready_stock()


def claimed(tenant: Any, site: Site) -> Site | None:
    """Give a tenant a home that is ready: under the name of `site`, or, where the engine cannot
    rename, as it is. Return where it is, None where none is ready.
    """
    key = site.placement.template
    if not conf().ready_homes(key):
        return None
    for home in _usable(key)[:_TRIED]:
        with _sole_work_on(home) as free:
            if free and ReadyHome.objects.filter(pk=home.pk).exists():
                found = _handed_over(home, tenant, site)
                if found is not None:
                    return found
    return None


def _handed_over(home: ReadyHome, tenant: Any, site: Site) -> Site | None:
    """Hand over one whose lock is held, unless somebody has dropped it.

    The row that tells of it goes last: one without its home is cleared away, a home without a row
    would be nobody's.
    """
    source = _site(home)
    try:
        if source.store.renames:
            source.store.rename(source.name, site.name)
            home.delete()
            return site
    except NotSupported:
        return None
    except HomeMissing:
        home.delete()
        return None
    if not source.exists():
        home.delete()
        return None
    with transaction.atomic(using=SHARED_ALIAS):
        tenant.placement = source.placement
        tenant.save(update_fields=["placement_template", "placement_name", "changed_at"])
        home.delete()
    return source


def _make(key: str) -> Site:
    name = f"{READY_PREFIX}{uuid.uuid4().hex[:12]}"
    home = ReadyHome(placement_template=key, placement_name=name, recipe=recipe(key))
    site = _site(home)
    site.store.validate(site.name)
    with _sole_work_on(home):
        home.save()
        try:
            if not cloned(site):
                _migrate(site)
            home.fingerprint = site.store.fingerprints([site.name])[site.name]
            home.save()
        except BaseException:
            _drop(home)
            raise
    return site


def _migrate(site: Site) -> None:
    tenant = tenant_model()(slug=site.placement.name, name=site.placement.name)
    tenant.placement = site.placement
    site.store.create(site.name)
    migrate_home(tenant)
    handler().forget(tenant.alias)


def _drop_unusable(key: str) -> None:
    usable = _usable(key).values_list("pk", flat=True)
    for home in _homes(key).exclude(pk__in=list(usable)):
        _discard(home)


def _discard(home: ReadyHome) -> None:
    """Drop one, unless somebody is making or claiming it."""
    with _sole_work_on(home) as free:
        if free and ReadyHome.objects.filter(pk=home.pk).exists():
            _drop(home)


def _drop(home: ReadyHome) -> None:
    _site(home).drop()
    home.delete()


def _homes(key: str) -> Any:
    return ReadyHome.objects.filter(placement_template=key).order_by("pk")


def _usable(key: str) -> Any:
    return _homes(key).filter(recipe=recipe(key)).exclude(fingerprint="")


def _site(home: ReadyHome) -> Site:
    return Site.of(Placement(home.placement_template, home.placement_name))


def _sole_work_on(home: ReadyHome) -> AbstractContextManager[bool]:
    return handler()[SHARED_ALIAS].named_lock(
        f"domicile:ready:{home.placement_template}:{home.placement_name}"
    )
