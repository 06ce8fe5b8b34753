"""`tenants create|list|show|suspend|resume|maintenance|rename|drop|migrate`."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from domicile.conf import conf
from domicile.console import Output
from domicile.exceptions import DomicileError
from domicile.fleet import lifecycle
from domicile.fleet.migrations import Step
from domicile.models import Status
from domicile.registry import tenant_model, visible_tenants

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Command(BaseCommand):
    help = "Creates, lists, suspends, migrates and drops tenants."
    requires_system_checks = ["domicile"]

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

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
        drop.add_argument(
            "--confirm", metavar="SLUG", help="The slug again, in place of typing it."
        )
        drop.add_argument("--grace", help="Hide it now and drop it after: 12h, 7d, 2w.")
        drop.add_argument(
            "--expired", action="store_true", help="Drop all tenants whose grace is over."
        )

        migrate = actions.add_parser("migrate", help="Migrate the homes of tenants.")
        migrate.add_argument("app_label", nargs="?", default="")
        migrate.add_argument("migration", nargs="?", default="")
        migrate.add_argument("--only", action="append", metavar="SLUG", default=[])

        for action in (create, migrate):  # Django knows it only before the action.
            action.add_argument("-v", "--verbosity", type=int, default=argparse.SUPPRESS)

    def handle(self, *, action: str, **options: Any) -> None:
        self.output = Output(self.stdout, no_color=options["no_color"])
        try:
            getattr(self, f"do_{action}")(**options)
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error
        except DomicileError as error:
            raise CommandError(str(error)) from error

    def do_create(
        self, slug: str, name: str, placement: str, domains: list[str], **options: Any
    ) -> None:
        fields = _fields(options["fields"])
        with self.output.console.status(f"Creating {slug} …"):
            tenant = lifecycle.create_tenant(
                slug,
                name=name,
                placement=placement,
                domains=domains,
                progress=self.show_step if options["verbosity"] > 1 else _ignore,
                **fields,
            )
        self.output.line(f"Created {tenant.slug} at {tenant.placement}.", "green")

    def do_list(self, json: bool, status: str | None, **options: Any) -> None:
        tenants = tenant_model()._base_manager.order_by("slug")
        if status:
            tenants = tenants.filter(status=status)
        described = [_described(tenant) for tenant in tenants.prefetch_related("domains")]
        if json:
            self.output.json(described)
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
            self.output.table(["slug", "name", "status", "placement", "domains"], rows)
        else:
            self.output.line("There are no tenants. `tenants create SLUG` makes one.")

    def do_show(self, slug: str, json: bool, **options: Any) -> None:
        described = _described(lifecycle.find_tenant(slug))
        if json:
            self.output.json(described)
            return
        self.output.pairs(
            [
                (name, ", ".join(value) if isinstance(value, list) else str(value))
                for name, value in described.items()
                if value not in (None, [])
            ]
        )

    def do_suspend(self, slug: str, **options: Any) -> None:
        lifecycle.suspend_tenant(slug)
        self.output.line(f"Suspended {slug}. `tenants resume {slug}` serves it again.")

    def do_resume(self, slug: str, **options: Any) -> None:
        lifecycle.resume_tenant(slug)
        self.output.line(f"Resumed {slug}.")

    def do_maintenance(self, slug: str, **options: Any) -> None:
        lifecycle.maintain_tenant(slug)
        self.output.line(f"{slug} is under maintenance. `tenants resume {slug}` ends that.")

    def do_rename(self, slug: str, name: str, domains: list[str] | None, **options: Any) -> None:
        if not name and domains is None:
            raise CommandError("Nothing to change: give --name, --domain or --no-domains.")
        tenant = lifecycle.rename_tenant(slug, name=name, domains=domains)
        hosts = ", ".join(
            tenant.domains.order_by("-is_primary", "host").values_list("host", flat=True)
        )
        self.output.line(f"{slug} is {tenant.name}, at {hosts or 'no domain of its own'}.")

    def do_drop(self, slug: str | None, expired: bool, **options: Any) -> None:
        if expired:
            dropped = lifecycle.drop_expired()
            self.output.line(f"Dropped {', '.join(dropped) or 'none: no grace is over'}.")
            return
        if slug is None:
            raise CommandError("Give the slug of the tenant to drop, or --expired.")
        grace = _duration(options["grace"])
        tenant = lifecycle.find_tenant(slug)
        self._confirm(tenant, options["confirm"], grace)
        lifecycle.drop_tenant(tenant, grace=grace)
        when = (
            f"after {options['grace']}, unless `tenants resume {slug}` is run" if grace else "now"
        )
        self.output.line(f"Dropped {slug}: its data is gone {when}.")

    def do_migrate(self, app_label: str, migration: str, only: list[str], **options: Any) -> None:
        slugs = only or list(visible_tenants().values_list("slug", flat=True))
        failed: dict[str, Exception] = {}
        with self.output.progress(len(slugs), "Migrating tenants") as progress:
            for slug in slugs:
                try:
                    lifecycle.migrate_tenant(
                        slug,
                        app_label,
                        migration,
                        progress=self._telling(slug, options["verbosity"]),
                    )
                except Exception as error:
                    failed[slug] = error
                progress.advance(progress.task_ids[0])
        for slug, fault in failed.items():
            self.output.line(f"{slug}: {type(fault).__name__}: {fault}", "red")
        self.output.line(f"Migrated {len(slugs) - len(failed)} of {len(slugs)} tenants.")
        if failed:
            raise CommandError(f"{len(failed)} failed. Mend the cause and run this again.")

    def show_step(self, step: Step) -> None:
        self.output.line(f"  {step}")

    def _telling(self, slug: str, verbosity: int) -> Any:
        if verbosity < 2:  # As Django's own commands tell each step from there on.
            return _ignore
        return lambda step: self.output.line(f"  {slug}: {step}")

    def _confirm(self, tenant: Any, confirmed: str | None, grace: timedelta | None) -> None:
        if confirmed is None:
            when = f"in {grace}" if grace else "now and for good"
            self.output.line(
                f"{tenant.slug} ({tenant.name}, {tenant.placement}) is dropped {when}."
            )
            confirmed = input("Type its slug to go on: ")
        if confirmed != tenant.slug:
            raise CommandError(f"Not dropped: {confirmed!r} is not {tenant.slug!r}.")


def _ignore(step: Step) -> None:
    """Tell nobody."""


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


def _duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    if match is None:
        raise CommandError(
            f"{text!r} is no duration: give a number with s, m, h, d or w, as in 7d."
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
