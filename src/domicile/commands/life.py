"""`tenants create|list|show|suspend|resume|maintenance|rename|drop`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from domicile.commands import add_verbosity, telling
from domicile.conf import conf
from domicile.console import Output
from domicile.fleet import creation, dropping, lifecycle
from domicile.fleet.migrations import silent
from domicile.fleet.sole_work import find_tenant
from domicile.models import Status
from domicile.registry import tenant_model

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_parsers(actions: Any) -> None:
    create = actions.add_parser("create", help="Create a tenant with its home.")
    create.add_argument("slug")
    create.add_argument("--name", default="", help="Its name for people (the slug).")
    create.add_argument("--placement", default="", help="A key of DOMICILE['PLACEMENTS'].")
    create.add_argument("--domain", action="append", default=[], dest="domains")
    create.add_argument(
        "--set",
        action="append",
        default=[],
        dest="fields",
        metavar="FIELD=VALUE",
        help="Another field of the tenant model.",
    )

    listing = actions.add_parser("list", help="List all tenants.")
    listing.add_argument("--json", action="store_true")
    listing.add_argument("--status", choices=Status.values)

    show = actions.add_parser("show", help="Show one tenant.")
    show.add_argument("slug")
    show.add_argument("--json", action="store_true")

    for name, text in (
        ("suspend", "Answer its requests with 503."),
        ("resume", "Serve it again; also one that waits for its drop."),
        ("maintenance", "Put it under maintenance (503) until it is resumed."),
    ):
        actions.add_parser(name, help=text).add_argument("slug")

    rename = actions.add_parser("rename", help="Change its name or its domains.")
    rename.add_argument("slug")
    rename.add_argument("--name", default="")
    rename.add_argument(
        "--domain", action="append", dest="domains", help="All its domains, the primary first."
    )
    rename.add_argument("--no-domains", action="store_const", const=[], dest="domains")

    drop = actions.add_parser("drop", help="Drop a tenant with all its data.")
    drop.add_argument("slug", nargs="?")
    drop.add_argument("--confirm", metavar="SLUG", help="The slug again, in place of typing it.")
    drop.add_argument("--grace", help="Hide it now and drop it after: 12h, 7d, 2w.")
    drop.add_argument(
        "--expired", action="store_true", help="Drop all tenants whose grace is over."
    )

    add_verbosity(create)


def do_create(
    output: Output, slug: str, name: str, placement: str, domains: list[str], **options: Any
) -> None:
    fields = _fields(options["fields"])
    with output.status(f"Creating {slug} …"):
        tenant = creation.create_tenant(
            slug,
            name=name,
            placement=placement,
            domains=domains,
            progress=telling(output) if options["verbosity"] > 1 else silent,
            **fields,
        )
    output.line(f"Created {tenant.slug} at {tenant.placement}.", "green")


def do_list(output: Output, json: bool, status: str | None, **options: Any) -> None:
    tenants = tenant_model()._base_manager.order_by("slug")
    if status:
        tenants = tenants.filter(status=status)
    described = [_described(tenant) for tenant in tenants.prefetch_related("domains")]
    if json:
        output.json(described)
    elif described:
        rows = [
            [
                row["slug"],
                row["name"],
                row["status"],
                row["placement"],
                ", ".join(row["domains"]),
            ]
            for row in described
        ]
        output.table(["slug", "name", "status", "placement", "domains"], rows)
    else:
        output.line("There are no tenants. `tenants create SLUG` makes one.")


def do_show(output: Output, slug: str, json: bool, **options: Any) -> None:
    described = _described(find_tenant(slug))
    if json:
        output.json(described)
        return
    output.pairs(
        [
            (name, ", ".join(value) if isinstance(value, list) else str(value))
            for name, value in described.items()
            if value not in (None, [])
        ]
    )


def do_suspend(output: Output, slug: str, **options: Any) -> None:
    lifecycle.suspend_tenant(slug)
    output.line(f"Suspended {slug}. `tenants resume {slug}` serves it again.")


def do_resume(output: Output, slug: str, **options: Any) -> None:
    lifecycle.resume_tenant(slug)
    output.line(f"Resumed {slug}.")


def do_maintenance(output: Output, slug: str, **options: Any) -> None:
    lifecycle.maintain_tenant(slug)
    output.line(f"{slug} is under maintenance. `tenants resume {slug}` ends that.")


def do_rename(
    output: Output, slug: str, name: str, domains: list[str] | None, **options: Any
) -> None:
    if not name and domains is None:
        raise CommandError("Nothing to change: give --name, --domain or --no-domains.")
    tenant = lifecycle.rename_tenant(slug, name=name, domains=domains)
    hosts = ", ".join(tenant.domains.order_by("-is_primary", "host").values_list("host", flat=True))
    output.line(f"{slug} is {tenant.name}, at {hosts or 'no domain of its own'}.")


def do_drop(output: Output, slug: str | None, expired: bool, **options: Any) -> None:
    if expired:
        dropped = dropping.drop_expired()
        output.line(f"Dropped {', '.join(dropped) or 'none: no grace is over'}.")
        return
    if slug is None:
        raise CommandError("Give the slug of the tenant to drop, or --expired.")
    grace = duration(options["grace"])
    tenant = find_tenant(slug)
    _confirm(output, tenant, options["confirm"], grace)
    dropping.drop_tenant(tenant, grace=grace)
    when = f"after {options['grace']}, unless `tenants resume {slug}` is run" if grace else "now"
    output.line(f"Dropped {slug}: its data is gone {when}.")


def _confirm(output: Output, tenant: Any, confirmed: str | None, grace: timedelta | None) -> None:
    if confirmed is None:
        when = f"in {grace}" if grace else "now and for good"
        output.line(f"{tenant.slug} ({tenant.name}, {tenant.placement}) is dropped {when}.")
        confirmed = input("Type its slug to go on: ")
    if confirmed != tenant.slug:
        raise CommandError(f"Not dropped: {confirmed!r} is not {tenant.slug!r}.")


def _described(tenant: Any) -> dict[str, Any]:
    template = conf().placements.get(tenant.placement.template)
    return {
        "slug": tenant.slug,
        "name": tenant.name,
        "status": tenant.status,
        "placement": str(tenant.placement),
        "home": template.locate(tenant.placement.name) if template else None,
        "alias": tenant.alias,
        "domains": sorted(
            (domain.host for domain in tenant.domains.all()),
        ),
        "created": tenant.created_at.isoformat(timespec="seconds"),
        "drop_after": tenant.drop_after and tenant.drop_after.isoformat(timespec="seconds"),
    }


def _fields(given: list[str]) -> dict[str, Any]:
    model, values = tenant_model(), {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            raise CommandError(f"--set takes FIELD=VALUE, not {item!r}.")
        values[name] = model._meta.get_field(name).to_python(value)
    return values


def duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    if match is None:
        raise CommandError(
            f"{text!r} is no duration: give a number with s, m, h, d or w, as in 7d."
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
