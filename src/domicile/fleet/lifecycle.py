"""What a tenant goes through between its creation and its end: it is suspended, resumed, renamed,
migrated.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from domicile import signals
from domicile.exceptions import TenantUnavailable
from domicile.fleet.migrations import Progress, Step, migrate_home, silent
from domicile.fleet.replay.migrator import HomeMigrator
from domicile.fleet.replay.plan import Target
from domicile.fleet.sole_work import find_tenant, in_shared_home, sole_work_on
from domicile.fleet.steps import add_domain, normalized, set_status
from domicile.models import Status
from domicile.placement import SHARED_ALIAS


@in_shared_home
def suspend_tenant(tenant: Any) -> Any:
    """Answer its requests with 503 until it is resumed; return the tenant."""
    tenant = _transition(tenant, Status.SUSPENDED, {Status.ACTIVE, Status.MAINTENANCE})
    signals.tenant_suspended.send(type(tenant), tenant=tenant)
    return tenant


@in_shared_home
def maintain_tenant(tenant: Any) -> Any:
    """Put it under maintenance: 503 until it is resumed; return the tenant."""
    return _transition(tenant, Status.MAINTENANCE, {Status.ACTIVE})


@in_shared_home
def resume_tenant(tenant: Any) -> Any:
    """Serve it again, also one that waits for its drop; return the tenant."""
    found = find_tenant(tenant)
    # Not while somebody drops it.
    with sole_work_on(found.slug) if found.status == Status.DROPPING else nullcontext():
        found = find_tenant(found)
        if found.status == Status.DROPPING and found.drop_after is None:
            raise TenantUnavailable(f"{found.slug!r} is being dropped; its home may be gone.")
        tenant = _transition(
            found, Status.ACTIVE, {Status.SUSPENDED, Status.MAINTENANCE, Status.DROPPING}
        )
    signals.tenant_resumed.send(type(tenant), tenant=tenant)
    return tenant


def _transition(tenant: Any, status: Status, allowed: set[Status]) -> Any:
    tenant = find_tenant(tenant)
    if tenant.status == status:
        return tenant
    if tenant.status not in allowed:
        raise TenantUnavailable(
            f"{tenant.slug!r} is {tenant.get_status_display()}, so it cannot become {status.label}."
        )
    set_status(tenant, status)
    return tenant


@in_shared_home
def rename_tenant(tenant: Any, *, name: str = "", domains: Iterable[str] | None = None) -> Any:
    """Change its name for people (unless empty) and its domains (unless None), both or neither.

    The slug stays: it names the home and the alias. Raises `InvalidHost`, `DomainTaken`.
    """
    hosts = None if domains is None else normalized(domains)
    tenant = find_tenant(tenant)
    with transaction.atomic(using=SHARED_ALIAS):
        if name:
            tenant.name = name
            tenant.save(update_fields=["name", "changed_at"])
        if hosts is not None:
            tenant.domains.exclude(host__in=hosts).delete()
            kept = set(tenant.domains.values_list("host", flat=True))
            for host in hosts:
                if host not in kept:
                    add_domain(tenant, host, is_primary=False)
            tenant.domains.exclude(host__in=hosts[:1]).update(is_primary=False)
            tenant.domains.filter(host__in=hosts[:1]).update(is_primary=True)
    signals.tenant_renamed.send(type(tenant), tenant=tenant)
    return tenant


@in_shared_home
def migrate_tenant(
    tenant: Any, app_label: str = "", migration: str = "", *, progress: Progress = silent
) -> Any:
    """Migrate one tenant's home, all apps or one, to the newest or the named migration, and then
    those of its periods.
    """
    from domicile.periods.migrations import migrate_by_time
    from domicile.periods.survey import by_time_in

    tenant = find_tenant(tenant)
    with sole_work_on(tenant.slug):
        migrate_home(tenant, progress, app_label, migration)
        migrator = HomeMigrator.to(Target(app_label, migration))
        (found,) = by_time_in([tenant.home]).values()
        names = (name for each in migrate_by_time(found, migrator) for name in each.migrations)
        for name in dict.fromkeys(names):
            progress(Step("migration", f"{name} by time"))
    return tenant


asuspend_tenant = sync_to_async(suspend_tenant)
amaintain_tenant = sync_to_async(maintain_tenant)
aresume_tenant = sync_to_async(resume_tenant)
arename_tenant = sync_to_async(rename_tenant)
amigrate_tenant = sync_to_async(migrate_tenant)
